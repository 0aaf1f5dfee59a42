import pytest

from connectors.astm.codec import parse_records
from connectors.astm.fields import FIELD_NAMES, LEVELS, RECORD_NAMES, named_fields
from domain.errors import MessageError

MESSAGE = (
    "H|\\^&|7||XN^1.2|||||LIS||P|LIS2-A2|20260901101500\r"
    "P|1||L-7||RAO^ASHA\r"
    "O|1|261123000017^3^2||^^^GLU\\^^^CRE|R||||||N\r"
    "R|1|^^^GLU|&F&5.5|mg/dL||||F|||||XN|own\r"
    "M|1|X|lot&S&7|a^b\r"
    "S|1|photometry\r"
    "L|1|N"
)


def named(kind: str):
    (record,) = [record for record in parse_records(MESSAGE) if record.kind == kind]
    return {each.name: each for each in named_fields(record)}


def test_every_field_has_its_number_its_name_and_its_parts():
    order = named("O")
    assert order["Specimen id"].components == ("261123000017", "3", "2")
    assert order["Universal test id"].repetitions == (("", "", "", "GLU"), ("", "", "", "CRE"))
    assert (order["Action code"].number, order["Action code"].value) == (12, "N")
    assert "Danger code" not in order
    assert order["Requested date and time"].components == ()
    assert "RAO" not in repr(named("P"))


def test_the_header_counts_its_delimiters_as_field_2():
    header = named("H")
    assert (header["Delimiters"].number, header["Delimiters"].value) == (2, "\\^&")
    assert header["Sender name or id"].components == ("XN", "1.2")
    assert header["Date and time of message"].number == 14


def test_values_are_unescaped():
    assert named("R")["Value"].value == "|5.5"


def test_what_the_standard_does_not_name_goes_by_its_number():
    assert named("R")["Field 15"].value == "own"
    manufacturer = named("M")
    assert manufacturer["Manufacturer field 4"].value == "lot^7"
    assert manufacturer["Manufacturer field 5"].components == ("a", "b")
    assert named("S")["Analytical method"].value == "photometry"
    (line,) = parse_records("X|1|what")
    assert [each.name for each in named_fields(line)] == ["Field 1", "Field 2", "Field 3"]


def test_the_lists_are_as_long_as_the_standards():
    lengths = {kind: len(names) for kind, names in FIELD_NAMES.items()}
    assert lengths == {"H": 14, "P": 35, "O": 31, "R": 14, "C": 5, "Q": 13, "L": 3, "S": 21, "M": 2}
    assert set(RECORD_NAMES) == set(FIELD_NAMES) == set(LEVELS) | {"C", "M"}
    for names in FIELD_NAMES.values():
        assert len(set(names) - {"Reserved"}) == len([name for name in names if name != "Reserved"])


def test_a_field_without_end_is_refused():
    (record,) = parse_records("O|1|x||" + "\\".join(["^^^A"] * 3000))
    with pytest.raises(MessageError, match="repeats"):
        named_fields(record)
