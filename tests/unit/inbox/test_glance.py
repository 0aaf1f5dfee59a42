"""What is called readable at a glance is read without a refusal, whatever the bytes are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.device_profile import DeviceProfile
from inbox.glance import is_surely_readable
from inbox.instruments import read

HL7 = DeviceProfile(protocol="hl7")
ASTM = DeviceProfile(protocol="astm")
ROW = b"OBX|1|NM|6690-2^WBC^LN||5.1|10*3/uL|4-11|N|||F\r"
ORU = b"MSH|^~\\&|A|B|||20261123||ORU^R01|1|P|2.3.1\rOBR|1||261123000425\r" + ROW
CBC = b"H|\\^&|||XN\rP|1\rO|1|261123000425||^^^WBC\rR|1|^^^WBC|5.1|10*3/uL||N||F\rL|1|N\r"


@pytest.mark.parametrize(("raw", "profile"), [(ORU, HL7), (CBC, ASTM), (ORU * 20, HL7)], ids=["oru", "cbc", "longer"])
def test_ordinary_messages_need_no_second_look(raw: bytes, profile: DeviceProfile):
    assert is_surely_readable(raw, profile)


@pytest.mark.parametrize(
    ("raw", "profile"),
    [
        (b"", HL7), (b"MSH", HL7), (b"MSHA^~\\&|x", HL7), (b"PID|1", HL7), (ORU, ASTM), (CBC, HL7), (b"H", ASTM),
        (b"HELLO WORLD", ASTM), (ORU + ROW * 10_001, HL7), (ORU + b"OBX|1|ST|x||" + b"~" * 1_000, HL7),
        (CBC + b"R|2|" + b"\\" * 1_000, ASTM), (ORU + b"x" * (1 << 20), HL7),
        (CBC, DeviceProfile(protocol="au")),
    ],
    ids=range(13),
)  # fmt: skip
def test_everything_else_does(raw: bytes, profile: DeviceProfile):
    assert not is_surely_readable(raw, profile)


@given(st.sampled_from([b"MSH", b"H"]), st.binary(max_size=5), st.lists(st.sampled_from([ORU, CBC, ROW]) | st.binary()))
def test_what_is_surely_readable_is_read(head: bytes, marks: bytes, rest: list[bytes]):
    raw = head + marks + b"".join(rest)
    for profile in (HL7, ASTM):
        if is_surely_readable(raw, profile):
            read(raw, profile)
