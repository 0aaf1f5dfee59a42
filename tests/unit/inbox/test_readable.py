"""What the quick proof calls readable, the readers read, whatever the device's profile."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.analyzers.simulator import ChemistryAnalyzerSimulator, HaematologyAnalyzerSimulator
from domain.device_profile import DeviceProfile
from inbox.instruments import read
from inbox.readable import is_surely_readable

ORU = HaematologyAnalyzerSimulator("", 0).message("261123000017", {"WBC": "5.1", "HGB": "12.2"}, None)
CHEMISTRY = ChemistryAnalyzerSimulator("", 0).message("261123000017", {"CREA": "1.230000"}, None)
CHARSETS = ("auto", "latin-1", "cp1252", "gb18030", "iso2022_jp")

pieces = st.sampled_from(
    [b"MSH|^~\\&|", b"H|\\^&|", b"OBR|1||", b"OBX|1|NM|a^b||1", b"R|1|^^^a|1", b"O|1|x", b"Q|1|^a\\^b", b"L|1|N",
     b"\r", b"\n", b"\r\n", b"~" * 2100, b"\\" * 2100, b"^" * 2100, b"|", b"~", b"\\", b"&", b"\x00", b"\xff\xfe",
     b" ", b"FHS|^~\\&\r", b"\xef\xbb\xbf", b"\x1b$B", b"\x02", b"MSA|AA|1", b"ORC|RF"]
)  # fmt: skip
streams = st.lists(pieces | st.binary(max_size=12), max_size=24).map(b"".join)


@pytest.mark.parametrize("protocol", ["hl7", "astm"])
@settings(max_examples=300, deadline=None)
@given(begin=st.sampled_from([b"MSH|^~\\&|", b"H|\\^&|", b""]), rest=streams, charset=st.sampled_from(CHARSETS))
def test_what_is_surely_readable_is_read(protocol: str, begin: bytes, rest: bytes, charset: str):
    raw = begin + rest
    if is_surely_readable(protocol, raw):
        read(raw, DeviceProfile.model_validate({"protocol": protocol, "charset": charset}))


@pytest.mark.parametrize(
    ("protocol", "raw"),
    [("hl7", ORU), ("hl7", b"\r\n" + ORU), ("hl7", ORU.replace(b"\r", b"\r\n")), ("astm", CHEMISTRY)],
)
def test_ordinary_messages_need_no_second_look(protocol: str, raw: bytes):
    assert is_surely_readable(protocol, raw)


@pytest.mark.parametrize(
    ("protocol", "raw"),
    [
        ("hl7", b""),
        ("hl7", b"MSH"),
        ("hl7", b"MSH |a"),
        ("hl7", b"PID|1\r" + ORU),
        ("hl7", ORU + b"OBX|1|" + b"~" * 2000),
        ("hl7", ORU + b"\r" * 20_000),
        ("hl7", ORU + b"x" * (16 << 20)),
        ("astm", b""),
        ("astm", b"no message"),
        ("astm", b"HELLO\r"),
        ("astm", b"\x02" + CHEMISTRY),
        ("astm", CHEMISTRY + b"R|1|" + b"\\" * 2000),
        ("astm", CHEMISTRY + b"\n" * 20_000),
        ("astm", CHEMISTRY + b"x" * (4 << 20)),
        ("dimension", ORU),
    ],
)
def test_everything_else_is_read_wholly(protocol: str, raw: bytes):
    assert not is_surely_readable(protocol, raw)
