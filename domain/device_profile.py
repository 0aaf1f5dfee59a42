"""What differs from one analyzer to the next: a profile per device, stored as JSON and edited by the lab.

One engine reads every device; the profile says where this one puts the barcode, how it marks a control, which rows
are no results. `DeviceProfile(protocol="astm")` and `DeviceProfile(protocol="hl7")` read a device that keeps to the
standard.

A *field path* names a field: `O.3` (record O, field 3, all components), `O.3.1` (component 1), `SPM.2.1.1`
(subcomponent 1, HL7 only). Numbers are those of the standards: `H.2` and `MSH.2` are the delimiters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from domain.device_orders import WorkAction
from domain.observations import ObservationStatus

FieldReader: TypeAlias = Callable[[str], tuple[str, ...]]
"""Returns all repetitions found at a field path, unescaped; an absent field gives an empty tuple."""

DELETE_VALUE: Final = '""'
"""Both standards write two quotes for "delete what you have": never an id or a value."""

_USABLE: Final = frozenset({ObservationStatus.FINAL, ObservationStatus.CORRECTED, ObservationStatus.PRELIMINARY})

_PATH = re.compile(r"([A-Z][A-Z0-9]{0,2})\.(\d{1,3})(?:\.(\d{1,2})(?:\.(\d{1,2}))?)?")
_INSTANT = re.compile(
    r"(\d{4})[-/]?(\d\d)[-/]?(\d\d)(?:[T ]?(\d\d):?(\d\d)(?::?(\d\d)(?:\.\d{1,6})?)?)? ?([+-]\d{4})?", re.ASCII
)
_DECIMAL_COMMA = re.compile(r"([<>]?=?\s*[+-]?\d+),(\d+)", re.ASCII)


class FieldPath(NamedTuple):
    """A parsed field path; component and subcomponent are 0 where the path names none."""

    segment: str
    field: int
    component: int
    subcomponent: int


@lru_cache(maxsize=512)
def parse_path(path: str) -> FieldPath:
    """Parse a field path.

    Raises:
        ValueError: It is not one.
    """
    match = _PATH.fullmatch(path)
    if match is None or match[2] == "0":
        raise ValueError(f"not a field path: {path!r}")
    return FieldPath(match[1], int(match[2]), int(match[3] or 0), int(match[4] or 0))


def _checked_path(path: str) -> str:
    parse_path(path)
    return path


def _checked_pattern(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return pattern


def _checked_charset(name: str) -> str:
    try:
        known = name == "auto" or b"A1|".decode(name) == "A1|"
    except (LookupError, UnicodeError):
        known = False
    if not known:
        raise ValueError(f"not a character set that contains ASCII: {name}")
    return name


def _checked_cut(pattern: str) -> str:
    if pattern and re.compile(_checked_pattern(pattern)).groups < 1:
        raise ValueError("the pattern needs a group around what is wanted")
    return pattern


def _checked_code_cut(pattern: str) -> str:
    if pattern and "code" not in re.compile(_checked_pattern(pattern)).groupindex:
        raise ValueError("the pattern needs a group named code")
    return pattern


Path: TypeAlias = Annotated[str, AfterValidator(_checked_path)]
Paths: TypeAlias = tuple[Path, ...]
CutPattern: TypeAlias = Annotated[str, AfterValidator(_checked_cut), Field(max_length=200)]
CodePattern: TypeAlias = Annotated[str, AfterValidator(_checked_code_cut), Field(max_length=200)]


class FieldRule(BaseModel):
    """Holds when any repetition of a field is one of `equals` or matches `pattern` from its start."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    field: Path
    equals: tuple[str, ...] = ()
    pattern: Annotated[str, AfterValidator(_checked_pattern), Field(max_length=200)] = ""

    def holds(self, read: FieldReader) -> bool:
        """Tell whether the rule holds for the fields `read` sees. Only the first 64 characters are looked at."""
        for value in read(self.field):
            text = value.strip()[:64]
            if text in self.equals or (self.pattern and text and re.match(self.pattern, text)):
                return True
        return False


