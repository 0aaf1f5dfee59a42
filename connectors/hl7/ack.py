"""Acknowledgements: what is said back to the device for one message.

Original mode: one ACK with AA (kept), AE (an error: try again or mend the content) or AR (will never be taken).
Enhanced mode, when MSH-15 or MSH-16 hold one of AL, NE, ER, SU: a commit acknowledgement CA, CE or CR for MSH-15 and
an application acknowledgement for MSH-16, each only where that code asks for it. Other values in these fields are
something else (Mindray BS writes the kind of sample into MSH-16) and mean original mode.

An unmatched specimen is no error of the device's: what is durable and readable is answered AA.

Source: HL7 2.5.1, 2.9.2, 2.9.3, 2.15.5 (ERR), 2.15.8 (MSA), tables 0008, 0155, 0357, read in specs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from connectors.hl7.charsets import wide_charset
from domain.clock import IST, utc_now
from domain.device_profile import DeviceProfile
from domain.ids import new_id
from domain.observations import StoreOutcome

_CONDITIONS = frozenset({b"AL", b"NE", b"ER", b"SU"})
_MARKS = re.compile(rb"[!-/:-@\[-`{-~]{1,5}")
"""Characters fit to be delimiters: ASCII punctuation."""
_LONGEST_ECHO = 250
"""Bytes of a field that are echoed at most; MSH-10 is at most 199 characters in the newest versions."""
_LONGEST_HEADER = 16_000
_CONTROL_ID_LENGTH = 20
_ZONE = re.compile(rb"[+-]\d{4}\s*$")
_OTHER_TRIGGERS: Final = {b"R30": b"R33"}
"""Answers that are not named after their question. Source: HL7 2.5.1, 7.3.3, read in specs."""
_WITH_ERR = (2, 5)
_WITH_STRUCTURE = (2, 4)
_CODES: Final = {
    "AE": ("207", "Application internal error"),
    "AR": ("200", "Unsupported message type"),
    "CE": ("207", "Application internal error"),
    "CR": ("200", "Unsupported message type"),
}
"""Table 0357."""


@dataclass(frozen=True)
class _Header:
    """Fields of the device's MSH as bytes, so that they can be echoed unchanged."""

    fields: tuple[bytes, ...]
    mark: bytes
    encoding: bytes

    def field(self, number: int) -> bytes:
        """Return MSH-`number` as sent, cut to what is safe to echo."""
        return self.fields[number - 1][:_LONGEST_ECHO] if number <= len(self.fields) else b""

    @property
    def version(self) -> tuple[int, int]:
        """MSH-12 as numbers; 2.3 where it is unreadable, which old devices understand."""
        match = re.match(rb"\s*(\d)\.(\d+)", self.field(12))
        return (int(match[1]), int(match[2])) if match else (2, 3)

    @property
    def component(self) -> bytes:
        """The component delimiter."""
        return self.encoding[:1]


def _header_of(raw: bytes) -> _Header | None:
    head = raw[:_LONGEST_HEADER]
    wide = wide_charset(head)
    if wide:
        head = head.decode(wide, errors="replace").encode()
    line = re.split(rb"[\r\n]", head.lstrip(b"\x0b \r\n\xef\xbb\xbf"), maxsplit=1)[0]
    mark = line[3:4]
    if line[:3].upper() != b"MSH" or not _MARKS.fullmatch(mark):
        return None
    fields = tuple(line.split(mark))
    encoding = fields[1] if len(fields) > 1 else b""
    if not _MARKS.fullmatch(encoding):
        encoding = b"^~\\&"
    return _Header(fields, mark, encoding)


def acknowledge(
    raw: bytes, outcome: StoreOutcome, profile: DeviceProfile | None = None, *, now: datetime | None = None
) -> bytes:
    """Return the answer to one message, without MLLP marks; b"" where the device wants none.

    In enhanced mode with both answers due, this is the application acknowledgement; `acknowledgements` has both.
    """
    answers = acknowledgements(raw, outcome, profile, now=now)
    return answers[-1] if answers else b""


