"""Texts of AU analyzers read into the lab's words, by the layout in the device's profile.

Source: AU680/AU480 Instrument Online Specification, January 2011 v9, as cited by live sites, read in specs.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from connectors.au.texts import (
    CONTROL_RESULTS,
    MARKERS,
    REPEAT_RESULTS,
    REQUESTS,
    RESULTS,
    Group,
    Identity,
    groups,
    identity_of,
    result_text,
    rules,
    sent_id_width,
)
from connectors.blocks import ETB, bare_message
from domain.device_profile import DeviceProfile, FieldReader, decode_text, parse_path
from domain.errors import MessageError
from domain.observations import InstrumentMessage, MessageKind, Observation, ObservationStatus, SpecimenReport

__all__ = ["read_message"]

MAX_MESSAGE_BYTES = 1 << 20
MAX_GROUPS = 5_000

_RUN_AT = re.compile(r"(\d{14})\s*$", re.ASCII)
_BLOCK_NUMBER = re.compile(r"E\d{0,3}", re.ASCII)
"""What follows an empty id: a width that is too large takes it in."""
_NOT_READ: Final = ("DA", "DR")
"""Calibration and reagent blank: no source tells their fields; they are controls, read or not."""


def read_message(raw: bytes, profile: DeviceProfile) -> InstrumentMessage:
    """Read one message: the text of a block, or of several joined by ETB; STX, ETX and check byte may be around it.

    Raises:
        MessageError: It is longer than a message may be, or does not fit the layout.
    """
    if len(raw) > MAX_MESSAGE_BYTES:
        raise MessageError("the message is too long", code="AU_TOO_LONG", action="Look at the raw message.")
    blocks, flags = _blocks(raw, profile)
    code = blocks[0][:2].ljust(2)
    if code in MARKERS or code[0] == "S":
        return InstrumentMessage(kind=MessageKind.OTHER, message_id=code.strip(), sender="", sent_at=None, flags=flags)
    if code in REQUESTS:
        return _read_request(identity_of(blocks[0].rstrip("\r\n")), flags)
    if code in RESULTS or code in CONTROL_RESULTS:
        return _read_results_as_sent(blocks, profile, flags)
    raise MessageError(
        "the text begins with a code this software does not know",
        code="AU_CODE", action="Check that the device speaks AU Online and send the raw message to support.",
        context={"code": code if code.isprintable() else ""},
    )  # fmt: skip


def _blocks(raw: bytes, profile: DeviceProfile) -> tuple[list[str], tuple[str, ...]]:
    """Return the texts of the blocks, without what the link puts around them."""
    text, is_fallback = decode_text(bare_message(raw, rules(profile.au), MARKERS), _charsets(profile))
    flags = ("charset_fallback",) if is_fallback and profile.charset != "auto" else ()
    return [block.strip("\r\n") for block in text.split(chr(ETB))], flags


def _charsets(profile: DeviceProfile) -> tuple[str, ...]:
    return ("ascii", "utf-8") if profile.charset == "auto" else (profile.charset,)


def _message_id(identity: Identity) -> str:
    """Return what tells one sample of a run from another; the device sends no id of its own."""
    return f"{identity.code.strip()}-{identity.rack}-{identity.cup}-{identity.sample_no}"


def _read_request(identity: Identity, flags: tuple[str, ...]) -> InstrumentMessage:
    asked = (identity.sample_id,) if identity.sample_id else ()
    return InstrumentMessage(
        kind=MessageKind.QUERY,
        message_id=_message_id(identity),
        sender="",
        sent_at=None,
        queried_specimens=asked,
        flags=flags,
    )


def _read_results_as_sent(blocks: list[str], profile: DeviceProfile, flags: tuple[str, ...]) -> InstrumentMessage:
    """Read results by the profile; where only the id's width was changed at the machine, by the width it shows.

    Raises:
        MessageError: They fit neither, or both and say different things.
    """
    width = sent_id_width(blocks[0])
    if width is None or width == profile.au.specimen_width or not 4 <= width <= 40:  # noqa: PLR2004  as `AuLayout` has it
        return _read_results(blocks, profile, flags)
    layout = profile.au.model_copy(update={"specimen_width": width})
    changed = profile.model_copy(update={"au": layout})
    try:
        as_shown = _read_results(blocks, changed, (*flags, "specimen_width_changed"))
    except MessageError:
        return _read_results(blocks, profile, flags)
    try:
        as_set = _read_results(blocks, profile, flags)
    except MessageError:
        return as_shown
    if as_set.specimens != as_shown.specimens:
        raise MessageError(
            "the results can be read with the profile's width of the sample id, and otherwise with the one sent",
            code="AU_LAYOUT", action="Compare the widths in the profile with the device's Online settings.",
        )  # fmt: skip
    return as_set


def _read_results(blocks: list[str], profile: DeviceProfile, flags: tuple[str, ...]) -> InstrumentMessage:
    layout = profile.au
    identity = identity_of(blocks[0], layout.specimen_width)
    if _BLOCK_NUMBER.fullmatch(identity.sample_id):
        raise MessageError(
            "the block number stands where the sample id is due",
            code="AU_LAYOUT", action="Compare the widths in the profile with the device's Online settings.",
        )  # fmt: skip
    found: list[Group] = []
    header = ""
    skipped = 0
    for number, block in enumerate(blocks):
        between, text = result_text(block, layout, first=blocks[0] if number else "")
        header = header or between
        try:
            found += groups(text, layout)
        except MessageError:
            if identity.code not in _NOT_READ:
                raise
            skipped += 1
            flags = ("fields_unknown",)
        if len(found) > MAX_GROUPS:
            raise MessageError("too many results in one message", code="AU_TOO_LONG", action="Look at the raw message.")
    run = _RUN_AT.search(header)
    run_at = profile.instant(run[1]) if run else None
    is_control = identity.code in CONTROL_RESULTS or profile.is_control(_reader(identity))
    report = SpecimenReport(
        specimen_id=identity.sample_id,
        observations=tuple(_observation(group, identity, run_at, profile) for group in found),
        is_control=is_control,
        control_name=_control_name(identity, header) if is_control else "",
    )
    return InstrumentMessage(
        kind=MessageKind.RESULTS,
        message_id=_message_id(identity),
        sender="",
        sent_at=run_at,
        specimens=(report,),
        skipped_rows=skipped,
        flags=flags,
    )


def _observation(group: Group, identity: Identity, run_at: datetime | None, profile: DeviceProfile) -> Observation:
    value = profile.value_text(group.value)
    is_repeat = identity.code in REPEAT_RESULTS
    status = ObservationStatus.RERUN if is_repeat else ObservationStatus.FINAL
    if profile.settled_status("F", value, {"F": ObservationStatus.FINAL}) is ObservationStatus.FAILED:
        status = ObservationStatus.FAILED
    return Observation(
        code=group.test,
        value=value,
        abnormal_flags=tuple(group.marks.replace(" ", "")),
        status=status,
        observed_at=run_at,
        replicate=group.dilution,
    )


def _control_name(identity: Identity, header: str) -> str:
    number = header[:4].strip()
    return number if number.isdigit() else identity.sample_id or identity.sample_no


def _reader(identity: Identity) -> FieldReader:
    """Return the reader of a profile's rules: D.1 code, D.2 rack, D.3 cup, D.4 type, D.5 number, D.6 id."""
    fields = (
        identity.code.strip(), identity.rack, identity.cup, identity.kind, identity.sample_no, identity.sample_id,
    )  # fmt: skip

    def read(path: str) -> tuple[str, ...]:
        segment, number, _, _ = parse_path(path)
        return (fields[number - 1],) if segment == "D" and number <= len(fields) else ()

    return read
