import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.hl7.identity import resent_digests

MESSAGE = b"MSH|^~\\&|A|B|||20260901||ORU^R01|1|P|2.3.1\rOBR|1||S1\rOBX|1|NM|GLU||5\r"


def digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


@pytest.mark.parametrize(
    "earlier",
    [
        MESSAGE,
        MESSAGE.rstrip(b"\r"),
        MESSAGE.replace(b"\r", b"\n"),
        MESSAGE.replace(b"\r", b"\r\n"),
        MESSAGE.replace(b"\r", b"\r\n").rstrip(b"\r\n"),
    ],
)
@pytest.mark.parametrize("again", [MESSAGE, b"\x0b" + MESSAGE + b"\x1c\r", MESSAGE.replace(b"\r", b"\n")])
def test_the_same_message_is_known_however_its_segments_end(earlier: bytes, again: bytes):
    assert digest(earlier) in resent_digests(again)


@pytest.mark.parametrize(
    "other",
    [
        MESSAGE.replace(b"|1|P|", b"|2|P|"),
        MESSAGE.replace(b"20260901", b"20260902"),
        MESSAGE.replace(b"||5", b"||6"),
        MESSAGE.replace(b"|A|", b"|C|"),
        MESSAGE.replace(b"GLU||5", b"CRE||1"),
        MESSAGE.replace(b"|20260901||ORU^R01|1|", b"|1||ORU^R01|20260901|"),
    ],
)
def test_number_time_and_body_each_make_another_message(other: bytes):
    assert not {digest(other)} & set(resent_digests(MESSAGE))
    assert not set(resent_digests(other)) & set(resent_digests(MESSAGE))


@given(st.binary(max_size=80))
def test_any_bytes_are_known_again(raw: bytes):
    assert resent_digests(raw)[0] == digest(raw)
    assert len(resent_digests(raw)) <= 7