def acknowledgements(
    raw: bytes, outcome: StoreOutcome, profile: DeviceProfile | None = None, *, now: datetime | None = None
) -> list[bytes]:
    """Return the answers to one message in the order to send them.

    Args:
        raw: The message as received; it may be broken.
        outcome: What became of it.
        profile: The device's habits; by default those of the standard.
        now: For MSH-7; aware. By default the current time.
    """
    header = _header_of(raw)
    moment = now or utc_now()
    if header is None:
        code = "AR" if outcome.accepted else "AE"
        return [_without_header(code, outcome.note, moment)]
    code = _application_code(outcome, profile)
    accept, application = header.field(15).strip().upper(), header.field(16).strip().upper()
    is_original = profile is not None and profile.ack_mode == "original"
    if (
        b"\rMSA" in raw or b"\nMSA" in raw
    ):  # an answer is never answered, or two systems would thank each other for ever
        wants_commit = not is_original and accept == b"AL"
        return [_build(header, "CA" if outcome.accepted else "CE", outcome.note, moment)] if wants_commit else []
    if is_original or not {accept, application} & _CONDITIONS:
        return [_build(header, code, outcome.note, moment)]
    answers = []
    if _is_due(accept, is_good=outcome.accepted):
        commit = "CA" if outcome.accepted else "CE"
        answers.append(_build(header, commit, outcome.note, moment))
    if _is_due(application, is_good=code == "AA"):
        answers.append(_build(header, code, outcome.note, moment))
    return answers


def commit_acknowledgements(raw: bytes, outcome: StoreOutcome, profile: DeviceProfile | None = None) -> list[bytes]:
    """Return what enhanced mode wants at once for a message whose own answer follows; often nothing."""
    header = _header_of(raw)
    is_original = profile is not None and profile.ack_mode == "original"
    if header is None or is_original or not _is_due(header.field(15).strip().upper(), is_good=outcome.accepted):
        return []
    return [_build(header, "CA" if outcome.accepted else "CE", outcome.note, utc_now())]


def reject(raw: bytes, reason: str, *, now: datetime | None = None) -> bytes:
    """Return AR for a message that would be refused again, e.g. one beyond the size limit."""
    header = _header_of(raw)
    moment = now or utc_now()
    return _build(header, "AR", reason, moment) if header else _without_header("AR", reason, moment)


def _application_code(outcome: StoreOutcome, profile: DeviceProfile | None) -> str:
    if not outcome.accepted:
        return "AE"
    if outcome.readable:
        return "AA"
    return profile.unreadable_ack if profile else "AE"


def _is_due(condition: bytes, *, is_good: bool) -> bool:
    return condition in {b"AL", b"SU" if is_good else b"ER"}


def _build(header: _Header, code: str, note: str, moment: datetime) -> bytes:
    mark, component = header.mark, header.component
    kind = [b"ACK"]
    trigger = b"".join(header.field(9).split(component)[1:2]).strip() if component else b""
    if trigger:
        trigger = _OTHER_TRIGGERS.get(trigger, trigger)
        kind += [trigger, b"ACK"] if header.version >= _WITH_STRUCTURE else [trigger]
    msh = [
        b"MSH",
        header.encoding,
        *(header.field(number) for number in (5, 6, 3, 4)),
        _stamp(moment, has_zone=_ZONE.search(header.field(7)) is not None),
        b"",
        component.join(kind),
        _new_control_id(),
        header.field(11),
        header.field(12),
        *[b""] * 5,
        header.field(18),
        *[b""] * 2,
        header.field(21),
    ]
    text = _clean(note, header.encoding + mark)
    msa = [b"MSA", code.encode(), header.field(10)] + ([text] if text else [])
    lines = [mark.join(msh).rstrip(mark), mark.join(msa)]
    if code in _CODES and header.version >= _WITH_ERR:
        number, meaning = _CODES[code]
        error = component.join((number.encode(), meaning.encode(), b"HL70357"))
        lines.append(mark.join([b"ERR", b"", b"", error, b"E", b"", b"", b"", text]).rstrip(mark))
    return b"".join(line + b"\r" for line in lines)


def _without_header(code: str, note: str, moment: datetime) -> bytes:
    """Answer bytes that have no MSH: nothing can be echoed."""
    msh = [b"MSH", b"^~\\&", b"", b"", b"", b"", _stamp(moment), b"", b"ACK", _new_control_id(), b"P", b"2.3.1"]
    text = _clean(note or "no MSH segment", b"^~\\&|")
    return b"|".join(msh) + b"\r" + b"|".join([b"MSA", code.encode(), b"", text]) + b"\r"


def _stamp(moment: datetime, *, has_zone: bool = False) -> bytes:
    """Local time; without offset unless the device sends one itself: simple parsers know nothing else."""
    return moment.astimezone(IST).strftime("%Y%m%d%H%M%S%z" if has_zone else "%Y%m%d%H%M%S").encode()


def _new_control_id() -> bytes:
    return new_id().hex[:_CONTROL_ID_LENGTH].encode()


def _clean(note: str, forbidden: bytes) -> bytes:
    """Return `note` without delimiters and control characters, at most 80 characters (MSA-3)."""
    text = note.encode("ascii", errors="replace")
    return bytes(byte for byte in text if byte >= ord(" ") and byte not in forbidden)[:80]
