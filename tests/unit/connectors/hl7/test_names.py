import pytest
from hl7apy import load_library

from connectors.hl7.codec import parse_message
from connectors.hl7.names import field_name, named_fields, segment_title
from domain.errors import MessageError

MSH = "MSH|^~\\&|XN|LAB|||20260901||ORU^R01|7|P|2.5.1"
LIBRARY = load_library("2.5.1")


def segment(text: str):
    return parse_message(f"{MSH}\r{text}\r".encode()).segments[1]


def test_fields_are_named_and_shown_unescaped():
    fields = named_fields(segment("OBX|1|NM|GLU^Glucose||5\\S\\3||4-6|H~A||||||||||||||||||RSLT"))
    assert [(field.path, field.name) for field in fields][:4] == [
        ("OBX-1", "Set ID"),
        ("OBX-2", "Value type"),
        ("OBX-3", "Observation identifier"),
        ("OBX-5", "Observation value"),
    ]
    assert (fields[3].value, fields[3].shown) == ("5\\S\\3", "5^3")
    assert [field.path for field in fields if field.path.startswith("OBX-8")] == ["OBX-8[1]", "OBX-8[2]"]


def test_the_delimiters_are_fields_of_msh():
    fields = named_fields(parse_message(MSH.encode()).header)
    assert [(field.path, field.shown) for field in fields][:3] == [("MSH-1", "|"), ("MSH-2", "^~\\&"), ("MSH-3", "XN")]


def test_segments_of_the_device_s_own_have_no_names_but_show_their_fields():
    (field,) = named_fields(segment("ZQC||5"))
    assert field == ("ZQC-2", "", "5", "5")
    assert segment_title("ZQC") == field_name("ZQC", 1) == field_name("OBX", 0) == field_name("OBX", 99) == ""


def test_too_many_repetitions_are_refused():
    with pytest.raises(MessageError):
        named_fields(segment("OBX|1||||" + "~" * 3000))


@pytest.mark.parametrize("name", ["MSH", "PID", "OBR", "OBX", "SPM", "SAC", "ORC", "TQ1", "INV", "QPD", "MRG", "QRD"])
def test_every_field_of_the_standard_has_a_name(name):
    defined = LIBRARY.SEGMENTS[name][1]
    assert all(field_name(name, number) for number in range(1, len(defined) + 1))
    assert segment_title(name)
    *_, (path, reference, *_) = defined
    assert field_name(name, len(defined)).split()[0].lower() == reference[3].split("_")[0].lower(), path
