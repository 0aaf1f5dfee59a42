"""Sizes, complexity, types and docstrings in numbers. What grows beyond these is split, not excused."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "activities", "api", "connectors", "devstack", "domain", "inbox", "rendering", "rules", "store", "telemetry",
    "workflows",
)  # fmt: skip
MODULES = ("cli.py", "settings.py", "worker.py")

MOST = {
    "file_p95": 400, "file_max": 700, "func_p95": 50, "mccabe_p95": 9, "mccabe_max": 20,
    "any_per_kloc": 6.0, "ignore_per_kloc": 1.5, "broad_except_per_kloc": 0.7, "mock_files_pct": 15.0,
}  # fmt: skip
LEAST = {"typed_pct": 99.0, "doc_pct": 90.0, "class_doc_pct": 95.0, "mod_doc_pct": 99.0, "test_ratio": 0.77}
# The aim for test_ratio is 1.0. It is held where it is and raised as it grows: suites over tables and generated cases
# run some 8,700 tests from fewer lines, and copying lines would raise the figure without proving more.

_BRANCHES = (ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.Assert, ast.comprehension,
             ast.match_case)  # fmt: skip
_IGNORE = re.compile(r"#\s*(noqa|type:\s*ignore)")
_MOCK = re.compile(r"\b(unittest\.mock|MagicMock|mocker)\b")
_SILENT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Counts:
    """What was counted; lines are physical, `code` leaves out comments and docstrings."""

    files: list[int] = field(default_factory=list)
    functions: list[int] = field(default_factory=list)
    mccabe: list[int] = field(default_factory=list)
    code: int = 0
    typed: int = 0
    anys: int = 0
    ignores: int = 0
    broad: int = 0
    public: list[bool] = field(default_factory=list)
    classes: list[bool] = field(default_factory=list)
    modules: list[bool] = field(default_factory=list)


def sources() -> list[Path]:
    found = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return sorted(found) + [ROOT / name for name in MODULES if (ROOT / name).exists()]


def counted(paths: list[Path]) -> Counts:
    counts = Counts()
    for path in paths:
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        counts.files.append(text.count("\n"))
        counts.code += code_lines(path)
        counts.ignores += len(_IGNORE.findall(text))
        counts.modules.append(ast.get_docstring(tree) is not None)
        _count_tree(tree, counts)
    return counts


def _count_tree(tree: ast.Module, counts: Counts) -> None:
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                counts.functions.append((node.end_lineno or node.lineno) - node.lineno + 1)
                counts.mccabe.append(complexity(node))
                counts.typed += is_typed(node)
            case ast.Name(id="Any"):
                counts.anys += 1
            case ast.ExceptHandler(type=None) | ast.ExceptHandler(type=ast.Name(id="Exception" | "BaseException")):
                counts.broad += 1
    for function in _public_functions(tree):
        counts.public.append(ast.get_docstring(function) is not None or _is_overload(function))
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            counts.classes.append(ast.get_docstring(node) is not None)


def _public_functions(tree: ast.Module) -> Iterator[Function]:
    for node in tree.body:
        if isinstance(node, Function) and not node.name.startswith("_"):
            yield node
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for inner in node.body:
                if isinstance(inner, Function) and not inner.name.startswith("_"):
                    yield inner


def _is_overload(function: Function) -> bool:
    return any(isinstance(mark, ast.Name) and mark.id == "overload" for mark in function.decorator_list)


def is_typed(function: Function) -> bool:
    """Every parameter but self and cls, and the result, is annotated."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    named += [extra for extra in (arguments.vararg, arguments.kwarg) if extra is not None]
    own = [argument for argument in named if argument.arg not in {"self", "cls"}]
    return function.returns is not None and all(argument.annotation is not None for argument in own)


def complexity(function: Function) -> int:
    """McCabe's number: 1, and 1 for each branch and each further operand of `and` and `or`; inner functions apart."""
    total, waiting = 1, list(ast.iter_child_nodes(function))
    while waiting:
        node = waiting.pop()
        if isinstance(node, Function | ast.ClassDef | ast.Lambda):
            continue
        total += isinstance(node, _BRANCHES)
        total += len(node.values) - 1 if isinstance(node, ast.BoolOp) else 0
        waiting += ast.iter_child_nodes(node)
    return total


def code_lines(path: Path) -> int:
    """Lines with something on them that is neither a comment nor part of a docstring."""
    text = path.read_text(encoding="utf-8")
    documentation: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            documentation.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _SILENT:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - documentation)


def p95(values: list[int]) -> int:
    return sorted(values)[max(0, -(-len(values) * 95 // 100) - 1)]


def share(of: list[bool]) -> float:
    return 100 * sum(of) / len(of)


@pytest.fixture(scope="module")
def numbers() -> dict[str, float]:
    tests = sorted((ROOT / "tests").rglob("*.py"))
    own = counted(sources())
    per_k = 1000 / own.code
    mocking = [bool(_MOCK.search(path.read_text(encoding="utf-8"))) for path in tests if path.name != "test_budgets.py"]
    return {
        "file_p95": p95(own.files), "file_max": max(own.files),
        "func_p95": p95(own.functions), "mccabe_p95": p95(own.mccabe), "mccabe_max": max(own.mccabe),
        "any_per_kloc": own.anys * per_k, "ignore_per_kloc": own.ignores * per_k,
        "broad_except_per_kloc": own.broad * per_k,
        "mock_files_pct": share(mocking),
        "typed_pct": 100 * own.typed / len(own.functions), "doc_pct": share(own.public),
        "class_doc_pct": share(own.classes), "mod_doc_pct": share(own.modules),
        "test_ratio": sum(map(code_lines, tests)) / own.code,
    }  # fmt: skip


@pytest.mark.parametrize("name", MOST)
def test_not_more_than(numbers: dict[str, float], name: str):
    assert numbers[name] <= MOST[name], largest(name)


@pytest.mark.parametrize("name", LEAST)
def test_not_less_than(numbers: dict[str, float], name: str):
    assert numbers[name] >= LEAST[name], largest(name)


def largest(name: str) -> str:
    """Where to look first."""
    if name.startswith("file"):
        return "\n".join(
            sorted((f"{path.read_text().count(chr(10)):5} {path}" for path in sources()), reverse=True)[:5]
        )
    if name.startswith(("func", "mccabe")):
        measure = complexity if name.startswith("mccabe") else lambda one: (one.end_lineno or 0) - one.lineno + 1
        rows = [
            (measure(node), f"{path}:{node.lineno} {node.name}")
            for path in sources()
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, Function)
        ]
        return "\n".join(f"{size:5} {where}" for size, where in sorted(rows, reverse=True)[:5])
    return name


def test_the_measure_counts_what_it_says():
    (function,) = ast.parse(
        "def f(a: int, b) -> int:\n"
        "    if a and b or a:\n"
        "        return [x for x in b if x]\n"
        "    try:\n"
        "        pass\n"
        "    except ValueError:\n"
        "        pass\n"
        "    return 1\n"
    ).body
    assert isinstance(function, ast.FunctionDef)
    assert complexity(function) == 1 + 1 + 2 + 1 + 1
    assert not is_typed(function)
    assert p95(list(range(1, 101))) == 95
    assert p95([7]) == 7