_CONTROL_ID = r"(?i)(?:QC|CTRL|CONTROL)[-_ ]|XbarM"
"""Barcodes given to control material. Source: Sysmex XN ASTM host interface (`QC-`, `XbarM`), read in specs."""

_DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "astm": {
        "specimen_fields": ("O.3.1",),
        "patient_fields": ("P.3.1", "P.4.1"),
        # CLSI LIS02-A2, 6.6.1: the manufacturer's own code is the fourth component; Sysmex uses the fifth.
        "test_code_fields": ("R.3.4", "R.3.5", "R.3.1"),
        "value_fields": ("R.4",),
        "time_fields": ("R.13", "R.12"),
        # H.12 processing id Q, O.12 action code Q (CLSI LIS02-A2, 6.2 and 8.4.12); Roche writes QC in O.4.
        "control_rules": (
            FieldRule(field="H.12.1", equals=("Q",)),
            FieldRule(field="O.12", equals=("Q",)),
            FieldRule(field="O.4.5", equals=("QC",)),
            FieldRule(field="O.3.1", pattern=_CONTROL_ID),
        ),
        "control_name_fields": ("O.3.1",),
    },
    "hl7": {
        "specimen_fields": ("SPM.2.1.1", "SAC.3.1.1", "OBR.3.1", "OBR.2.1"),
        "patient_fields": ("PID.3.1", "PID.2.1"),
        "test_code_fields": ("OBX.3.1",),
        "value_fields": ("OBX.5",),
        "time_fields": ("OBX.19", "OBX.14", "OBR.7"),
        # SPM-11 table 0369: Q control, C calibrator, E electronic QC; MSH-11 Q is the Mindray haematology mark.
        "control_rules": (
            FieldRule(field="MSH.11.1", equals=("Q",)),
            FieldRule(field="SPM.11.1", equals=("Q", "C", "E")),
            FieldRule(field="SPM.2.1.1", pattern=_CONTROL_ID),
            FieldRule(field="OBR.3.1", pattern=_CONTROL_ID),
        ),
        "control_name_fields": ("INV.16.1", "INV.1.1", "SPM.2.1.1"),
        "skip_rows": (
            FieldRule(field="OBX.2", equals=("RP",)),
            FieldRule(field="OBX.3.4", equals=("S_OTHER", "S_RAW")),
        ),
        "image_rows": (FieldRule(field="OBX.2", equals=("ED",)),),
    },
}


