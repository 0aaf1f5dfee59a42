"""Writes the reference pages that come from code: `python -m devstack.reference`, or `make docs`.

A page says nothing that the code does not: names, types, defaults and the sentences of its docstrings. A test holds the
files to what this module writes.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from types import ModuleType, NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import AwareDatetime, BaseModel

import worker
from api.permissions import COMMAND_PERMISSIONS
from devstack.reference_api import api_page
from domain import ids, messages, policies, search_attributes, sharing_messages
from domain.messages import PAYLOADS, CommandKind, Envelope, Payload, SignalName, WorkflowType

FOLDER = Path(__file__).parents[1] / "docs" / "reference"

_WORKFLOW_IDS: Mapping[WorkflowType, str] = {
    WorkflowType.LAB_ORDER: ids.order_workflow_id("<lab>", "<order no>"),
    WorkflowType.PAYMENT: ids.payment_workflow_id("<invoice no>"),
    WorkflowType.REFUND: ids.refund_workflow_id("<payment ref>"),
    WorkflowType.EINVOICE: ids.einvoice_workflow_id("<document no>"),
    WorkflowType.INVOICE_REVERSAL: ids.reversal_workflow_id("<invoice no>"),
    WorkflowType.REPORT_DELIVERY: ids.delivery_workflow_id("<report id>"),
    WorkflowType.HEALTH_RECORD_PUSH: ids.record_push_workflow_id("<report id>"),
    WorkflowType.HEALTH_INFO_TRANSFER: ids.transfer_workflow_id("<transaction id>"),
    WorkflowType.CONSENT_NOTICE: ids.consent_workflow_id("<consent id>", "<status>"),
}
_WORDS: Mapping[object, str] = {
    str: "text", int: "integer", bool: "true or false", timedelta: "time", datetime: "instant", NoneType: "none",
    AwareDatetime: "instant with its zone",
}  # fmt: skip
_GENERATED = "\nWritten by `make docs` from the code; edit the code, not this page.\n"
_TRAVELS = """What crosses between the API, the inbox and the workflows. A command's payload stays in PostgreSQL; its id
travels. Unknown fields of what travels are ignored, so that old histories replay.
"""
_COMMANDS = """Staff act through the REST API; each command is an update of that name, its id the update's id. Lengths
and patterns of fields are in the API's own description (`/openapi.json`).
"""
_REGISTERED = """Registered by `temporal-config/setup.sh` and by the dev stack. They are not encrypted: business numbers
and states only.
"""
_FILTERS = """In the Temporal UI's list:

| to find | filter |
| --- | --- |
| every run of an order | `LabOrderNo = 'DEL-261123-0042'` |
| what needs a person | `LabAttention IS NOT NULL AND ExecutionStatus = 'Running'` |
| orders in analysis at a branch | `LabStage = 'received' AND LabBranch = 'DEL'` |
| old runs that still run | `ExecutionStatus = 'Running' AND StartTime < '2026-11-23T06:30:00Z'` |
"""
_ATTENTION = """`LabAttention` holds `<step>:<code>`. The codes are explained in [errors](../errors.md); `overdue` means
that the policy's time has passed.
"""


def pages() -> dict[str, str]:
    """Return every generated page by file name."""
    return {"messages.md": messages_page(), "search-attributes.md": search_attributes_page(), "api.md": api_page()}


def main() -> None:
    """Write every page."""
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


def messages_page() -> str:
    """Return the page of everything that crosses between the API, the inbox and the workflows."""
    parts = [
        "# Messages and policies",
        _GENERATED,
        _TRAVELS,
        "## Workflows\n",
        *_workflow_table(),
        "## Commands\n",
        _COMMANDS,
        *(line for kind in CommandKind for line in _command(kind)),
        "## Signals\n",
        *_signal_table(),
        "## What travels\n",
        *(line for model in _envelopes() for line in _model(model)),
        "## Parts of payloads\n",
        *(line for model in _payload_parts() for line in _model(model)),
        "## Policies\n",
        "Waiting times and choices, given to each run as input: a change holds for runs that start afterwards.\n",
        *(line for model in _policies() for line in _model(model)),
    ]
    return "\n".join(parts).rstrip() + "\n"


def search_attributes_page() -> str:
    """Return the page of the search attributes."""
    notes = _constant_notes(search_attributes)
    names = {
        value: notes[constant] for constant, value in vars(search_attributes).items() if constant in notes
        and isinstance(value, str)
    }  # fmt: skip
    rows = [(f"`{name}`", kind, names[name]) for name, kind in search_attributes.SEARCH_ATTRIBUTES.items()]
    table = _table(("name", "type", "meaning"), rows)
    return "\n".join(["# Search attributes", _GENERATED, _REGISTERED, *table, _FILTERS, _ATTENTION])


def _workflow_table() -> list[str]:
    rows = []
    for workflow_class in worker.WORKFLOWS:
        definition = _definition(workflow_class)
        hints = get_type_hints(workflow_class.run)  # type: ignore[attr-defined]
        inputs = [hint for name, hint in hints.items() if name != "return"]
        rows.append(
            (
                f"`{definition.name}`",
                f"`{_WORKFLOW_IDS[WorkflowType(definition.name)]}`",
                _code(inputs[0].__name__),
                _code(hints["return"].__name__),
                _listed(definition.updates),
                _listed(definition.signals),
            )
        )
    return _table(("workflow", "id", "input", "result", "updates", "signals"), rows)


def _command(kind: CommandKind) -> Iterator[str]:
    receivers = [definition.name for definition in _definitions() if kind.value in definition.updates]
    if not receivers:
        receivers = ["a new run"]  # the command starts the workflow that does it
    payload = PAYLOADS[kind]
    yield f"### {kind.value}\n"
    yield f"{_first_paragraph(payload)} To: {', '.join(receivers)}. Permission: `{COMMAND_PERMISSIONS[kind].value}`.\n"
    yield from _fields(payload)


def _signal_table() -> list[str]:
    rows = []
    for signal in SignalName:
        receivers = [definition for definition in _definitions() if signal.value in definition.signals]
        said = {definition.signals[signal.value].description or "" for definition in receivers}
        rows.append((f"`{signal.value}`", ", ".join(sorted(one.name for one in receivers)), "; ".join(sorted(said))))
    return _table(("signal", "to", "what has happened"), rows)


def _definitions() -> list[Any]:
    return [_definition(workflow_class) for workflow_class in worker.WORKFLOWS]


def _definition(workflow_class: type) -> Any:
    """Return what the SDK keeps about a workflow class: its name, updates and signals."""
    return getattr(workflow_class, "__temporal_workflow_definition")


def _models(module: ModuleType, base: type[BaseModel]) -> list[type[BaseModel]]:
    found = (item for item in vars(module).values() if inspect.isclass(item) and issubclass(item, base))
    return [item for item in found if item is not base and item.__module__ == module.__name__]


def _envelopes() -> list[type[BaseModel]]:
    return [*_models(messages, Envelope), *_models(sharing_messages, Envelope)]


def _payload_parts() -> list[type[BaseModel]]:
    return [model for model in _models(messages, Payload) if model not in PAYLOADS.values()]


def _policies() -> list[type[BaseModel]]:
    return _models(policies, policies.Policy)


def _model(model: type[BaseModel]) -> Iterator[str]:
    yield f"### {model.__name__}\n"
    yield f"{_first_paragraph(model)}\n"
    yield from _fields(model)


def _fields(model: type[BaseModel]) -> list[str]:
    notes = _attribute_notes(model)
    rows = []
    for name, field in model.model_fields.items():
        default = "required" if field.is_required() else _shown(field.default)
        rows.append((f"`{name}`", _type_text(field.annotation), default, notes.get(name, "")))
    return _table(("field", "type", "default", "meaning"), rows) if rows else []


def _type_text(annotation: Any) -> str:
    """Return a type as words; limits are left to the API's own description."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_text(parts[0])
    if origin is Literal:
        return " or ".join(_code(str(getattr(part, "value", part))) for part in parts)
    if origin in {Union, UnionType}:
        return " or ".join(_type_text(part) for part in parts)
    if origin in {dict, list, tuple}:
        inner = " to ".join(_type_text(part) for part in parts if part is not Ellipsis)
        return f"map of {inner}" if origin is dict else f"list of {inner}"
    return _class_text(annotation)


