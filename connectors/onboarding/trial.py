"""What would a changed profile change? One message read by two profiles, and the difference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from connectors.conversations import read_message
from domain.accession import is_accession_no
from domain.device_profile import DeviceProfile
from domain.errors import FrameError, MessageError
from domain.observations import InstrumentMessage, MessageKind

MAX_CHANGES: Final = 500
Reader = Callable[[bytes, DeviceProfile], InstrumentMessage]


@dataclass(frozen=True)
class Change:
    """One difference.

    Attributes:
        what: `kind`, `specimen`, `control`, `code`, `value`, `unit`, `status`, `replicate`, `ignored`, `row` (a row
            that only one of the two sees), `skipped`, `query` or `error`.
        row: Number of the result row from 1, or 0 where it concerns the whole message.
        code: The device's code of the row, as far as there is one.
        is_clinical: `before` and `after` are a patient's values: shown to those who may see results.
    """

    what: str
    before: str = field(repr=False)
    after: str = field(repr=False)
    row: int = 0
    code: str = ""
    is_clinical: bool = False


@dataclass(frozen=True)
class Trial:
    """The outcome for one message.

    Attributes:
        matchable_before: Specimens whose id is an accession number, as read now.
        matchable_after: The same with the changed profile.
    """

    changes: tuple[Change, ...]
    rows_before: int
    rows_after: int
    matchable_before: int
    matchable_after: int

    @property
    def is_same(self) -> bool:
        """Tell whether the changed profile reads the same."""
        return not self.changes


@dataclass(frozen=True)
class _Row:
    specimen: str
    control: str
    code: str
    value: str
    unit: str
    status: str
    replicate: str
    ignored: str


@dataclass(frozen=True)
class _Reading:
    kind: str = ""
    error: str = ""
    rows: tuple[_Row, ...] = ()
    skipped: int = 0
    queried: tuple[str, ...] = ()
    matchable: int = 0


def compare(raw: bytes, before: DeviceProfile, after: DeviceProfile, *, read: Reader = read_message) -> Trial:
    """Read `raw` by both profiles and return what differs, at most MAX_CHANGES. Raises nothing for its content.

    Args:
        raw: The message as stored.
        before: The profile in force.
        after: The profile to be tried.
        read: What reads a message by a profile.
    """
    old, new = _read(raw, before, read), _read(raw, after, read)
    changes = [*_whole(old, new), *_rows(old.rows, new.rows)]
    return Trial(
        changes=tuple(changes[:MAX_CHANGES]),
        rows_before=len(old.rows),
        rows_after=len(new.rows),
        matchable_before=old.matchable,
        matchable_after=new.matchable,
    )


def _read(raw: bytes, profile: DeviceProfile, read: Reader) -> _Reading:
    try:
        message = read(raw, profile)
    except (MessageError, FrameError) as error:
        return _Reading(error=f"{error.code}: {error.message}")
    rows = tuple(
        _Row(
            specimen=report.specimen_id,
            control=_control_text(is_control=report.is_control, name=report.control_name),
            code=one.code,
            value=one.value,
            unit=one.unit,
            status=one.status.value,
            replicate=one.replicate,
            ignored="ignored" if one.code in profile.ignored_codes else "wanted",
        )
        for report in message.specimens
        for one in report.observations
    )
    patients = (report for report in message.specimens if not report.is_control)
    return _Reading(
        kind=message.kind.value,
        rows=rows,
        skipped=message.skipped_rows,
        queried=message.queried_specimens if message.kind is MessageKind.QUERY else (),
        matchable=sum(is_accession_no(report.specimen_id) for report in patients),
    )


def _control_text(*, is_control: bool, name: str) -> str:
    return (f"control {name}" if name else "control") if is_control else "patient"


def _whole(old: _Reading, new: _Reading) -> Iterable[Change]:
    pairs = (
        ("error", old.error, new.error),
        ("kind", old.kind, new.kind),
        ("skipped", str(old.skipped), str(new.skipped)),
        ("query", ", ".join(old.queried), ", ".join(new.queried)),
    )
    return (Change(what, before, after) for what, before, after in pairs if before != after)


def _rows(old: tuple[_Row, ...], new: tuple[_Row, ...]) -> Iterable[Change]:
    if len(old) == len(new):
        for number, (before, after) in enumerate(zip(old, new, strict=True), start=1):
            yield from _fields(number, before, after)
        return
    yield from _only_in(old, Counter(new), is_before=True)
    yield from _only_in(new, Counter(old), is_before=False)


def _fields(number: int, before: _Row, after: _Row) -> Iterable[Change]:
    for what in ("specimen", "control", "code", "value", "unit", "status", "replicate", "ignored"):
        was, will = getattr(before, what), getattr(after, what)
        if was != will:
            yield Change(what, was, will, row=number, code=after.code or before.code, is_clinical=what == "value")


def _only_in(rows: tuple[_Row, ...], others: Counter[_Row], *, is_before: bool) -> Iterable[Change]:
    for number, row in enumerate(rows, start=1):
        if others[row] > 0:
            others[row] -= 1
            continue
        words = f"{row.specimen or 'no specimen'}, {row.control}, {row.unit or 'no unit'}, {row.status}"
        before, after = (words, "") if is_before else ("", words)
        yield Change("row", before, after, row=number, code=row.code)
