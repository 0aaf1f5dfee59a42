"""Every error code that the program can show has an entry in docs/errors.md, and every entry a code.

The page is where the `docs` member of a problem points: a code without an entry leaves a person alone with it.
"""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "domain", "rules", "store", "connectors", "rendering", "activities", "workflows", "inbox", "api", "devstack",
)  # fmt: skip
CODE = re.compile(r"[A-Z][A-Z0-9_]{3,}")
# in these files codes stand in tables rather than behind `code=`
TABLES = ("api/errors.py", "api/limits.py")


def _codes_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in ast.walk(tree):
        values = []
        if isinstance(node, ast.Call):
            values = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
        elif isinstance(node, ast.AnnAssign | ast.Assign):
            targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
            names = {target.id for target in targets if isinstance(target, ast.Name)}
            if names & {"default_code"} and node.value is not None:
                values = [node.value]
        elif isinstance(node, ast.Tuple) and path.relative_to(ROOT).as_posix() in TABLES:
            values = list(node.elts)
        found |= {value.value for value in values if isinstance(value, ast.Constant) and isinstance(value.value, str)}
        found |= {
            branch.value
            for value in values
            if isinstance(value, ast.IfExp)
            for branch in (value.body, value.orelse)
            if isinstance(branch, ast.Constant) and isinstance(branch.value, str)
        }
    return {code for code in found if CODE.fullmatch(code)}


def used_codes() -> dict[str, set[str]]:
    """Return every code with the files that raise it."""
    used: dict[str, set[str]] = defaultdict(set)
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            # simulators speak the partner's codes, not ours
            if "simulat" in path.as_posix():
                continue
            for code in _codes_in(path):
                used[code].add(path.relative_to(ROOT).as_posix())
    return used


def _entries() -> dict[str, str]:
    text = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return {name.strip(): body.strip() for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def test_every_code_has_an_entry():
    used, entries = used_codes(), _entries()
    missing = {code: sorted(files) for code, files in used.items() if code not in entries}
    assert not missing, f"add to docs/errors.md: {missing}"


def test_every_entry_has_a_code():
    assert not (set(_entries()) - set(used_codes())), "remove from docs/errors.md"


@pytest.mark.parametrize(("code", "body"), _entries().items(), ids=list(_entries()))
def test_every_entry_says_what_it_means_and_what_to_do(code, body):
    assert "**What to do:**" in body, code
    meaning, _, action = body.partition("**What to do:**")
    assert len(meaning.strip()) > 20, code
    assert len(action.strip()) > 10, code


def test_entries_are_in_order():
    assert list(_entries()) == sorted(_entries())
