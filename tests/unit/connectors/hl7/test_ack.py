from datetime import UTC, datetime

import pytest
from hl7apy.parser import parse_segment
from hypothesis import given
from hypothesis import strategies as st

from connectors.hl7.ack import acknowledge, acknowledgements, commit_acknowledgements, reject
from connectors.hl7.codec import parse_message
from connectors.hl7.validation import validate_message
from domain.device_profile import DeviceProfile
from domain.observations import StoreOutcome

NOW = datetime(2026, 11, 23, 1, 2, 3, tzinfo=UTC)
KEPT = StoreOutcome(accepted=True)
UNREADABLE = StoreOutcome(accepted=True, readable=False, note="OBX|1 ^odd")
LOST = StoreOutcome(accepted=False, readable=False, note="not stored, send again")


def header(version: str = "2.5.1", accept: str = "", application: str = "", control_id: str = "M7") -> bytes:
    fields = f"MSH|^~\\&|XN|LAB|LIS|CITY|20260901||ORU^R01|{control_id}|P|{version}|||{accept}|{application}||8859/1"
    return fields.encode() + b"\rOBX|1|NM|X||5\r"


def said(answer: bytes) -> tuple[str, str]:
    (msa,) = [segment for segment in parse_message(answer).segments if segment.name == "MSA"]
    return msa.value(1), msa.value(2)


def test_the_whole_answer():
    first, second, rest = acknowledge(header(), KEPT, now=NOW).split(b"\r")
    fields = first.split(b"|")
    assert fields[2:6] == [b"LIS", b"CITY", b"XN", b"LAB"]
    assert fields[6] == b"20261123063203"
    assert fields[8] == b"ACK^R01^ACK"
    assert 0 < len(fields[9]) <= 20
    assert fields[10:12] == [b"P", b"2.5.1"]
    assert fields[17] == b"8859/1"
    assert second == b"MSA|AA|M7"
    assert rest == b""


@pytest.mark.parametrize(("outcome", "code"), [(KEPT, "AA"), (UNREADABLE, "AE"), (LOST, "AE")])
def test_what_became_of_the_message(outcome, code):
    assert said(acknowledge(header(), outcome)) == (code, "M7")


def test_errors_say_why_without_breaking_the_message():
    answer = parse_message(acknowledge(header(), UNREADABLE))
    assert [segment.name for segment in answer.segments] == ["MSH", "MSA", "ERR"]
    assert answer.segments[1].value(3) == "OBX1 odd"
    assert answer.segments[2].value(3, 1) == "207"
    assert answer.segments[2].value(4) == "E"
    old = parse_message(acknowledge(header("2.3.1"), LOST))
    assert [segment.name for segment in old.segments] == ["MSH", "MSA"]
    assert old.header.value(9) == "ACK^R01"


@pytest.mark.parametrize("outcome", [KEPT, LOST])
@pytest.mark.parametrize("version", ["2.4", "2.5.1"])
def test_answers_conform_to_the_standard(version, outcome):
    assert validate_message(acknowledge(header(version), outcome)).findings == ()


@pytest.mark.parametrize("outcome", [KEPT, LOST])
def test_segments_of_old_answers_conform_to_the_standard(outcome):
    # hl7apy has no structure for an ACK before 2.4, so its segments are judged one by one
    msh, msa, _ = acknowledge(header("2.3.1"), outcome).decode().split("\r")
    assert parse_segment(msh.replace("ACK^R01", "ACK"), version="2.3.1").validate()
    assert parse_segment(msa, version="2.3.1").validate()


@pytest.mark.parametrize(
    ("accept", "application", "outcome", "codes"),
    [
        ("", "", KEPT, ["AA"]),
        ("AL", "NE", KEPT, ["CA"]),
        ("AL", "NE", LOST, ["CE"]),
        ("NE", "AL", KEPT, ["AA"]),
        ("AL", "AL", KEPT, ["CA", "AA"]),
        ("AL", "AL", UNREADABLE, ["CA", "AE"]),
        ("ER", "AL", KEPT, ["AA"]),
        ("ER", "AL", LOST, ["CE", "AE"]),
        ("SU", "ER", KEPT, ["CA"]),
        ("NE", "NE", LOST, []),
        ("", "0", KEPT, ["AA"]),
        ("", "2", LOST, ["AE"]),
    ],
)
def test_modes(accept, application, outcome, codes):
    answers = acknowledgements(header(accept=accept, application=application), outcome)
    assert [said(answer)[0] for answer in answers] == codes
    assert acknowledge(header(accept=accept, application=application), outcome)[:3] == (b"MSH" if codes else b"")


