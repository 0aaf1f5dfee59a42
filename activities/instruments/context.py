"""The part of a message that an exception is about, as the device's profile reads it now."""

from __future__ import annotations

from collections import defaultdict

from pydantic import BaseModel

from activities.instruments.reading import read
from domain.device_profile import DeviceProfile
from domain.errors import MessageError
from domain.observations import InstrumentMessage, Observation, SpecimenReport
from store.exceptions import MAX_CODE_CHARS, MAX_SPECIMEN_CHARS, ExceptionRow

MAX_RAW_CHARS = 16_000
MAX_ROWS = 200


class ContextRow(BaseModel):
    """One value as sent."""

    code: str
    value: str
    unit: str
    flags: list[str]
    status: str
    replicate: str


class Context(BaseModel):
    """What a person needs to see of a message.

    Attributes:
        specimen_id: As the reader gives it, "" where the exception is about no specimen.
        rows: The values concerned.
        is_mixed: Several specimens came under this id, so that nobody can tell whose a value is.
        raw: The message, one character per byte, cut at MAX_RAW_CHARS.
        parse_error: Why it cannot be read now, or "".
    """

    specimen_id: str = ""
    rows: list[ContextRow] = []
    is_mixed: bool = False
    raw: str = ""
    parse_error: str = ""


def context_of(row: ExceptionRow, raw: bytes, profile: DeviceProfile) -> Context:
    """Return the context of an exception."""
    context = Context(raw=raw.decode("latin-1")[:MAX_RAW_CHARS])
    try:
        message = read(raw, profile)
    except MessageError as error:
        return context.model_copy(update={"parse_error": f"{error.code}: {error.message}"})
    reports = _reports_of(message, row.specimen_id)
    concerned = {row.device_code, *row.codes} - {""}
    rows = [
        _shown(observation)
        for report in reports
        for observation in report.observations
        if not concerned or observation.code[:MAX_CODE_CHARS] in concerned
    ]
    name = reports[0].specimen_id if reports else ""
    return context.model_copy(update={"specimen_id": name, "rows": rows[:MAX_ROWS], "is_mixed": _is_mixed(reports)})


def _reports_of(message: InstrumentMessage, specimen_id: str) -> list[SpecimenReport]:
    return [
        report
        for report in message.specimens
        if not report.is_control and report.specimen_id[:MAX_SPECIMEN_CHARS] == specimen_id
    ]


def _is_mixed(reports: list[SpecimenReport]) -> bool:
    """Tell whether one code came with different values under one id: those are two tubes, or nobody knows."""
    values: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for report in reports:
        for observation in report.observations:
            values[observation.code, observation.replicate].add(observation.value)
    return len(reports) > 1 or any(len(texts) > 1 for texts in values.values())


def _shown(observation: Observation) -> ContextRow:
    return ContextRow(
        code=observation.code[:MAX_CODE_CHARS], value=observation.value[:200], unit=observation.unit[:60],
        flags=list(observation.abnormal_flags)[:20], status=observation.status.value,
        replicate=observation.replicate[:60],
    )  # fmt: skip
