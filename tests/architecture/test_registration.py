"""Every workflow and activity in the tree is one that the worker runs, under a name of its own."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.messages import WorkflowType

ROOT = Path(__file__).parents[2]
ACTIVITY_NAME = re.compile(r"[a-z]+\.[a-z]+(_[a-z]+)*")
AREAS = {"orders", "commands", "reports", "billing", "einvoice", "notify", "abdm"}


def _decorators(kind: str, folder: str) -> Iterator[tuple[Path, str, ast.Call | None]]:
    """Yield file, name of what is decorated, and the call of `@<kind>.defn(…)`; None where it is not called."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            for mark in node.decorator_list:
                called = mark.func if isinstance(mark, ast.Call) else mark
                if ast.unparse(called) == f"{kind}.defn":
                    yield path, node.name, mark if isinstance(mark, ast.Call) else None


def _given_name(call: ast.Call | None) -> ast.expr | None:
    return next((word.value for word in call.keywords if word.arg == "name"), None) if call else None


ACTIVITIES = list(_decorators("activity", "activities"))
WORKFLOWS = list(_decorators("workflow", "workflows"))


def test_there_is_something_to_check():
    assert len(ACTIVITIES) > 30
    assert len(WORKFLOWS) == len(WorkflowType)


@pytest.mark.parametrize(("path", "name", "call"), ACTIVITIES, ids=[name for _, name, _ in ACTIVITIES])
def test_an_activity_is_named_by_area_and_verb(path, name, call):
    given = _given_name(call)
    assert isinstance(given, ast.Constant), f"{path.name}: {name} has no explicit name"
    assert ACTIVITY_NAME.fullmatch(given.value), given.value
    assert given.value.partition(".")[0] in AREAS, given.value


@pytest.mark.parametrize(("path", "name", "call"), WORKFLOWS, ids=[name for _, name, _ in WORKFLOWS])
def test_a_workflow_has_its_type_for_a_name(path, name, call):
    given = _given_name(call)
    assert given is not None, f"{path.name}: {name} has no explicit name"
    kind = re.fullmatch(r"WorkflowType\.(\w+)\.value", ast.unparse(given))
    assert kind, ast.unparse(given)
    assert name == f"{WorkflowType[kind[1]].value}Workflow"


def test_names_are_unique():
    for found in (ACTIVITIES, WORKFLOWS):
        names = Counter(ast.unparse(given) for _, _, call in found if (given := _given_name(call)))
        assert [name for name, count in names.items() if count > 1] == []


def test_the_worker_runs_every_workflow():
    import worker

    assert {kind.__name__ for kind in worker.WORKFLOWS} == {name for _, name, _ in WORKFLOWS}


def test_the_worker_runs_every_activity():
    import worker
    from activities.resources import Resources

    resources = Resources(database=None, files=None, public_url="https://lab.example", link_key=bytes(32))
    registered = [
        vars(method.__func__)["__temporal_activity_definition"].name for method in worker.activities_of(resources)
    ]
    assert sorted(registered) == sorted(given.value for _, _, call in ACTIVITIES if (given := _given_name(call)))
