"""Messages written by hand for what is peculiar to a model, read with its profile; and what a host must answer it.

The words are those the sources of the models' files describe; barcodes, numbers and names are invented.
"""

from datetime import UTC, datetime

import pytest

from connectors.analyzers.driver import MODELS
from connectors.analyzers.simulator import dialect_of
from connectors.conversations import read_message
from domain.observations import MessageKind, ObservationStatus

NOW = datetime(2026, 11, 23, 6, 32, 3, tzinfo=UTC)
TUBE = "261123000017"
F = ObservationStatus.FINAL


def read(model: str, *lines: str):
    return read_message("\r".join(lines).encode() + b"\r", MODELS[model].profile)


def one(model: str, *lines: str):
    (specimen,) = read(model, *lines).specimens
    return specimen


def rows(model: str, *lines: str) -> list[tuple[str, str, str]]:
    return [(row.code, row.value, row.unit) for row in one(model, *lines).observations]


ROCHE = ("H|\\^&|||H7600^1|||||host|RSUPL^REAL|P|1", "P|1|||||||U||||||^")


@pytest.mark.parametrize("model", ["roche_cobas_c111", "roche_cobas_c311", "roche_cobas_e411", "roche_cobas_6000"])
def test_roche(model):
    specimen = one(
        model, *ROCHE, f"O|1|{TUBE:<22}|12^50001^003^^S1^SC|^^^901^\\^^^905^|R||||||N||||1|||||||||F",
        "R|1|^^^901/1/not|4.60|mmol/l||A||F||ADMIN |||P1", "C|1|I|101|I",
        "R|2|^^^905/2|1^12.50|COI||N||F||ADMIN |||E1", "C|1|I|0|I", "L|1|N",
    )  # fmt: skip
    number, qualitative = specimen.observations
    assert (specimen.specimen_id, specimen.is_control) == (TUBE, False)
    assert (number.code, number.replicate, number.value, number.comments) == ("901", "1", "4.60", ("101",))
    assert (qualitative.code, qualitative.replicate, qualitative.value) == ("905", "2", "12.50")
    assert qualitative.comments == ("1",)


def test_roche_controls_are_marked_in_the_place_of_the_tube():
    order = f"O|1|{'PNU':<22}|12^50001^003^^QC^SC|^^^901^|||||||N||||1|||||||||F"
    assert one("roche_cobas_6000", *ROCHE, order, "R|1|^^^901/|4|g/l||N", "L|1|N").is_control


def test_a_c311_puts_a_number_before_the_barcode():
    order = f"O|1|7^{TUBE:<22}^1^^004|R1|^^^901/|R"
    assert one("roche_cobas_c311", *ROCHE, order, "R|1|^^^901/|4|g/l||N", "L|1|N").specimen_id == TUBE


def test_architect_keeps_the_number_and_its_meaning():
    head = ("H|\\^&|||ARCHITECT^9.5^S^H1P1O1R1C1Q1L1|||||||P|1|20261123", "P|1", f"O|1|{TUBE}|{TUBE}^A1^1|^^^901^HBsAg")
    test = "^^^901^HBsAg^UNDILUTED^P^L1^S1^^"
    found = rows(
        "abbott_architect", *head, f"R|1|{test}F|0.21|S/CO|||||F", f"R|2|{test}I|Nonreactive||||||F",
        f"R|3|{test}P|812|RLU|||||F", "L|1",
    )  # fmt: skip
    assert found == [("901", "0.21", "S/CO"), ("901/I", "Nonreactive", "")]


def test_vitros_codes_stand_between_dilutions():
    head = ("H|\\^&|||3600001||||||||LIS2-A|20261123", "P|1", f"O|1|{TUBE}^2^10||^^^1.0000+801+1.0\\802+2.0|R")
    specimen = one(
        "ortho_vitros", *head, "R|1|^^^1.0000+801+1.0|51|||^0^NQ||V|||20261123101010|20261123101109|1",
        "M|1|X|6190", "R|2|^^^1.0000+802+2.0|No Result|||^5^||V", "L|1|N",
    )  # fmt: skip
    assert [(row.code, row.replicate, row.status) for row in specimen.observations] == [
        ("801", "1.0", F), ("802", "2.0", ObservationStatus.FAILED),
    ]  # fmt: skip


