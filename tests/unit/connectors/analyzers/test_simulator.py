from datetime import UTC, datetime

import pytest
from hl7apy.parser import parse_segments

from connectors.analyzers.simulator import ChemistryAnalyzerSimulator, HaematologyAnalyzerSimulator
from connectors.conversations import read_message
from connectors.hl7.validation import validate_message
from domain.device_profile import DeviceProfile

NOW = datetime(2026, 11, 23, 1, 2, 3, tzinfo=UTC)
VALUES = {"GLU": "95.5", "SGOT": "280.000000", "XYZ": "1"}
COUNTS = {"WBC": "25.10", "HGB": "6.1", "PLT": "20", "MCV": "90.0"}


def chemistry() -> ChemistryAnalyzerSimulator:
    return ChemistryAnalyzerSimulator("127.0.0.1", 1, clock=lambda: NOW)


def haematology() -> HaematologyAnalyzerSimulator:
    return HaematologyAnalyzerSimulator("127.0.0.1", 1, clock=lambda: NOW)


def test_a_chemistry_message_says_what_was_measured():
    simulator = chemistry()
    (specimen,) = read_message(simulator.message("261123000017", VALUES, None), simulator.model.profile).specimens
    assert (specimen.specimen_id, specimen.is_control) == ("261123000017", False)
    assert {row.code: row.value for row in specimen.observations} == VALUES
    glucose, sgot, unknown = specimen.observations
    assert (glucose.unit, glucose.reference_range, glucose.abnormal_flags) == ("mg/dL", "70-140", ("N",))
    assert glucose.observed_at == NOW
    assert sgot.abnormal_flags == ("H",)
    assert sgot.comments
    assert unknown.unit == ""


def test_a_haematology_message_says_what_was_measured():
    simulator = haematology()
    read = read_message(simulator.message("261123000017", COUNTS, None), simulator.model.profile)
    (specimen,) = read.specimens
    assert (specimen.specimen_id, specimen.is_control) == ("261123000017", False)
    assert {row.code: row.value for row in specimen.observations} == COUNTS
    assert specimen.observations[0].abnormal_flags == ("H", "A")
    assert {"Anemia: T", "Leucocytosis: T", "Thrombopenia: T", "Take Mode: A"} <= set(specimen.comments)
    assert read.skipped_rows == 3 + 1 + 3 + 1  # modes, reference group, alarms, histogram


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("make", [chemistry, haematology])
def test_control_messages_are_controls(make, level):
    simulator = make()
    name = simulator.control_name(level)
    raw = simulator.message(name, {next(iter(simulator.panel)): "5"}, level)
    (specimen,) = read_message(raw, simulator.model.profile).specimens
    assert (specimen.is_control, specimen.control_name) == (True, name)


def test_without_the_devices_profile_the_barcode_of_the_chemistry_device_is_not_found():
    raw = chemistry().message("261123000017", VALUES, None)
    (specimen,) = read_message(raw, DeviceProfile(protocol="astm")).specimens
    assert specimen.specimen_id != "261123000017"


@pytest.mark.parametrize("level", [None, 0])
def test_hl7apy_reads_what_the_haematology_device_sends(level):
    raw = haematology().message("261123000017", COUNTS, level)
    # like the device itself the simulator leaves OBX-4 out, which 2.3.1 wants to see
    assert validate_message(raw).findings == ("Missing required child OBX.OBX_4",)
    lines = [line.split("|") for line in raw.decode().split("\r")]
    complete = "\r".join("|".join([*line[:4], "1", *line[5:]] if line[0] == "OBX" else line) for line in lines)
    assert validate_message(complete.encode()).findings == ()
    rows = [segment for segment in parse_segments(raw.decode(), version="2.3.1") if segment.name == "OBX"]
    numeric = [row for row in rows if row.obx_2.value == "NM"]
    assert {row.obx_3.obx_3_2.value: row.obx_5.value for row in numeric} == COUNTS