class Transmission(BaseModel):
    """ASTM: how this device wants what we send to it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    packing: Literal["record", "packed"] = "record"
    """`record` starts a frame for every record, as the standard has it; `packed` fills each frame."""
    frame_text: Annotated[int, Field(ge=20, le=63_993)] = 240
    """Most bytes of text in one frame. Source: E1381-95 (240); LIS01-A2 (63,993), read in specs."""
    ends_every_frame: bool = False
    """Every frame ends with ETX, also where a record goes on in the next one."""


WorkStyle: TypeAlias = Literal[
    "none",
    "astm",
    "roche_astm",
    "sysmex",
    "law",
    "roche_law",
    "mindray_bs",
    "mindray_bc",
    "getein",
    "cepheid",
    "snibe",
    "oml",
    "au",
    "dimension",
]
"""The dialect in which work is asked for and given: `none` for devices that only send."""


class WorkRules(BaseModel):
    """How this device asks for work and is given it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    style: WorkStyle = "none"
    answers_queries: bool = False
    """The device asks (host query) and is answered."""
    sends_unasked: bool = False
    """Work is sent as soon as the tube is received (download, broadcast)."""
    query_fields: Paths = ()
    """Where a query names the tube; empty for what the style says."""
    specimen_form: Annotated[str, Field(max_length=80, pattern=r"^$|\{id\}")] = ""
    """ASTM: how O.3 names a tube, with `{id}` for the barcode and `^` between components, e.g. `{id}^03` for an Erba
    XL container; empty for what the style says."""
    test_form: Annotated[str, Field(max_length=80, pattern=r"^$|\{code\}")] = ""
    """ASTM: how O.5 names a test, with `{code}` and `^` between components, e.g. `^^^{code}`; empty for the style's."""
    further_test_form: Annotated[str, Field(max_length=80, pattern=r"^$|\{code\}")] = ""
    """ASTM: the same for all tests after the first, where they differ: VITROS 3600 `{code}+1.0`."""
    one_test_per_order: bool = False
    """ASTM: an O record for every test, for devices that read no repetitions (cobas infinity)."""
    code_pattern: Annotated[str, AfterValidator(_checked_pattern), Field(max_length=200)] = ""
    """Group 1 is the part of the device's code that an order names, where results carry more: Roche `685/1/not`."""
    actions: dict[WorkAction, Annotated[str, Field(max_length=4)]] = Field(default_factory=dict)
    """Letters for O.12 (or ORC-1) where this device deviates from its style."""
    specimen_codes: dict[str, Annotated[str, Field(max_length=20)]] = Field(default_factory=dict)
    """The lab's words for kinds of specimen in the device's; `*` for all others."""
    no_work: Literal["style", "terminator", "no_order", "no_patient", "do_not_run", "silent"] = "style"
    """How "nothing to do" is said: as the style has it; ASTM L.3 `I`; O.26 `Y`, `Z` or Sysmex `X`; or not at all."""
    specimen_width: Annotated[int, Field(ge=0, le=64)] = 0
    """Barcodes sent unasked are padded to this width; answers to queries always echo the padding received."""
    pads: Literal["left", "right"] = "left"
    """On which side blanks are put."""
    connections: Literal["shared", "two"] = "shared"
    """Whether work goes over the connection on which results come, or over one of its own."""
    coding_system: Annotated[str, Field(max_length=40)] = ""
    """HL7: the name of the device's own code table in orders (`99ABT`, `99ROC`); empty for what the style says."""
    answer_s: Annotated[float, Field(gt=0, le=300)] = 15.0
    """HL7: longest wait for the device's answer to what we send, and for our own answer to its query, seconds."""
    attempts: Annotated[int, Field(ge=1, le=10)] = 3
    """HL7: how often work is sent unasked before it goes back into the queue."""


class AuLayout(BaseModel):
    """Beckman AU "Online": widths that each site sets on the machine.

    Source: field facts from live sites citing the AU680/AU480 Instrument Online Specification, read in specs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    has_check_byte: bool = False
    """Whether blocks end with one byte of exclusive-or over everything after STX through ETX or ETB."""
    specimen_width: Annotated[int, Field(ge=4, le=40)] = 26
    test_width: Literal[2, 3] = 3
    dilution_width: Annotated[int, Field(ge=0, le=2)] = 0
    value_width: Literal[6, 9] = 6
    marks_width: Annotated[int, Field(ge=0, le=8)] = 2
    results_offset: Annotated[int, Field(ge=0, le=200)] = 0
    """Characters between the identity and the first result; 0 where they follow at once."""
    has_name_block: bool = False
    """Answers carry `M00000` and a name of 20 characters before the tests."""


class RowVariant(BaseModel):
    """A second reading of the same test under a code of its own: `651` is the number, `651/I` what it means."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    when: FieldRule
    suffix: Annotated[str, Field(min_length=1, max_length=8)]
    """Put behind the code of rows for which `when` holds."""