def test_d10_barcodes_are_part_of_a_field():
    order = f"O|1||{TUBE}-03-1-20261123-LIS001||R||||||N"
    lines = ("H|\\^&|||D10^07^3.00|||||host|RSUP|P|1|20261123", "P|1", order)
    peaks = ("R|1|^^^A1c^AREA|5.4|%||N||F", "R|2|^^^TOTAL^AREA|100.0|%||N||F", "L|1|F")
    assert one("biorad_d10", *lines, *peaks).specimen_id == TUBE
    assert rows("biorad_d10", *lines, *peaks) == [("A1c", "5.4", "%")]
    control = one("biorad_d10", *lines[:2], order.replace(TUBE, "QC-D10-L"), *peaks)
    assert (control.is_control, control.control_name) == (True, "QC-D10-L")


def test_meril_has_no_order_record():
    specimen = one(
        "meril_autoquant", "H|\\^&|||Meril^3.6^1||||||||E-1394-97|20261123", f"P|1|{TUBE}|||TEST",
        "R|1|^^^TP|7.1|g/dL|0^0|||N|F||||20261123", "L|1|N",
    )  # fmt: skip
    assert (specimen.specimen_id, [row.code for row in specimen.observations]) == (TUBE, ["TP"])


def test_pentra_units_are_numbers_until_the_site_names_them():
    lines = ("H|\\^&|||ABXP400|||||||P|E1394-97|20261123", "P|1", f"O|1|{TUBE}", "R|1|^^^901^X|0.4|15||L||F", "L|1|N")
    assert rows("horiba_pentra400", *lines) == [("901", "0.4", "15")]
    profile = MODELS["horiba_pentra400"].profile.model_copy(update={"unit_names": {"15": "mg/dL"}})
    (specimen,) = read_message("\r".join(lines).encode(), profile).specimens
    assert specimen.observations[0].unit == "mg/dL"


def test_yumizen_histograms_ranges_and_doubtful_results():
    message = read(
        "horiba_yumizen",
        "H|\\^&|||H500^1^2|||||||P|LIS2-A2|20261123", "P|1", f"O|1|{TUBE}||^^^DIF|R|2026|||||||||BLOOD",
        "M|1|HISTOGRAM|RBC/PLT|Plt|FLOATLE^AAAA", "M|2|REAGENT|LYSE|X",
        "R|1|^^^WBC^6690-2|8.3|10E3/uL|7.30 - 9.30^REFERENCE_RANGE|N||W||A|20261123", "L|1|N",
    )  # fmt: skip
    (row,) = message.specimens[0].observations
    assert (row.reference_range, row.status) == ("7.30 - 9.30", ObservationStatus.UNKNOWN)
    (image,) = message.images
    assert (image.specimen_id, image.code, image.content[:12]) == (TUBE, "RBC/PLT Plt", b"M|1|HISTOGRA")


MSH = "MSH|^~\\&|{}||||20261123101500||{}|1|{}|{}||||{}||{}"


def msh(kind: str = "ORU^R01", *, sender="", processing="P", version="2.3.1", sixteen="", charset="UNICODE") -> str:
    return MSH.format(sender, kind, processing, version, sixteen, charset)


@pytest.mark.parametrize(("kind", "is_control"), [("0", False), ("1", True), ("2", True)])
def test_mindray_chemistry_says_what_a_message_is_in_msh_16(kind, is_control):
    specimen = one(
        "mindray_bs_hl7", msh(sixteen=kind), "PID|1|7", f"OBR|1|{TUBE}|7|Mindray^BS|Y", "OBX|1|NM|901|X|5.0|g/l|-||||F"
    )
    assert (specimen.specimen_id, specimen.is_control) == (TUBE, is_control)


def test_a_control_run_in_the_order_segment():
    control = "OBR|1|901|X|Mindray^BS||20261123120143|||||||SERA1|77|20271231||H|5.0|0.2|5.11|g/l"
    specimen = one("mindray_bs_hl7", msh(sixteen="2"), control)
    (row,) = specimen.observations
    assert (specimen.is_control, specimen.control_name) == (True, "SERA1")
    assert (row.code, row.value, row.unit, row.observed_at) == (
        "901", "5.11", "g/l", datetime(2026, 11, 23, 6, 31, 43, tzinfo=UTC),
    )  # fmt: skip
    assert not one("mindray_bs_hl7", msh(sixteen="0"), control).observations


@pytest.mark.parametrize("place", [16, 17])
def test_getein_says_it_there_or_one_field_later(place):
    head = msh().split("|")
    head += [""] * (place + 1 - len(head))
    head[place - 1] = "2"
    assert one("getein_magicl", "|".join(head), "OBR|1|C7|1", "OBX|1|NM|901|X|5|g/l|||||F").is_control