def test_a_profile_can_insist_on_original_mode_and_on_aa():
    profile = DeviceProfile(protocol="hl7", ack_mode="original", unreadable_ack="AA")
    answers = acknowledgements(header(accept="AL", application="AL"), UNREADABLE, profile)
    assert [said(answer)[0] for answer in answers] == ["AA"]


def test_an_answer_is_never_answered():
    ack = acknowledge(header(), KEPT)
    assert acknowledgements(ack, KEPT) == []
    wanting = header(accept="AL", application="NE") + b"MSA|AA|1\r"
    assert [said(answer)[0] for answer in acknowledgements(wanting, KEPT)] == ["CA"]


def test_odd_control_ids_are_echoed_as_they_are():
    for control_id in ("", "a\\T\\b", "1", "x" * 199, "ü"):
        raw = header(control_id=control_id)
        assert raw.split(b"|")[9] in acknowledge(raw, KEPT).split(b"\r")[1].split(b"|")


def test_the_devices_delimiters_are_used():
    raw = b"MSH$%~\\&$XN$LAB$LIS$CITY$2026$$ORU%R01$7$P$2.5.1\r"
    answer = parse_message(acknowledge(raw, LOST))
    assert answer.delimiters.field == "$"
    assert answer.header.value(9, 2) == "R01"
    assert said(acknowledge(raw, LOST)) == ("AE", "7")


def test_bytes_without_msh_are_rejected_once_they_are_kept():
    assert said(acknowledge(b"hello", KEPT)) == ("AR", "")
    assert said(acknowledge(b"hello", LOST)) == ("AE", "")


def test_reject():
    assert said(reject(header(), "message longer than 100 bytes")) == ("AR", "M7")
    assert said(reject(b"junk", "too long")) == ("AR", "")


@given(st.binary(max_size=200), st.booleans(), st.booleans())
def test_anything_gets_a_readable_answer(raw, accepted, readable):
    for prefix in (b"", b"MSH", b"MSH|^~\\&|"):
        for answer in acknowledgements(prefix + raw, StoreOutcome(accepted, readable, note="x\r|^")):
            assert answer.startswith(b"MSH")
            assert parse_message(answer).segments[1].name == "MSA"
            assert len(answer) < 4000


def test_a_law_acknowledgement_carries_the_profile_and_the_zone():
    raw = b"MSH|^~\\&|A|L|LIS|L|20260901104000+0530||OUL^R22^OUL_R22|U1|P|2.5.1|||NE|AL||UNICODE UTF-8|||LAB-29^IHE\r"
    (answer,) = acknowledgements(raw, StoreOutcome(accepted=True))
    head, msa = answer.decode().split("\r")[:2]
    assert head.split("|")[8] == "ACK^R22^ACK"
    assert head.endswith("|P|2.5.1||||||UNICODE UTF-8|||LAB-29^IHE")
    assert head.split("|")[6].endswith("+0530")
    assert msa == "MSA|AA|U1"


def test_an_unordered_point_of_care_result_is_answered_r33():
    raw = b"MSH|^~\\&|A|L|LIS|L|20260901||ORU^R30^ORU_R30|U1|P|2.5.1\r"
    assert b"|ACK^R33^ACK|" in acknowledge(raw, StoreOutcome(accepted=True))


def test_a_message_in_wide_characters_is_answered_by_its_number():
    raw = "MSH|^~\\&|A|L|LIS|L|20260901||ORU^R01|U1|P|2.5.1||||||UNICODE UTF-16\rOBX|1\r".encode("utf-16")
    assert b"\rMSA|AA|U1\r" in acknowledge(raw, StoreOutcome(accepted=True))


@pytest.mark.parametrize(
    ("accept", "accepted", "codes"),
    [
        ("AL", True, ["CA"]),
        ("AL", False, ["CE"]),
        ("NE", True, []),
        ("ER", True, []),
        ("ER", False, ["CE"]),
        ("", True, []),
    ],
)
def test_what_is_due_at_once_when_the_answer_follows(accept, accepted, codes):
    raw = f"MSH|^~\\&|A|L|LIS|L|20260901||QBP^Q11|U1|P|2.5.1|||{accept}|AL\r".encode()
    answers = commit_acknowledgements(raw, StoreOutcome(accepted=accepted))
    assert [answer.split(b"MSA|")[1][:2].decode() for answer in answers] == codes
    assert commit_acknowledgements(b"junk", StoreOutcome(accepted=True)) == []
