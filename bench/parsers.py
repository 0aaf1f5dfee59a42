"""Our readers of analyzer messages against the libraries that people would otherwise take, on the same bytes."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version

from astm import codec as astm_library
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message as hl7apy_parse

from bench.results import Section, Table, is_quick, percentile, recorded, timed
from connectors.analyzers.driver import MODELS
from connectors.analyzers.simulated_values import chemistry_values, haematology_values
from connectors.analyzers.simulator import ChemistryAnalyzerSimulator, HaematologyAnalyzerSimulator
from connectors.astm import codec as astm
from connectors.astm.framing import frames_of
from connectors.astm.messages import read_message as read_astm
from connectors.hl7 import codec as hl7
from connectors.hl7.messages import read_message as read_hl7

SPECIMEN = "261123000425"

_NOTES = (
    (
        "hl7apy runs tolerant and without groups, its quickest way of reading; it looks every element up in the"
        " standard's tables, which we do only where a message is to be validated."
    ),
    (
        "astm-2025 is given the message's frames and checks each of them, as our `unframe and read` does; our `parse`"
        " is given the records without their frames."
    ),
)


def run() -> None:
    """Measure and record."""
    section = Section(
        "parsers",
        "Reading analyzer messages",
        "One message of each simulated device is parsed again and again in one thread; p50 of single calls. `parse`"
        " cuts it into records and fields, as the libraries do; `read` also turns it into specimens and observations.",
    )
    with recorded(section):
        section.tables += [_hl7(), _astm()]
        section.notes = list(_NOTES)


def _hl7() -> Table:
    raw = HaematologyAnalyzerSimulator("", 0).message(SPECIMEN, haematology_values(1, SPECIMEN), None)
    text = raw.decode("utf-8")
    return _compared(
        f"HL7 v2, {len(raw)} bytes, {raw.count(b'OBX')} OBX",
        {
            "LabSetu parse": lambda: _all_fields(hl7.parse_message(raw)),
            "LabSetu read": lambda: read_hl7(raw, MODELS["mindray_bc"].profile),
            f"hl7apy {version('hl7apy')} parse": lambda: hl7apy_parse(
                text, validation_level=VALIDATION_LEVEL.TOLERANT, find_groups=False
            ),
        },
    )


def _all_fields(message: hl7.Hl7Message) -> int:
    """Cut every field: our segments are cut when first asked, the libraries' at once."""
    return sum(len(segment.value(3)) for segment in message.segments)


def _astm() -> Table:
    raw = ChemistryAnalyzerSimulator("", 0).message(SPECIMEN, chemistry_values(1, SPECIMEN), None)
    frames = frames_of(raw)
    framed = b"".join(frames)
    text = raw.decode("utf-8")
    return _compared(
        f"ASTM E1394, {len(raw)} bytes, {raw.count(b'R|')} results, {len(frames)} frames",
        {
            "LabSetu parse": lambda: [record.value(3) for record in astm.parse_records(text)],
            "LabSetu unframe and read": lambda: read_astm(framed, MODELS["mindray_bs"].profile),
            f"astm-2025 {version('astm-2025')} decode": lambda: [
                astm_library.decode_message(frame, "utf-8") for frame in frames
            ],
        },
    )


def _compared(title: str, calls: dict[str, Callable[[], object]]) -> Table:
    table = Table(["reader", "ms", "per second", "times the library's"], title=title)
    found = {}
    for name, call in calls.items():
        call()
        found[name] = percentile(timed(call, for_s=0.3 if is_quick() else 3), 50)
    *_, library = found.values()
    table.rows = [(name, spent * 1000, 1 / spent, library / spent) for name, spent in found.items()]
    return table
