"""Which link it is, and what is wrong on it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.astm.framing import encode_frame, frames_of
from connectors.onboarding.links import link_of

RECORDS = b"H|\\^&|||Unit\rP|1\rO|1|X||^^^GLU\rR|1|^^^GLU|5.4|mmol/L\rL|1|N\r"
WIRE = b"\x05" + b"".join(frames_of(RECORDS)) + b"\x04"
HL7 = b"MSH|^~\\&|A|B|||20261123||ORU^R01|%d|P|2.5.1\rOBR|1|X\rOBX|1|NM|GLU||5\r"


def problems(link):
    return {problem.code for problem in link.problems}


@pytest.mark.parametrize(
    ("wire", "protocol", "style"),
    [
        (WIRE, "astm", "standard"),
        (b"\x05" + b"".join(frames_of(RECORDS, packed=True)) + b"\x04", "astm", "standard"),
        (RECORDS, "astm", "bare"),
        (RECORDS.replace(b"\r", b"\r\n"), "astm", "bare"),
        (b"\x05\x02" + RECORDS + b"\x03\x04", "astm", "simple"),
        (b"\x0b" + HL7 % 1 + b"\x1c\r", "hl7", "mllp"),
        (HL7 % 1, "hl7", "none"),
        (b"\x02D 000301N0095             2600133    E014  78.8  \x03", "au", "blocks"),
        (b"\x02RB\x03\x02R 000301N0095             2600133\x03", "au", "blocks"),
        (b"\x02P\x1c1\x1c1\x1c0\x1c6C\x03", "dimension", "blocks"),
        (b"hello", "unknown", "none"),
        (b"", "unknown", "none"),
    ],
)
def test_every_link_is_known(wire, protocol, style):
    link = link_of(wire)
    assert (link.protocol, link.frame_style) == (protocol, style)
    assert link.evidence


def test_a_clean_transmission_has_no_problem():
    link = link_of(WIRE)
    assert link.messages == (RECORDS,)
    assert problems(link) == set()


def test_wrong_checksums_are_counted():
    broken = WIRE.replace(encode_frame(2, b"P|1\r", is_last=True), b"\x022P|1\r\x0300\r\n")
    (problem,) = [one for one in link_of(broken).problems if one.code == "CHECKSUM"]
    assert (problem.count, problem.where) == (1, 2)
    assert not link_of(broken).has_bad_checksums


def test_a_device_that_counts_otherwise_is_told_apart():
    frames = [frame[:-4] + b"00\r\n" for frame in frames_of(RECORDS)]
    assert link_of(b"\x05" + b"".join(frames) + b"\x04").has_bad_checksums


def test_a_record_that_goes_on_after_etx():
    long = b"R|1|^^^PLT|1|" + b"x" * 300
    pieces = [RECORDS.split(b"O|")[0], long[:240], long[240:] + b"\rL|1|N\r"]
    wire = b"\x05" + b"".join(encode_frame(n, text, is_last=True) for n, text in enumerate(pieces, 1)) + b"\x04"
    link = link_of(wire)
    assert "ETX_ON_EVERY_PIECE" in problems(link)
    assert link.ends_every_frame
    assert long in link.messages[0]


def test_restart_repeated_frame_and_missing_frame():
    frames = frames_of(RECORDS)
    restarted = b"\x05" + frames[0] + b"\x05" + b"".join(frames) + b"\x04"
    repeated = b"\x05" + frames[0] + b"".join(frames) + b"\x04"
    cut = b"\x05" + frames[0] + b"".join(frames[2:]) + b"\x04"
    assert problems(link_of(restarted)) == {"RESTART", "NO_TERMINATOR"}
    assert problems(link_of(repeated)) == {"DUPLICATE_FRAME"}
    assert problems(link_of(cut)) == {"FRAME_JUMP"}
    assert link_of(repeated).messages == (RECORDS,)


def test_a_message_without_l_and_a_host_that_refuses():
    assert problems(link_of(RECORDS.replace(b"L|1|N\r", b""), b"\x06\x15")) == {"NO_TERMINATOR"}
    assert problems(link_of(WIRE, b"\x06\x15")) == {"HOST_REFUSED"}


def test_hl7_oddities():
    block = b"\x0b" + HL7 % 1 + b"\x1c"
    assert problems(link_of(block + block + b"\r")) == {"NO_CR_AFTER_FS", "CONSTANT_CONTROL_ID"}
    assert "BLOCK_NOT_ENDED" in problems(link_of(b"\x0b" + HL7 % 1))
    assert "LF_ENDS_SEGMENTS" in problems(link_of((HL7 % 1).replace(b"\r", b"\n")))
    assert "NO_CONTROL_ID" in problems(link_of((HL7 % 1).replace(b"|1|P|", b"||P|")))


PARTS = (
    [b"\x02", b"\x03", b"\x05", b"1", b"H|", b"\\^&", b"\r", b"MSH|", b"\x0b", b"\x1c", b"R |", b"00"]
)  # fmt: skip


@given(st.binary(max_size=300) | st.lists(st.sampled_from(PARTS), max_size=60).map(b"".join))
@settings(max_examples=250, deadline=None)
def test_any_bytes_are_judged(raw):
    link = link_of(raw, raw)
    assert 0 <= link.confidence <= 1


@pytest.mark.parametrize("part", [b"\x05H|", b"\x021H|", b"H|\r", b"\x02H|", b"\x02D\x1c", b"\x02D ", b"\x0bMSH|"])
def test_many_beginnings_take_no_time(part):
    link_of(part * (200_000 // len(part)))