class OrderResult(BaseModel):
    """A result that stands in the order segment itself, without a row (HL7 control runs of Mindray chemistry)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    when: FieldRule
    code_fields: Paths
    value_fields: Paths
    unit_fields: Paths = ()
    time_fields: Paths = ()


class DeviceProfile(BaseModel):
    """How one analyzer speaks. Unset fields take the defaults of the protocol."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    protocol: Literal["astm", "hl7", "au", "dimension"]
    frame_style: Literal["standard", "bare", "simple"] = "standard"
    """ASTM: `bare` devices send records without frames, checksums or ENQ/EOT and expect no answers; `simple` ones
    (SNIBE) put all records between STX and ETX without number and checksum."""
    checksum: Literal["required", "ignored"] = "required"
    transmission: Transmission = Transmission()
    work: WorkRules = WorkRules()
    au: AuLayout = AuLayout()
    charset: Annotated[str, AfterValidator(_checked_charset)] = "auto"
    """Python codec of the device's text; `auto` is what the message declares, then UTF-8, then Latin-1."""
    utc_offset_minutes: Annotated[int, Field(ge=-840, le=840)] = 330
    """Offset of the device's clock for times it sends without one."""
    decimal_comma: bool = False
    specimen_fields: Paths = ()
    """Where the barcode is; the first that is not empty counts."""
    specimen_cut: CutPattern = ""
    """Where the barcode is only part of the field: its first group, matched from the start."""
    patient_fields: Paths = ()
    """Where the patient's number may be. It identifies nobody: it is only compared, and a tube whose order is of
    another patient than the one named by the laboratory's own number waits for a person."""
    test_code_fields: Paths = ()
    code_cut: CodePattern = ""
    """Where the code is only part of the field: group `code`, and group `replicate` if there is one."""
    row_variants: tuple[RowVariant, ...] = ()
    value_fields: Paths = ()
    side_value_fields: Paths = ()
    """What else stands in the value (verdict beside the index, signal beside the result): kept as a comment."""
    unit_fields: Paths = ()
    """Empty for the field of the standard; the same for ranges and flags."""
    unit_names: dict[str, str] = Field(default_factory=dict)
    """Units of devices that send numbers for them, by number; set on each device."""
    unit_in_value: bool = False
    """Value and unit come as one text: `6.73E+01 cp/mL`."""
    range_fields: Paths = ()
    flag_fields: Paths = ()
    flag_separator: Annotated[str, Field(max_length=1)] = ""
    """Where several flags stand in one text: `TV,TPNR,TH`."""
    replicate_fields: Paths = ()
    time_fields: Paths = ()
    control_rules: tuple[FieldRule, ...] = ()
    """Any one is enough to call a specimen control material."""
    control_name_fields: Paths = ()
    """What the control is called; its barcode where these are empty."""
    skip_rows: tuple[FieldRule, ...] = ()
    """Rows that are no results: images, raw signals."""
    keep_rows: tuple[FieldRule, ...] = ()
    """Where there are any, only rows for which one holds are results (Abbott: kind F)."""
    image_rows: tuple[FieldRule, ...] = ()
    """Rows that carry an image or a histogram; they are kept as files beside the results."""
    comment_rows: tuple[FieldRule, ...] = ()
    """Rows that say something about the specimen: run modes, morphology alarms."""
    held_rows: tuple[FieldRule, ...] = ()
    """Results that a person must look at: their status is unknown, whatever the device calls them."""
    order_result: OrderResult | None = None
    """HL7: results in the OBR."""
    void_comments: tuple[str, ...] = ()
    """Comments that say "nothing to say", such as alarm 0."""
    status_overrides: dict[str, ObservationStatus] = Field(default_factory=dict)
    """Status letters this device uses in its own sense."""
    not_values: tuple[str, ...] = (
        "-",
        "--",
        "---",
        "----",
        "*",
        "**",
        "***",
        "****",
        "***.*",
        "***.**",
        "NA",
        "No Result",
    )
    """Texts that stand for "no value"."""
    ignored_codes: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=60)], ...], Field(max_length=500)] = ()
    """Codes that this device reports and the laboratory never orders: where nothing was ordered that takes their value,
    they open no exception. They stay in the message; a value that was ordered is placed all the same."""
    zero_is_failure: tuple[str, ...] = ()
    """Codes for which this device sends 0 when the run was blank or failed."""
    significant_digits: Annotated[int, Field(ge=0, le=15)] = 0
    """Numbers are rounded to so many digits where a device prints binary fractions; 0 leaves them as sent."""
    specimen_pattern: Annotated[str, AfterValidator(_checked_pattern), Field(max_length=200)] = ""
    """Barcodes of this device must match it from the start; "" for the lab's own accession numbers only.

    Where several `specimen_fields` are filled, the first that matches counts. Where the pattern has a group, the first
    one is the number: `(\\d{12})-\\d+` takes off what a device adds."""
    specimen_max_age_days: Annotated[int, Field(ge=1, le=3660)] = 30
    """A tube collected longer before its results came is taken for another one; its results wait for a person."""
    replicates: Literal["last", "hold"] = "last"
    """Of several final values for one test of one tube the last counts, or they wait for a person if they differ."""
    ack_mode: Literal["auto", "original"] = "auto"
    """HL7: `auto` honours MSH-15 and MSH-16; `original` always sends one application acknowledgement."""
    unreadable_ack: Literal["AA", "AE", "AR"] = "AE"
    """HL7: the answer to a message that is kept but not understood; some devices send for ever until they see AA."""

    @model_validator(mode="before")
    @classmethod
    def _fill_defaults(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        return {**_DEFAULTS.get(str(given.get("protocol")), {}), **given}

    def instant(self, text: str) -> datetime | None:
        """Return the aware UTC instant of a device's date-time text, or None where it is none.

        Reads `YYYYMMDD[HHMM[SS[.f]]][±HHMM]` and the same with dashes, slashes and colons; a date alone is midnight.
        """
        match = _INSTANT.fullmatch(text.strip())
        if match is None:
            return None
        year, month, day, hour, minute, second, offset = match.groups()
        minutes = self.utc_offset_minutes
        if offset:
            minutes = (1 if offset[0] == "+" else -1) * (int(offset[1:3]) * 60 + int(offset[3:5]))
        try:
            zone = timezone(timedelta(minutes=minutes))
            local = datetime(
                int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), tzinfo=zone
            )
            return local.astimezone(UTC)
        except (ValueError, OverflowError):
            return None

    def value_text(self, text: str) -> str:
        """Return a value as the lab writes it: stripped, with a decimal point where the device has a comma."""
        value = text.strip()
        if self.decimal_comma:
            match = _DECIMAL_COMMA.fullmatch(value)
            return f"{match[1]}.{match[2]}" if match else value
        return value

    def settled_status(self, letter: str, value: str, table: Mapping[str, ObservationStatus]) -> ObservationStatus:
        """Return the status of a row: the device's own sense first, then the standard's `table`.

        A row that calls itself final without a usable value has failed.
        """
        status = self.status_overrides.get(letter) or table.get(letter, ObservationStatus.UNKNOWN)
        if status in _USABLE and (not value or value == DELETE_VALUE or value in self.not_values):
            return ObservationStatus.FAILED
        return status

    def is_control(self, read: FieldReader) -> bool:
        """Tell whether the specimen `read` sees is control or calibrator material."""
        return any(rule.holds(read) for rule in self.control_rules)


def first_value(paths: Iterable[str], read: FieldReader) -> str:
    """Return the first value at `paths` that is not empty and not "delete", stripped of padding, else ""."""
    for path in paths:
        for value in read(path):
            text = value.strip()
            if text and text != DELETE_VALUE:
                return text
    return ""


def decode_text(raw: bytes, charsets: Iterable[str]) -> tuple[str, bool]:
    """Decode `raw` with the first of `charsets` that fits, at last as Latin-1, which always does.

    Returns:
        The text, and whether the first of `charsets` was not good enough.
    """
    for position, name in enumerate(charsets):
        try:
            return raw.decode(name), position > 0
        except (UnicodeDecodeError, LookupError):
            continue
    return raw.decode("latin-1"), True
