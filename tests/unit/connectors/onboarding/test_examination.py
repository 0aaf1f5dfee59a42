"""From a capture to a draft that reads it."""

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.astm.framing import frames_of
from connectors.conversations import read_message
from connectors.onboarding.capture import of_stored, read_capture
from connectors.onboarding.examination import examine
from domain.accession import accession_no
from domain.code_suggestions import CodeSuggestion, UnitCheck
from domain.control_names import readable

BARCODE = accession_no(date(2026, 11, 23), 7)


def suggest(code, units, model_code):
    """Stands in for the laboratory's rules: says what it was asked."""
    return [CodeSuggestion(code, f"{','.join(units)};{model_code}", "exact", 1.0, UnitCheck.SAME)]


XN = (
    "H|\\^&|||    XN-550^00-24^22723^^^^BD634545||||||||E1394-97\rP|1\r"
    f"O|1||^^          {BARCODE}^M|^^^^WBC\\^^^^HGB|||||||N\r"
    "R|1|^^^^WBC^1|  5.50|10*3/uL||N||F||||20261123101500\rR|2|^^^^HGB^1|  7.1|mmol/L||N||F\rL|1|N\r"
).encode()
CONTROL = XN.replace(BARCODE.encode(), b"QC-11260801")


def wire(*messages):
    return b"".join(b"\x05" + b"".join(frames_of(message)) + b"\x04" for message in messages)


def test_a_sysmex_capture_gives_a_profile_that_reads_it():
    found = examine(read_capture(readable(wire(XN, CONTROL))), suggest)
    assert (found.protocol, found.frame_style, found.charset, found.messages) == ("astm", "standard", "ascii", 2)
    assert found.delimiters == {"field": "|", "repeat": "\\", "component": "^", "escape": "&"}
    assert found.candidates[0].model == "sysmex_xn"
    assert found.specimen_fields[0].path == "O.4.3"
    assert found.controls == ("QC-11260801",)
    assert found.kinds == {"results": 2}
    assert found.problems == ()
    codes = {seen.code: seen for seen in found.codes}
    assert codes["WBC"].units == ("10*3/uL",)
    assert [one.test_name for one in codes["WBC"].suggestions] == ["10*3/uL;WBC"]
    assert [one.test_name for one in codes["HGB"].suggestions] == ["mmol/L;HGB"]
    assert found.profile is not None
    report = read_message(XN, found.profile).specimens[0]
    assert report.specimen_id == BARCODE


def test_stored_messages_are_standard_not_bare():
    found = examine(of_stored([XN, XN]))
    assert found.frame_style == "standard"
    assert found.profile is not None
    assert found.profile.frame_style == "standard"


def test_a_capture_of_our_side_alone_says_so():
    found = examine(read_capture("\n".join(f"Host -> {readable(frame)}\nXN -> <ACK>" for frame in frames_of(XN))))
    assert (found.protocol, found.messages, found.codes) == ("astm", 0, ())
    assert [problem.code for problem in found.problems] == ["HOST_SIDE_ONLY"]


def test_hl7_with_its_charset():
    message = (
        f"MSH|^~\\&|Unit|X|||20261123||ORU^R01|7|P|2.5.1||||||UNICODE UTF-8\rPID|1||||Añ\rOBR|1||{BARCODE}\r"
        "OBX|1|NM|WBC^WBC||5.5|10*3/uL\r"
    ).encode()
    found = examine(read_capture(readable(b"\x0b" + message + b"\x1c\r")), suggest)
    assert (found.protocol, found.charset, found.declared_charset) == ("hl7", "utf-8", "UNICODE UTF-8")
    assert found.specimen_fields[0].path == "OBR.3.1"
    assert found.delimiters["subcomponent"] == "&"
    assert found.marks is not None
    assert found.marks.sender == "Unit X"


def test_a_maker_is_known_by_its_coding_system():
    message = (
        f"MSH|^~\\&|||||20261123||ORU^R01|1|P|2.3.1||||||UNICODE\rOBR|1||{BARCODE}|00001^Automated Count^99MRC\r"
        "OBX|1|NM|6690-2^WBC^LN||5.5|10*9/L|||||F\rOBX|2|IS|08001^Take Mode^99MRC||O\r"
    ).encode()
    found = examine(of_stored([message]), suggest)
    assert found.candidates[0].model == "mindray_bc"
    (wbc,) = found.codes
    assert (wbc.code, wbc.suggestions[0].test_name) == ("WBC", "10*9/L;WBC")
    assert found.declared_charset == "UNICODE"


