"""Which link a device speaks, the messages in its bytes, and what is wrong on the line.

Source: ASTM E1381-95, 6 (frames, numbers, phases); HL7 MLLP release 1; SNIBE MAGLUMI, Beckman AU "Online" and Siemens
Dimension framing as field facts, read in specs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from connectors.astm.framing import CR, ENQ, EOT, SMALL_FRAME_TEXT, checksum
from connectors.astm.records import split_messages
from connectors.hl7.framing import FS, VT, split_http_body

MAX_MESSAGES: Final = 200
MAX_EXAMPLES: Final = 3

_FRAME: Final = re.compile(rb"\x02([0-7])([^\x02]*?)([\x03\x17])([0-9A-Fa-f]{2})(\r?\n?)", re.DOTALL)
_STRUCTURE: Final = re.compile(rb"\x05|\x04|\x02([0-7])([^\x02]*?)([\x03\x17])([0-9A-Fa-f]{2})(\r?\n?)", re.DOTALL)
_BLOCK: Final = re.compile(rb"\x02([^\x02\x03\x17]*)[\x03\x17]", re.DOTALL)
_SIMPLE: Final = re.compile(rb"\x02H[^A-Za-z0-9\s][^\x02\x03]*\x03", re.DOTALL)
_DIMENSION: Final = re.compile(rb"\x02[A-Z]\x1c(?:[^\x02\x03]*\x1c)?[0-9A-Fa-f]{2}\x03", re.DOTALL)
_AU: Final = re.compile(rb"\x02(?:R[BE HhD]|D[BEHRAQ ]|d |S[HhE ])[^\x02\x03\x17]*[\x03\x17]", re.DOTALL)
_RECORDS: Final = re.compile(
    rb"(?:^|[\r\n\x02\x05]|\x02[0-7])H([^A-Za-z0-9\s])[^\r\n\x02\x05]*[\r\n]+(?:\d)?[PORQLMC]\1"
)
_HEADER: Final = re.compile(rb"(?:^|[\r\n\x0b])MSH[^A-Za-z0-9\s]")
_MSH: Final = re.compile(rb"MSH([^A-Za-z0-9\s])[^\r\n]*")
_CONTROL_ID: Final = 9
"""MSH-10 where the segment is split at the field delimiter: MSH-1 is the delimiter itself."""
_RECORD_START: Final = re.compile(rb"[HPORCQLMShporcqlms][^A-Za-z0-9\s]")
_NAK: Final = b"\x15"


@dataclass(frozen=True)
class Problem:
    """Something that is wrong on the line, and what to do about it.

    Attributes:
        where: Number of the first frame or message concerned, from 1; 0 for the whole capture.
    """

    code: str
    text: str
    count: int = 1
    where: int = 0


@dataclass(frozen=True)
class Link:
    """How the bytes are put on the line.

    Attributes:
        protocol: `hl7`, `astm`, `au`, `dimension` or `unknown`.
        frame_style: `mllp`, `standard`, `simple`, `bare`, `blocks` or `none`.
        confidence: 0 to 1.
        evidence: What speaks for it, for people.
        messages: Without frames; at most MAX_MESSAGES.
    """

    protocol: str
    frame_style: str
    confidence: float
    evidence: tuple[str, ...] = ()
    messages: tuple[bytes, ...] = field(default=(), repr=False)
    problems: tuple[Problem, ...] = ()
    has_bad_checksums: bool = False
    ends_every_frame: bool = False


def link_of(device: bytes, host: bytes = b"") -> Link:
    """Return what the bytes of a device look like. Raises nothing, whatever they are.

    Args:
        device: What it sent.
        host: What it was answered, as far as known.
    """
    frames = list(_FRAME.finditer(device))
    texts = b"\r".join(match[2] for match in frames) + CR
    if _HEADER.search(device):
        link = _hl7(device)
    elif _DIMENSION.search(device):
        link = _blocks("dimension", device, _DIMENSION, 0.95, "STX, fields parted by FS, a checksum before ETX")
    elif frames and (_RECORDS.search(texts) or not (_SIMPLE.search(device) or _AU.search(device))):
        link = _astm_standard(device, host, len(frames), confidence=1.0 if _RECORDS.search(texts) else 0.6)
    elif _SIMPLE.search(device):
        link = _astm_simple(device)
    elif _AU.search(device):
        link = _blocks("au", device, _AU, 0.9, "STX, a code of two characters, fixed widths, ETX; no ENQ")
    elif _RECORDS.search(device):
        link = _astm_bare(device)
    else:
        link = Link("unknown", "none", 0.0, ("neither HL7 nor ASTM, AU or Dimension marks",))
    return link


def _astm_bare(device: bytes) -> Link:
    messages = split_messages(device.translate(None, b"\x02\x03\x04\x05\x06\x15\x17"))
    evidence = ("records H, P, O … without frames", f"{len(messages)} messages")
    return Link("astm", "bare", 0.8, evidence, _cut(messages), tuple(_terminators(messages)))


def _cut(messages: list[bytes]) -> tuple[bytes, ...]:
    return tuple(messages[:MAX_MESSAGES])


def _blocks(protocol: str, device: bytes, shape: re.Pattern[bytes], confidence: float, why: str) -> Link:
    found = [match[0] for match in shape.finditer(device)]
    return Link(protocol, "blocks", confidence, (why, f"{len(found)} blocks"), _cut(found))


def _hl7(device: bytes) -> Link:
    is_framed = VT in device
    messages = split_http_body(device)
    problems: list[Problem] = []
    if is_framed:
        starts, ends = device.count(VT), device.count(FS)
        if ends < starts:
            problems.append(Problem("BLOCK_NOT_ENDED", "a block without its end mark FS", starts - ends))
        if re.search(rb"\x1c(?!\r)", device):
            problems.append(Problem("NO_CR_AFTER_FS", "FS is not followed by CR; it is accepted"))
    if re.search(rb"[^\r]\n[A-Z][A-Z0-9]{2}[^A-Za-z0-9\s]", device):
        problems.append(Problem("LF_ENDS_SEGMENTS", "segments end with LF instead of CR; it is accepted"))
    problems += _control_ids(messages)
    evidence = ("VT before MSH" if is_framed else "MSH without MLLP marks", f"{len(messages)} messages")
    return Link(
        "hl7", "mllp" if is_framed else "none", 1.0 if is_framed else 0.8, evidence, _cut(messages), tuple(problems)
    )


def _control_ids(messages: list[bytes]) -> Iterator[Problem]:
    """MSH-10 should tell messages apart; many devices send none or always the same."""
    ids = [one for message in messages if (one := _control_id(message)) is not None]
    if any(not one.strip() for one in ids):
        yield Problem("NO_CONTROL_ID", "MSH-10 is empty: repetitions are known by their content alone")
    common = Counter(one for one in ids if one.strip()).most_common(1)
    if common and common[0][1] > 1:
        text = "the same MSH-10 in several messages: it does not tell repetitions apart"
        yield Problem("CONSTANT_CONTROL_ID", text, common[0][1])


def _control_id(message: bytes) -> bytes | None:
    """Return MSH-10, or None where the header is too short to have one."""
    header = _MSH.search(message[:2000])
    fields = header[0].split(header[1]) if header else []
    return fields[_CONTROL_ID] if len(fields) > _CONTROL_ID else None


def _astm_simple(device: bytes) -> Link:
    texts = [match[1] for match in _BLOCK.finditer(device)]
    messages = split_messages(b"".join(text if text.endswith(CR) else text + CR for text in texts))
    evidence = ("all records between STX and ETX, without frame number and checksum", f"{len(texts)} blocks")
    return Link("astm", "simple", 0.9, evidence, _cut(messages), tuple(_terminators(messages)))


def _astm_standard(device: bytes, host: bytes, count: int, *, confidence: float) -> Link:
    walk = _Walk()
    for match in _STRUCTURE.finditer(device):
        walk.take(match)
    messages = split_messages(walk.text())
    problems = [*walk.problems(), *_terminators(messages)]
    if refusals := host.count(_NAK):
        problems.append(Problem("HOST_REFUSED", "the host answered NAK", refusals))
    evidence = (f"{count} frames with number and checksum", "ENQ and EOT" if ENQ in device else "no ENQ in the capture")
    return Link(
        "astm", "standard", confidence, evidence, _cut(messages), tuple(problems),
        has_bad_checksums=walk.bad_checksums == walk.frames, ends_every_frame=walk.ends_every_frame,
    )  # fmt: skip


def _terminators(messages: list[bytes]) -> Iterator[Problem]:
    without = sum(not re.search(rb"[\r\n]L[^A-Za-z0-9\s]", message) for message in messages)
    if without:
        yield Problem("NO_TERMINATOR", "messages without an L record; silence or EOT ends them", without)


class _Walk:
    """Goes over one side's ENQ, frames and EOT once, and remembers what is odd."""

    def __init__(self) -> None:
        self.frames = self.bad_checksums = 0
        self.ends_every_frame = False
        self._texts: list[bytes] = []
        self._last: int | None = None
        self._last_text = b""
        self._was_ended_open = False
        self._is_open = False
        self._seen: Counter[str] = Counter()
        self._first: dict[str, int] = {}

    def take(self, match: re.Match[bytes]) -> None:
        """Take the next mark or frame."""
        if match[0] == ENQ:
            self._note("RESTART" if self._is_open else "", bool(self._is_open))
            self._is_open, self._last = True, None
        elif match[0] == EOT:
            self._is_open, self._last = False, None
        else:
            self._frame(int(match[1]), match[2], is_last=match[3] == b"\x03", check=match[4], end=match[5])

    def text(self) -> bytes:
        """Return the texts joined; a piece that goes on in the next frame is not ended."""
        return b"".join(self._texts)

    def problems(self) -> Iterator[Problem]:
        """Return what was odd."""
        words = {
            "CHECKSUM": "wrong checksums; a device that counts otherwise needs `checksum: ignored`",
            "RESTART": "ENQ in the middle of a transmission: the device began again, an answer did not reach it",
            "DUPLICATE_FRAME": "a frame was sent again: our ACK did not arrive",
            "FRAME_JUMP": "a frame number was left out: bytes are missing",
            "FRAME_TOO_LONG": f"frames longer than {SMALL_FRAME_TEXT} characters; accepted over TCP",
            "ETX_ON_EVERY_PIECE": "a record goes on after ETX: set `transmission.ends_every_frame`",
            "NO_LINE_END": "frames without CR LF at their end; accepted",
        }
        for code, text in words.items():
            if self._seen[code]:
                yield Problem(code, text, self._seen[code], self._first[code])

    def _frame(self, number: int, text: bytes, *, is_last: bool, check: bytes, end: bytes) -> None:
        self.frames += 1
        is_bad = check.upper() != checksum(b"%d" % number + text + (b"\x03" if is_last else b"\x17"))
        self.bad_checksums += is_bad
        self._note("CHECKSUM", is_bad)
        self._note("NO_LINE_END", end != b"\r\n")
        self._note("FRAME_TOO_LONG", len(text) > SMALL_FRAME_TEXT)
        is_again = number == self._last and text == self._last_text
        self._note("DUPLICATE_FRAME", is_again)
        if not is_again:
            self._note("FRAME_JUMP", self._last is not None and number != (self._last + 1) % 8)
            goes_on = bool(self._texts) and self._was_ended_open and not _RECORD_START.match(text)
            self._note("ETX_ON_EVERY_PIECE", goes_on)
            self.ends_every_frame = self.ends_every_frame or goes_on
            if self._texts and self._was_ended_open and not goes_on:
                self._texts.append(CR)
            self._texts.append(text)
            self._was_ended_open = is_last and not text.endswith(CR)
        self._last, self._last_text = number, text

    def _note(self, code: str, is_so: bool) -> None:
        if is_so:
            self._seen[code] += 1
            self._first.setdefault(code, self.frames)
