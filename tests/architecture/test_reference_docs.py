"""The generated reference pages say what the code says, and every workflow, command and signal has its line."""

import pytest

from devstack import reference
from domain.messages import CommandKind, SignalName, WorkflowType
from domain.search_attributes import SEARCH_ATTRIBUTES


@pytest.mark.parametrize("name", reference.pages())
def test_the_page_is_what_the_code_says(name):
    written = (reference.FOLDER / name).read_text(encoding="utf-8")
    assert written == reference.pages()[name], "run `make docs` and look at what changed"


def test_every_workflow_command_and_signal_is_on_the_page():
    page = reference.messages_page()
    for workflow in WorkflowType:
        assert f"| `{workflow.value}` |" in page
    for command in CommandKind:
        assert f"### {command.value}\n" in page
    for signal in SignalName:
        assert f"| `{signal.value}` |" in page


def test_every_search_attribute_has_its_meaning():
    page = reference.search_attributes_page()
    for name, kind in SEARCH_ATTRIBUTES.items():
        line = next(line for line in page.splitlines() if line.startswith(f"| `{name}` | {kind} |"))
        assert line.split("|")[3].strip()


def test_a_signal_that_nobody_takes_would_show():
    rows = [line for line in reference.messages_page().splitlines() if line.startswith("| `") and line.count("|") == 4]
    taken = {row.split("|")[1].strip(" `"): row.split("|")[2].strip() for row in rows}
    assert all(taken[signal.value] for signal in SignalName)
