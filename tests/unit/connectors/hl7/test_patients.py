import contextlib
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.hl7.codec import parse_message
from connectors.hl7.patients import (
    PatientNumber,
    asked_patients,
    patient_answer,
    read_patient,
    read_patient_event,
    read_visit,
)
from connectors.hl7.validation import validate_message
from domain.errors import MessageError
from tests.unit.connectors.hl7.work import MOMENT, lines

PID = "PID|1||P0001^^^HOSP^MR~A77^^^UIDAI^NI||SHARMA^ASHA^K||19800102|F|||12 MG Road^^Delhi^DL^110001||9810000000"


def message(kind: str, *segments: str):
    head = f"MSH|^~\\&|HIS|HOSP|LIS|LAB|20260901101500||{kind}|M7|P|2.5.1"
    return parse_message("\r".join((head, *segments)).encode())


@pytest.mark.parametrize("event", ["A01", "A04", "A05", "A08"])
def test_a_patient_is_admitted_registered_or_changed(event):
    found = read_patient_event(
        message(f"ADT^{event}^ADT_A01", f"EVN|{event}|20260901100000", PID, "PV1|1|I|W1^12^3||||||||||||||||V99")
    )
    assert (found.event, found.message_id) == (event, "M7")
    assert found.happened_at == datetime(2026, 9, 1, 4, 30, tzinfo=UTC)
    patient = found.patient
    assert patient is not None
    assert patient.numbers == (PatientNumber("P0001", "HOSP", "MR"), PatientNumber("A77", "UIDAI", "NI"))
    assert (patient.family_name, patient.given_name) == ("SHARMA", "ASHA K")
    assert (patient.birth_date, patient.sex, patient.phone) == (date(1980, 1, 2), "female", "9810000000")
    assert patient.address == "12 MG Road, Delhi, DL, 110001"
    assert (found.visit.patient_class, found.visit.location, found.visit.number) == ("I", "W1 12 3", "V99")
    assert "SHARMA" not in repr(found)
    assert "9810000000" not in repr(found)


def test_merges_name_who_stays_and_what_is_retired():
    found = read_patient_event(
        message("ADT^A40^ADT_A39", "EVN|A40", PID, "MRG|P0002^^^HOSP^MR~P0003", "PID|2||Q1", "MRG||||Q2")
    )
    assert [merge.survivor.numbers[0].number for merge in found.merges] == ["P0001", "Q1"]
    assert [[number.number for number in merge.retired] for merge in found.merges] == [["P0002", "P0003"], ["Q2"]]


@pytest.mark.parametrize(
    ("pid", "numbers", "sex", "born"),
    [
        ("PID|1|OLD1||||||M", ["OLD1"], "male", None),
        ('PID|1||""||""||""|', [], "unknown", None),
        ("PID|1||X||||1980-01-02 23:59|O", ["X"], "other", None),
        ("PID|1||X||||19800102235959+0530|U", ["X"], "unknown", date(1980, 1, 2)),
    ],
)
def test_old_and_empty_particulars(pid, numbers, sex, born):
    patient = read_patient(message("ADT^A04", pid).segments[1])
    assert [number.number for number in patient.numbers] == numbers
    assert (patient.sex, patient.birth_date) == (sex, born)
    assert patient.family_name == ""


def test_what_is_no_patient_message_is_refused():
    for other in (message("ORU^R01", PID), message("ADT^A04", "EVN|A04")):
        with pytest.raises(MessageError):
            read_patient_event(other)
    assert read_visit(message("ADT^A04")).number == ""


QUERY = "QRD|20260901101500|R|I|Q1|||1^RD|P0001~P0002|DEM"


def test_a_patient_query_is_answered():
    query = message("QRY^A19", QUERY)
    assert asked_patients(query) == ("P0001", "P0002")
    patient = read_patient(message("ADT^A04", PID).segments[1])
    answer = lines(patient_answer(query, [patient], "N1", MOMENT))
    assert answer == [
        "MSH|^~\\&|LIS|LAB|HIS|HOSP|20260901101500||ADR^A19|N1|P|2.5.1",
        "MSA|AA|M7",
        "QAK|Q1|OK",
        QUERY,
        "PID|1||P0001^^^HOSP^MR~A77^^^UIDAI^NI||SHARMA^ASHA K||19800102|F",
    ]
    assert lines(patient_answer(query, [], "N1", MOMENT))[2] == "QAK|Q1|NF"
    assert lines(patient_answer(query, None, "N1", MOMENT))[1:3] == ["MSA|AE|M7", "QAK|Q1|AE"]
    assert asked_patients(message("QRY^Q02", QUERY)) == asked_patients(message("QRY^A19")) == ()
    with pytest.raises(MessageError):
        patient_answer(message("QRY^A19"), [], "N1", MOMENT)


def test_hl7apy_reads_the_answer():
    patient = read_patient(message("ADT^A04", PID).segments[1])
    report = validate_message(patient_answer(message("QRY^A19", QUERY), [patient], "N1", MOMENT))
    assert report.segments == 5
    assert not any("cannot read" in finding for finding in report.findings)


@given(st.lists(st.tuples(st.sampled_from(["PID", "MRG", "EVN", "PV1"]), st.text(max_size=40)).map("|".join)))
def test_any_segments_are_read_or_refused(segments):
    with contextlib.suppress(MessageError):
        read_patient_event(message("ADT^A40", *(segment.encode(errors="replace").decode() for segment in segments)))