CODED = {  # one message of each, written from the dialects' descriptions
    "Roche query": (
        "H|\\^&|||H7600^1|||||host|TSREQ^REAL|P|1\rQ|1|^^           {}^3^50002^002^^S1^SC||ALL||||||||O\rL|1|N\r",
        "Q.3.3",
    ),
    "VITROS": (
        (
            "H|\\^&|||3600796||||||||LIS2-A|20261123\r"
            "P|1\r"
            "O|1|{}^2^10||^^^1.0+950+1.0|R\r"
            "R|1|^^^1.0+950+1.0|51|||^0^NQ||V\r"
            "L|1|N\r"
        ),
        "O.3.1",
    ),
    "Erba": (
        "H|`^&||||||||||P|E 1394-97|20261123\rP|1\rO|1|{}^03||^^^ALB|R\rR|1|^^^ALB|4.1|g/dl||A||F\rL|1|N\r",
        "O.3.1",
    ),
    "BS-430": (
        "H|\\^&|||Mindry^^|||||||PR|1394-97|20261123\rP|1\rO|1|1^1^1|{}|GLU^^2^1|R\rR|1|GLU|99.100000|mg/dL\rL|1|N\r",
        "O.4.1",
    ),
    "GeneXpert": (
        (
            "H|@^\\|1||Lab^GeneXpert^2.1|||||||P|1394-97|20261123\r"
            "P|1\r"
            "O|1|{}||^^^MTB|R\r"
            "R|1|^MTB^^G1|DETECTED^|||||F\r"
            "L|1|N\r"
        ),
        "O.3.1",
    ),
    "LAW": (
        (
            "MSH|^~\\&|A|B|||20261123||OUL^R22^OUL_R22|9|P|2.5.1\r"
            "SPM|1|{}&BARCODE||SER\r"
            "OBR|1|77\r"
            "OBX|1|NM|GLU^^99X||5|mg/dL\r"
        ),
        "SPM.2.1.1",
    ),
    "BS HL7": (
        "MSH|^~\\&|Mindray|BS-200E|||20261123||ORU^R01|1|P|2.3.1\rPID|1||8\rOBR|1|{}|2\rOBX|1|NM|2|GLU|5|mg/dL\r",
        "OBR.2.1",
    ),
}


@pytest.mark.parametrize(("message", "path"), CODED.values(), ids=list(CODED))
def test_the_barcode_of_many_dialects_is_found(message, path):
    found = examine(of_stored([message.format(BARCODE).encode()]), suggest)
    assert (found.specimen_fields[0].path, found.specimen_fields[0].shape) == (path, "accession")
    assert found.problems == ()
    assert found.profile is not None
    if not path.startswith("Q"):
        read = read_message(message.format(BARCODE).encode(), found.profile)
        assert [report.specimen_id for report in read.specimens] == [BARCODE]


def test_a_query_is_counted():
    query = f"H|\\^&\rQ|1|^{BARCODE}||ALL||||||||O\rL|1|N\r".encode()
    found = examine(of_stored([query]))
    assert found.kinds == {"query": 1}
    assert found.specimen_fields[0].path == "Q.3.2"
    assert found.profile is not None
    assert "Q.3.2" not in found.profile.specimen_fields


@pytest.mark.parametrize("protocol", ["au", "dimension"])
def test_fixed_field_protocols_are_named(protocol):
    raw = {"au": b"\x02D 000301N0095             2600133    E014\x03", "dimension": b"\x02P\x1c1\x1c6C\x03"}[protocol]
    found = examine(read_capture(readable(raw)))
    assert found.protocol == protocol
    assert found.profile is not None
    assert found.profile.protocol == protocol


@given(st.binary(max_size=300))
@settings(max_examples=150, deadline=None)
def test_any_bytes_give_findings(raw):
    found = examine(read_capture(readable(raw)), suggest)
    assert found.protocol in {"astm", "hl7", "au", "dimension", "unknown"}


PARTS = (
    ["H|\\^&\r", "P|1\r", "O|1|5||^^^A\r", "R|1|^^^A|1|%\r", "R|\r", "L|1\r", "MSH|^~\\&|\r", "OBX|\r",
     "\x00", "é", "H|||||\r", "MSH\r", "Q|1|\r"]
)  # fmt: skip


@given(st.lists(st.sampled_from(PARTS), max_size=30).map("".join))
@settings(max_examples=200, deadline=None)
def test_any_records_give_findings(text):
    assert examine(of_stored([text.encode()]), suggest).messages >= 0
