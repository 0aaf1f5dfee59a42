"""Every direct dependency has one line of reason in docs/decisions/0009, and every line its dependency."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAME = re.compile(r"[A-Za-z0-9._-]+")


def declared() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    return [found.group() for group in groups for line in group if (found := NAME.match(line))]


def reasons() -> dict[str, str]:
    text = (ROOT / "docs" / "decisions" / "0009-dependencies.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^\| `([^`]+)` \| (.+) \|$", text, flags=re.MULTILINE))


def test_every_dependency_has_its_reason():
    assert [name for name in declared() if len(reasons().get(name, "")) < 5] == []


def test_every_reason_has_its_dependency_in_the_same_order():
    assert list(reasons()) == declared()