@pytest.mark.parametrize(
    "segments",
    [(f"PID|1|{TUBE}|null", "OBR|1||7"), ("PID|1||null", f"OBR|1|{TUBE}|7"), (f"PID|1|{TUBE}", "OBR|1|7|7")],
)
def test_an_h60_has_the_barcode_in_one_of_two_places(segments):
    profile = MODELS["edan_h60"].profile.model_copy(update={"specimen_pattern": r"\d{12}$"})
    row = "OBX|1|NM|0|HGB|---|10\\S\\9/L|1-2||||F||L"
    lines = (msh(version="2.4"), *segments, row)
    (specimen,) = read_message("\r".join(lines).encode(), profile).specimens
    (result,) = specimen.observations
    assert specimen.specimen_id == TUBE
    assert (result.code, result.unit, result.abnormal_flags) == ("HGB", "10^9/L", ("L",))
    assert result.status is ObservationStatus.FAILED


@pytest.mark.parametrize("model", ["boule_bm500", "agappe_hx58"])
def test_binary_fractions_blank_runs_and_research_items(model):
    specimen = one(
        model, msh(), "PID|1", f"OBR|1||{TUBE}|00001^Automated Count^99MRC",
        "OBX|1|NM|786-4^MCHC^LN||30.600000381469727|g/dL|||||F", "OBX|2|NM|6690-2^WBC^LN||0.00|10*9/L|||||F",
        "OBX|3|NM|^BAS%^LN||0.0|%|||||F", "OBX|4|NM|^*PDW^LN||15.1|fL|||||F",
    )  # fmt: skip
    assert [(row.code, row.value, row.status) for row in specimen.observations] == [
        ("MCHC", "30.6", F), ("WBC", "0.00", ObservationStatus.FAILED), ("BAS%", "0.0", F),
    ]  # fmt: skip


def test_ichroma_repeats_the_value_in_other_units():
    message = read(
        "ichroma", msh("OUL^R24", processing="T", version="2.6"), "OBR||HbA1c|0|0", f"SPM|1|{TUBE}",
        "OBX|1|TX|HbA1c||9.60|%||0|||R", "OBX|2|TX|||81.38|mmol/mol||0|||R",
    )  # fmt: skip
    (specimen,) = message.specimens
    assert (specimen.specimen_id, specimen.is_control, message.skipped_rows) == (TUBE, False, 1)
    assert [row.code for row in specimen.observations] == ["HbA1c"]


def test_a_cobas_4800_writes_value_and_unit_in_one():
    head = (msh("OUL^R22^OUL_R22", version="2.5.1"), f"SPM|1|{TUBE}", "OBR|1|W1||901^X^99ROC")
    assert rows("roche_cobas_4800", *head, "OBX|1|ST|901^X||6.73E+01 cp/mL||||||F") == [("901", "6.73E+01", "cp/mL")]
    assert rows("roche_cobas_4800", *head, "OBX|1|ST|901^X||Target Not Detected||||||F") == [
        ("901", "Target Not Detected", "")
    ]


def test_decimal_commas():
    lines = ("H|\\^&|||EU|||||||P|1|20261123", "P|1", f"O|1|{TUBE}", "R|1|^^^IGG|7,41|RE/ml|2,0-20,0|||F", "L|1|N")
    assert rows("euroimmun", *lines) == [("IGG", "7.41", "RE/ml")]
    assert one("euroimmun", *lines).observations[0].reference_range == "2.0-20.0"


# what a host must answer ----------------------------------------------------------------------------------------------


def answer(model: str, *question: str, codes=("901", "904")) -> list[str]:
    dialect = dialect_of(model)
    (outgoing,) = dialect.respond("\r".join(question).encode() + b"\r", {TUBE: codes}, 1, NOW)
    return outgoing.raw.decode().split("\r")[:-1]


def test_roche_gets_its_padding_and_place_back():
    asked = f"Q|1|^^{TUBE:>22}^3^50002^002^^S1^SC||ALL||||||||O"
    header, _, order, end = answer("roche_cobas_c311", "H|\\^&|||H7600^1|||||host|TSREQ^REAL|P|1", asked, "L|1|N")
    assert "|TSDWN^REPLY|" in header
    assert order.startswith(f"O|1|{TUBE:>22}|3^50002^002^^S1^SC|^^^901^\\^^^904^|R||||||A||||1|")
    assert (order[-2:], end) == ("|O", "L|1|F")


