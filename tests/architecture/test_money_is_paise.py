"""Money is whole paise: no float holds it, and nobody divides it by a hundred but where it stays exact."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("activities", "api", "connectors", "domain", "inbox", "rendering", "rules", "store", "workflows")
EXACT = {"domain/money.py": "the one place", "rules/gst_checks.py": "whole rupees around an exact Decimal"}
ENDINGS = ("_paise", "_amount", "_inr", "amount", "paise")


def _trees() -> Iterator[tuple[str, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Call):
        return _name(node.args[0]) if node.args else ""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _is_money(name: str) -> bool:
    return name.endswith(ENDINGS)


def _is_float(annotation: ast.expr | None) -> bool:
    return annotation is not None and "float" in {
        node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)
    }


def _floats(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.AnnAssign(target=target, annotation=annotation) if _is_money(_name(target)):
                if _is_float(annotation):
                    yield _name(target)
            case ast.arg(arg=name, annotation=annotation) if _is_money(name):
                if _is_float(annotation):
                    yield name
            case ast.FunctionDef(name=name, returns=returns) | ast.AsyncFunctionDef(name=name, returns=returns):
                if _is_money(name) and _is_float(returns):
                    yield name
            case ast.Call(func=ast.Name(id="float"), args=[argument]) if _is_money(_name(argument)):
                yield f"float({_name(argument)})"


def _divisions(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.BinOp(left=left, op=ast.Div()) if _is_money(_name(left)):
                yield ast.unparse(node)


def test_no_float_holds_money():
    assert [(path, name) for path, tree in _trees() for name in _floats(tree)] == []


def test_nobody_divides_money():
    found = [(path, text) for path, tree in _trees() if path not in EXACT for text in _divisions(tree)]
    assert found == []


def test_both_would_be_found():
    tree = ast.parse("def due_paise() -> float: ...\ntotal_amount: float = 1.0\nx = total_paise / 100\nfloat(amount)")
    assert sorted(_floats(tree)) == ["due_paise", "float(amount)", "total_amount"]
    assert list(_divisions(tree)) == ["total_paise / 100"]
