"""From a capture to all a person needs to enter the device: link, sender, models, barcode field, codes, problems.

Bounded and total: any bytes give findings, the worst of them "unknown".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from connectors.analyzers.driver import MODELS
from connectors.analyzers.model import DeviceModel
from connectors.astm.codec import Record, parse_records
from connectors.astm.codec import delimiters_of as astm_delimiters
from connectors.conversations import read_message
from connectors.hl7.codec import Hl7Message, parse_message
from connectors.hl7.codec import delimiters_of as hl7_delimiters
from connectors.onboarding.capture import MAX_BYTES, Capture
from connectors.onboarding.fields import RESULT_RECORDS, FieldScore, specimen_fields
from connectors.onboarding.links import Link, Problem, link_of
from connectors.onboarding.marks import Candidate, Marks, candidates_for
from domain.code_suggestions import CodeSuggestion, Suggest, no_suggestions
from domain.device_profile import DeviceProfile, decode_text
from domain.errors import FrameError, MessageError
from domain.observations import InstrumentMessage, MessageKind

MAX_CODES: Final = 300
MAX_VALUES: Final = 5
_SURE: Final = 0.5
"""A field below this is shown, not proposed."""
_NAMED: Final = 0.7
"""A model below this is shown, not used: test codes of blood counts are much the same everywhere."""
_CHARSET: Final = re.compile(rb"MSH([^A-Za-z0-9\s])[^\r\n]{0,2000}")


@dataclass(frozen=True)
class CodeSeen:
    """One test code of the device.

    Attributes:
        units: The unit texts it came with; "" for none.
        values: A few raw values, for comparing with the device's screen: clinical.
    """

    code: str
    count: int
    units: tuple[str, ...]
    values: tuple[str, ...] = field(repr=False)
    suggestions: tuple[CodeSuggestion, ...] = ()


@dataclass(frozen=True)
class Findings:
    """What a capture says of its device.

    Attributes:
        delimiters: By name, as the header declares them.
        charset: Codec that fits the bytes.
        declared_charset: What MSH-18 says, or "".
        profile: A draft: the link, the best field, the best model's rules.
        kinds: How many messages of each kind.
        controls: Names of control material seen.
    """

    protocol: str
    frame_style: str
    confidence: float
    evidence: tuple[str, ...]
    delimiters: Mapping[str, str]
    charset: str
    declared_charset: str
    marks: Marks | None
    candidates: tuple[Candidate, ...]
    specimen_fields: tuple[FieldScore, ...]
    codes: tuple[CodeSeen, ...]
    controls: tuple[str, ...]
    kinds: Mapping[str, int]
    problems: tuple[Problem, ...]
    profile: DeviceProfile | None
    messages: int


def examine(
    capture: Capture, suggest: Suggest = no_suggestions, models: Mapping[str, DeviceModel] = MODELS
) -> Findings:
    """Return what a capture says of its device. Raises nothing for its content; may take a second for a large one.

    Args:
        capture: What was said on the line.
        suggest: Proposes tests of the laboratory for a code.
        models: Built-in models by key.
    """
    found = _findings(capture, suggest, models)
    return replace(found, problems=(*found.problems, *_missing(capture)))


def _missing(capture: Capture) -> Iterable[Problem]:
    if capture.is_cut:
        yield Problem("CAPTURE_CUT", f"only the first {MAX_BYTES} bytes were looked at")
    if capture.left_out:
        yield Problem("CAPTURE_GAPS", f"{capture.left_out} bytes were not recorded: messages may be incomplete")


def _findings(capture: Capture, suggest: Suggest, models: Mapping[str, DeviceModel]) -> Findings:
    link = link_of(capture.device_bytes, capture.host_bytes)
    if link.protocol == "unknown" and capture.host_bytes:
        link = _seen_from_the_host(link, link_of(capture.host_bytes))
    if capture.is_stored and link.frame_style == "bare":  # what is stored has lost its frames
        link = replace(link, frame_style="standard", evidence=("records H, P, O …; stored without their frames",))
    if link.protocol not in {"astm", "hl7"}:
        return _without_reader(link)
    text, charset = _text_of(link)
    marks = _marks_of(link, text)
    scores = specimen_fields(link.messages, link.protocol)
    plain = _profile(link, scores, None)
    codes = {row.code for message in _readings(link, plain)[0] for row in _rows(message)}
    candidates = candidates_for(marks, codes, models)
    model = next((models[one.model] for one in candidates if one.model in models and one.score >= _NAMED), None)
    profile = _profile(link, scores, model)
    readings, unread = _readings(link, profile)
    return Findings(
        protocol=link.protocol, frame_style=link.frame_style, confidence=link.confidence, evidence=link.evidence,
        delimiters=_delimiters(link, text), charset=charset, declared_charset=_declared(link),
        marks=marks, candidates=tuple(candidates), specimen_fields=tuple(scores),
        codes=tuple(_codes(readings, suggest, model)), controls=tuple(_controls(readings)), kinds=_kinds(readings),
        problems=(*link.problems, *unread, *_charset_problems(link, charset)), profile=profile,
        messages=len(link.messages),
    )  # fmt: skip


def _seen_from_the_host(device: Link, host: Link) -> Link:
    """Return the link where the device only answered: what was sent to it shows the link, nothing of its results."""
    if host.protocol == "unknown":
        return device
    text = "the device only answered: capture what it sends by itself as well"
    problem = Problem("HOST_SIDE_ONLY", text)
    return replace(host, confidence=host.confidence / 2, messages=(), problems=(*host.problems, problem))


def _without_reader(link: Link) -> Findings:
    profile = None
    if link.protocol in {"au", "dimension"}:
        profile = DeviceProfile.model_validate({"protocol": link.protocol})
    return Findings(
        protocol=link.protocol, frame_style=link.frame_style, confidence=link.confidence, evidence=link.evidence,
        delimiters={}, charset="latin-1", declared_charset="", marks=None, candidates=(), specimen_fields=(), codes=(),
        controls=(), kinds={}, problems=link.problems, profile=profile, messages=len(link.messages),
    )  # fmt: skip


def _text_of(link: Link) -> tuple[str, str]:
    """Return the first message as text, and the codec that fits all of them."""
    whole = b"".join(link.messages)
    declared = _declared(link)
    for name in ("ascii", "utf-8", declared):
        try:
            whole.decode(name or "ascii")
        except (UnicodeDecodeError, LookupError):
            continue
        return (link.messages[0].decode(name or "ascii") if link.messages else ""), name
    text, _ = decode_text(link.messages[0], ()) if link.messages else ("", True)
    return text, "latin-1"


def _declared(link: Link) -> str:
    for message in link.messages[:1]:
        header = _CHARSET.search(message)
        if link.protocol == "hl7" and header:
            fields = header[0].split(header[1])
            return fields[17].decode("ascii", errors="replace").strip()[:40] if len(fields) > 17 else ""  # noqa: PLR2004
    return ""


def _charset_problems(link: Link, charset: str) -> Iterable[Problem]:
    if link.protocol == "hl7" and charset != "ascii" and not _declared(link):
        yield Problem("CHARSET_NOT_DECLARED", f"MSH-18 is empty and the text is no ASCII: it reads as {charset}")
    if charset == "latin-1":
        yield Problem("CHARSET_UNSURE", "the text is neither ASCII nor UTF-8: set `charset` after looking at a name")


def _delimiters(link: Link, text: str) -> dict[str, str]:
    try:
        if link.protocol == "hl7":
            hl7 = hl7_delimiters(text[text.find("MSH") :] if "MSH" in text else text)
            return {
                "field": hl7.field, "component": hl7.component, "repeat": hl7.repetition, "escape": hl7.escape,
                "subcomponent": hl7.subcomponent,
            }  # fmt: skip
    except MessageError:
        return {}
    astm = astm_delimiters(text)
    return {"field": astm.field, "repeat": astm.repeat, "component": astm.component, "escape": astm.escape}


def _marks_of(link: Link, text: str) -> Marks:
    try:
        if link.protocol == "hl7":
            return _hl7_marks(parse_message(link.messages[0])) if link.messages else Marks("hl7")
        records = parse_records(text)
    except MessageError:
        return Marks(link.protocol)
    header = next((record for record in records if record.kind == "H"), None)
    row = next((record for record in records if record.kind == "R"), None)
    if header is None:
        return Marks("astm")
    return Marks(
        protocol="astm", sender=header.value(5).strip()[:200], version=header.value(13).strip()[:40],
        kind=" ".join(part for part in (header.value(11).strip(), header.value(12).strip()) if part)[:80],
        instrument=_instrument(row), repeat=_delimiters(link, text).get("repeat", ""),
    )  # fmt: skip


def _instrument(row: Record | None) -> str:
    return row.value(14).strip()[:80] if row else ""


def _hl7_marks(message: Hl7Message) -> Marks:
    header = message.header
    row = next((segment for segment in message.segments if segment.name == "OBX"), None)
    order = next((segment for segment in message.segments if segment.name == "OBR"), None)
    sender = " ".join(part for part in (header.value(3).strip(), header.value(4).strip()) if part)
    # some makers leave the sender empty, but name their own coding system (99MRC, 99ROC, 99ABT)
    system = order.value(4, 3).strip() if order else ""
    named = (row.value(18).strip() if row else "", system if system.startswith("99") else "")
    return Marks(
        protocol="hl7", sender=sender[:200], version=header.value(12).strip()[:40],
        kind=header.value(9).strip()[:40], instrument=" ".join(part for part in named if part)[:80],
        repeat=message.delimiters.repetition,
    )  # fmt: skip


def _profile(link: Link, scores: Sequence[FieldScore], model: DeviceModel | None) -> DeviceProfile:
    """Return a draft: the model's rules where one is likely, else the standard's with the best field first."""
    facts: dict[str, Any] = {"protocol": link.protocol}
    if model is not None:
        facts = model.profile.model_dump(mode="json")
    if link.protocol == "astm":
        facts["frame_style"] = link.frame_style
        facts["checksum"] = "ignored" if link.has_bad_checksums else "required"
        if link.ends_every_frame:
            facts["transmission"] = {**facts.get("transmission", {}), "ends_every_frame": True}
    best = [score for score in scores if score.path.partition(".")[0] in RESULT_RECORDS]
    if best and best[0].score >= _SURE:
        before = facts.get("specimen_fields") or DeviceProfile.model_validate(facts).specimen_fields
        facts["specimen_fields"] = list(dict.fromkeys([best[0].path, *before]))
    return DeviceProfile.model_validate(facts)


def _readings(link: Link, profile: DeviceProfile) -> tuple[list[InstrumentMessage], list[Problem]]:
    found: list[InstrumentMessage] = []
    codes: dict[str, tuple[int, int]] = {}
    for number, message in enumerate(link.messages, start=1):
        try:
            found.append(read_message(message, profile))
        except (MessageError, FrameError) as error:
            count, first = codes.get(error.message, (0, number))
            codes[error.message] = (count + 1, first)
    problems = [Problem("UNREADABLE", text, count, first) for text, (count, first) in list(codes.items())[:10]]
    return found, problems


@dataclass(frozen=True)
class _Row:
    code: str
    value: str
    unit: str


def _rows(message: InstrumentMessage) -> Iterable[_Row]:
    return (_Row(one.code, one.value, one.unit) for report in message.specimens for one in report.observations)


def _codes(readings: Sequence[InstrumentMessage], suggest: Suggest, model: DeviceModel | None) -> Iterable[CodeSeen]:
    rows: dict[str, list[_Row]] = {}
    for message in readings:
        for row in _rows(message):
            if row.code in rows or len(rows) < MAX_CODES:
                rows.setdefault(row.code, []).append(row)
    for code, seen in rows.items():
        units = tuple(dict.fromkeys(row.unit for row in seen))[:MAX_VALUES]
        values = tuple(dict.fromkeys(row.value for row in seen if row.value))[:MAX_VALUES]
        proposed = model.lab_code_of(code) if model else ""
        yield CodeSeen(code, len(seen), units, values, tuple(suggest(code, units, proposed)))


def _controls(readings: Sequence[InstrumentMessage]) -> Iterable[str]:
    names = (
        report.control_name or report.specimen_id
        for message in readings
        for report in message.specimens
        if report.is_control
    )
    return list(dict.fromkeys(names))[:50]


def _kinds(readings: Sequence[InstrumentMessage]) -> dict[str, int]:
    counted = {kind.value: sum(message.kind is kind for message in readings) for kind in MessageKind}
    return {kind: count for kind, count in counted.items() if count}