def test_erba_gets_a_patient_and_an_order_per_tube_with_backticks():
    header, *records, _ = answer("erba_xl", "H|`^&||||||||||P|E 1394-97|2026", f"Q|1|^1`{TUBE}|||S|||||||O", "L|1|N")
    assert header.startswith("H|`^&|")
    assert [record[0] for record in records] == ["P", "O"]
    assert records[1].startswith(f"O|1|{TUBE}^03||^^^901`^^^904|R|")


def test_a_bs430_gets_the_barcode_in_the_fourth_field():
    header, _, order, _ = answer(
        "mindray_bs", "H|\\^&|||Mindry^^|||||||RQ|1394-97|2026", f"Q|2|^{TUBE}||||||||||O", "L|8|N"
    )
    assert "|SA|1394-97|" in header
    assert order.startswith(f"O|1|1^1^1|{TUBE}|901^^2^1\\904^^2^1|R|")


def test_infinity_gets_an_order_per_test_and_vitros_codes_with_dilutions():
    question = ("H|\\^&|7||x|||||||P", f"Q|1|^{TUBE}||ALL||||||||O", "L|1|N")
    assert [record[:2] for record in answer("roche_cobas_infinity", *question)] == ["H|", "P|", "O|", "O|", "L|"]
    assert f"|{TUBE}||^^^1.0000+901+1.0\\904+1.0|" in answer("ortho_vitros", *question)[2]


def test_nothing_to_do_is_said_as_the_device_wants_it():
    question = b"H|\\^&|||ADVCNT_LIS\rQ|1|^999|^999|ALL||||||||O\rL|1|N"
    (outgoing,) = dialect_of("siemens_centaur").respond(question, {}, 1, NOW)
    assert outgoing.raw.endswith(b"\rL|1|I\r")
    assert dialect_of("snibe_maglumi").respond(question, {}, 1, NOW) == []
    assert dialect_of("generic_astm").respond(question.replace(b"|O\r", b"|A\r"), {"999": ("X",)}, 1, NOW) == []


def test_getein_wants_two_answers_with_their_empty_fields():
    question = "\r".join((msh("QRY^Q02"), f"QRD|2026|R|D|1|||RD|{TUBE}|OTH|||T|", "QRF|X")).encode()
    first, second = dialect_of("getein_magicl").respond(question, {TUBE: ("901",)}, 1, NOW)
    assert b"\rERR|0|\rQAK|SR|OK|\r" in first.raw
    assert b"\rDSP|21||%s||\r" % TUBE.encode() in second.raw
    assert b"\rDSP|29||901^^^||\rDSC||\r" in second.raw
    assert (first.wants_answer, second.wants_answer) == (False, True)


def test_au_blocks_have_the_widths_of_the_profile():
    dialect = dialect_of("beckman_dxc700au")
    request = f"R 000301N0095{TUBE:>20}"
    (outgoing,) = dialect.respond(request.encode(), {TUBE: ("99", "9")}, 1, NOW)
    assert outgoing.raw.decode() == f"S 000301 0095{TUBE:>20}    E099009"
    work = dialect.work_in(outgoing.raw)
    assert work is not None
    assert work.orders == {TUBE: ("099", "009")}
    for marker in (b"RB", b"RE", b"DB", b"DE", b"D 000301 0095"):
        assert dialect.respond(marker, {TUBE: ("99",)}, 1, NOW) == []


def test_a_dimension_confirms_orders_and_rejects_unknown_tests():
    dialect = dialect_of("siemens_dimension")
    order = dialect.download(TUBE, ["GLU"], 1, NOW)
    assert order.split(b"\x1c")[:4] == [b"D", b"0", b"0", b"A"]
    assert dialect.reply(order, 1, NOW).startswith(b"M\x1cA\x1c")
    assert dialect.reply(order.replace(b"GLU", b"XYZ"), 1, NOW).startswith(b"M\x1cR\x1c")
    assert dialect.respond(b"P\x1cSIM\x1c1\x1c", {}, 1, NOW)[0].raw == b"N\x1c"
    assert dialect.respond(b"R\x1c", {}, 1, NOW)[0].raw.startswith(b"M\x1cA\x1c")


def test_law_says_that_there_is_no_work_with_an_order():
    question = "\r".join((msh("QBP^Q11^QBP_Q11", version="2.5.1"), f"QPD|WOS^W^IHELAW|T1|{TUBE}", "RCP|I")).encode()
    first, second = dialect_of("generic_hl7").respond(question, {}, 1, NOW)
    assert b"\rQAK|T1|OK|" in first.raw
    assert b"\rORC|DC\r" in second.raw
    assert read_message(question, MODELS["generic_hl7"].profile).kind is MessageKind.QUERY