def _class_text(annotation: type) -> str:
    if inspect.isclass(annotation) and issubclass(annotation, StrEnum):
        return " or ".join(_code(member.value) for member in annotation)
    return _WORDS.get(annotation, annotation.__name__)


def _shown(value: object) -> str:
    if isinstance(value, timedelta):
        return _duration(value)
    if isinstance(value, BaseModel):
        return f"[{type(value).__name__}](#{type(value).__name__.lower()})"
    if isinstance(value, tuple) and value and all(isinstance(item, timedelta) for item in value):
        return ", ".join(_duration(item) for item in value)
    if isinstance(value, tuple | list):
        return ", ".join(f"`{item}`" for item in value) or "none"
    return {"": "empty", "None": "none", "{}": "empty"}.get(str(value), f"`{value}`")


def _duration(value: timedelta) -> str:
    seconds = int(value.total_seconds())
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")):
        if seconds % size == 0 and seconds >= size:
            count = seconds // size
            return f"{count} {unit}" + ("s" if count > 1 else "")
    return str(value)


def _first_paragraph(model: type) -> str:
    return " ".join(inspect.cleandoc(model.__doc__ or "").split("\n\n")[0].split())


def _attribute_notes(model: type) -> dict[str, str]:
    """Return the sentences of a docstring's `Attributes:` section by name, those of base classes included."""
    notes: dict[str, str] = {}
    for owner in reversed(model.__mro__):
        _, _, section = inspect.cleandoc(owner.__dict__.get("__doc__") or "").partition("Attributes:\n")
        for entry in re.split(r"\n    (?=\w)", "\n" + section.split("\n\n")[0]):
            name, colon, said = entry.partition(":")
            if colon and name.isidentifier():
                notes[name] = " ".join(said.split())
    return notes


def _constant_notes(module: ModuleType) -> dict[str, str]:
    """Return the text under each module constant."""
    body = ast.parse(inspect.getsource(module)).body
    notes: dict[str, str] = {}
    for statement, following in pairwise(body):
        if not isinstance(statement, ast.Assign) or not isinstance(following, ast.Expr):
            continue
        target, note = statement.targets[0], following.value
        if isinstance(target, ast.Name) and isinstance(note, ast.Constant):
            notes[target.id] = " ".join(str(note.value).split())
    return notes


def _listed(names: Mapping[str | None, object]) -> str:
    return ", ".join(f"`{name}`" for name in names if name) or "none"


def _code(text: str) -> str:
    return f"`{text}`"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [heads, ["---"] * len(heads), *rows]
    return [*("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines), ""]


if __name__ == "__main__":
    main()
