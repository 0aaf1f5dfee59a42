from hypothesis import given
from hypothesis import strategies as st

from connectors.hl7.identity import transport_key

MESSAGE = b"MSH|^~\\&|A|B|||20260901||ORU^R01|1|P|2.3.1\rOBR|1||S1\rOBX|1|NM|GLU||5\r"


def test_the_same_message_has_the_same_key_however_it_ends():
    assert (
        transport_key(MESSAGE) == transport_key(MESSAGE.rstrip(b"\r")) == transport_key(b"\x0b" + MESSAGE + b"\x1c\r")
    )
    assert len(transport_key(MESSAGE)) == 64


def test_number_time_and_body_each_make_another_message():
    others = [
        MESSAGE.replace(b"|1|P|", b"|2|P|"),
        MESSAGE.replace(b"20260901", b"20260902"),
        MESSAGE.replace(b"||5", b"||6"),
        MESSAGE.replace(b"|A|", b"|C|"),
        MESSAGE.replace(b"|20260901||ORU^R01|1|", b"|1||ORU^R01|20260901|"),
    ]
    assert len({transport_key(MESSAGE), *map(transport_key, others)}) == 6


def test_a_constant_control_id_does_not_hide_a_second_message():
    later = MESSAGE.replace(b"GLU||5", b"CRE||1")
    assert transport_key(MESSAGE) != transport_key(later)


@given(st.binary(max_size=80))
def test_any_bytes_have_a_key(raw):
    assert transport_key(raw) == transport_key(raw)
    assert transport_key(b"MSH|" + raw) == transport_key(b"MSH|" + raw)
