"""A message for people, whatever it holds."""

from hypothesis import given, settings
from hypothesis import strategies as st

from api.message_view import FIELD_NAMES, MAX_FIELD_CHARS, MAX_FIELDS, MAX_RAW_BYTES, view_of

ASTM = b"H|`^&|||XL\rP|1\rO|1|26^03||^^^ALB`^^^GLU\rR|1|^^^ALB|4.1|g/dL\rL|1|N\r"
HL7 = b"MSH|^~\\&|A|B|||20261123||ORU^R01|7|P|2.5.1\rOBR|1||X\rOBX|1|NM|GLU||5|mg/dL\r"


def fields_of(view, kind):
    return {field.number: field.value for record in view.records if record.kind == kind for field in record.fields}


def test_astm_by_its_own_delimiters():
    view = view_of(ASTM, "astm", {})
    assert fields_of(view, "O") == {1: "O", 2: "1", 3: "26^03", 5: "^^^ALB`^^^GLU"}
    assert view.parsed is not None
    assert view.parsed["specimens"][0]["observations"][0]["value"] == "4.1"
    assert view.raw_text.endswith("L|1|N<CR>")


def test_values_that_the_device_s_profile_ignores_are_marked():
    view = view_of(ASTM, "astm", {"ignored_codes": ["ALB"]})
    assert [row["is_ignored"] for row in view.parsed["specimens"][0]["observations"]] == [True]
    assert [row["is_ignored"] for row in view_of(ASTM, "astm", {}).parsed["specimens"][0]["observations"]] == [False]


def test_hl7_is_numbered_as_in_the_standard():
    view = view_of(HL7, "hl7", {})
    assert fields_of(view, "MSH")[10] == "7"
    assert fields_of(view, "OBX") == {1: "1", 2: "NM", 3: "GLU", 5: "5", 6: "mg/dL"}


def test_names_of_fields_can_be_added(monkeypatch):
    monkeypatch.setitem(FIELD_NAMES, "hl7", lambda kind, number: f"{kind}-{number} name")
    view = view_of(HL7, "hl7", {})
    assert view.records[0].fields[0].name == "MSH-1 name"


def test_what_cannot_be_read_is_shown_raw_with_the_reason():
    view = view_of(b"\x02garbage\xff", "hl7", {})
    assert (view.parsed, view.records) == (None, [])
    assert view.parse_error.startswith("MESSAGE_INVALID")
    assert view.raw_text == "<STX>garbage<0xFF>"
    assert view_of(b"x", "telepathy", {}).parse_error == "no reader for this protocol"


def test_everything_is_bounded():
    long = b"H|\\^&\rR|1|^^^A|" + b"9" * 2000 + b"\r" + b"R|1|2|3|4|5|6|7|8|9\r" * 900
    view = view_of(long, "astm", {})
    assert sum(len(record.fields) for record in view.records) == MAX_FIELDS
    assert max(len(field.value) for record in view.records for field in record.fields) == MAX_FIELD_CHARS
    huge = view_of(b"x" * (MAX_RAW_BYTES + 5), "astm", {})
    assert huge.is_cut
    assert len(huge.raw_hex) == 2 * MAX_RAW_BYTES


@given(st.binary(max_size=300), st.sampled_from(["astm", "hl7", "au", "dimension", "?"]))
@settings(max_examples=150, deadline=None)
def test_any_bytes_have_a_view(raw, protocol):
    assert bytes.fromhex(view_of(raw, protocol, {}).raw_hex) == raw
