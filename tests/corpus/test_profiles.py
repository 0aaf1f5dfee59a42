"""Public messages of analyzers, read with the profile of their model: the right tube, code, value and unit.

Expected values stand in the messages themselves or in the notes that came with them; nothing may be lost: every R and
OBX is a result, a comment, an image or left out on purpose, and counted.
"""

import json
import os
import re
from pathlib import Path

import pytest

from connectors.analyzers.driver import MODELS
from connectors.astm.records import unframe
from connectors.conversations import read_message
from domain.observations import InstrumentMessage, MessageKind, ObservationStatus

CORPUS = Path(os.environ.get("LABSETU_CORPUS", Path(__file__).parents[2] / ".." / "shared" / "data"))
INSTRUMENTS = CORPUS / "instruments"

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not (INSTRUMENTS / "astm").is_dir(), reason="no public captures under LABSETU_CORPUS"),
]


def loaded(name: str):
    path = INSTRUMENTS / name
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


SNIPPETS = {case["name"]: case for name in ("astm", "hl7") for case in loaded(f"{name}/snippets.json")}
SHAPES = {case["name"]: case for case in (loaded("astm/indian_field_shapes.json") or {"entries": []})["entries"]}
VISION = loaded("astm/vision_cases.json")


def raw_of(name: str) -> bytes:
    if (INSTRUMENTS / "astm" / name).is_file():
        return (INSTRUMENTS / "astm" / name).read_bytes()
    case = SNIPPETS[name]
    if case["records"]:
        return "\r".join(case["records"]).encode()
    return b"".join(bytes.fromhex(frame["hex"]) for frame in case["frames"])


def read(name: str, model: str) -> InstrumentMessage:
    raw = raw_of(name)
    message = read_message(raw, MODELS[model].profile)
    if MODELS[model].profile.protocol == "astm":
        text = unframe(raw).replace(b"\r", b"\n")
        rows = len(re.findall(rb"(?m)^ *R\|", text))
    else:
        rows = len(re.findall(rb"(?m)^OBX\|", raw.replace(b"\r", b"\n")))
        rows += MODELS[model].profile.order_result is not None and not rows and b"|ORU^" in raw
    assert sum(len(one.observations) for one in message.specimens) + message.skipped_rows == rows
    return message


def one(name: str, model: str):
    (specimen,) = read(name, model).specimens
    return specimen


def rows(name: str, model: str) -> list[tuple[str, str, str]]:
    return [(row.code, row.value, row.unit) for row in one(name, model).observations]


F = ObservationStatus.FINAL

ONE_SPECIMEN = {
    # name: model, barcode, control, rows of code, value and unit
    "roche_h7600_qc_batch": (
        "roche_cobas_6000", "PCCC2", True,
        [("798", "4.60", "mmol/l"), ("435", "1.55", "mmol/l"), ("717", "13.12", "mmol/l"), ("552", "2.42", "mmol/l"),
         ("781", "2.35", "mmol/l")],
    ),
    "roche_e411_result": (
        "roche_cobas_e411", "880912-08-5309", False,
        [("117", "<2.00", "IU/l"), ("900", "0.567", "COI"), ("880", "0.313", "COI"), ("136", "0.127", "COI")],
    ),
    "senaite_cobas_c311.astm": (
        "roche_cobas_c311", "CL-PL-24-0370", False,
        [("685", "22.4", "U/l"), ("687", "15.0", "U/l"), ("712", "4.1", "umol/l"), ("158", "301", "U/l"),
         ("735", "1.6", "umol/l"), ("717", "5.85", "mmol/l"), ("690", "34", "umol/l")],
    ),
    "abbott_architect_bhcg": (
        "abbott_architect", "38704", False, [("651", "> 15000.00", "mIU/mL"), ("651/I", "Positive", "")],
    ),
    "abbott_architect_chem_ranges": (
        "abbott_architect", "1012515377", False, [("1101", "140", "mmol/L"), ("1103", "109", "mmol/L")],
    ),
    "abbott_m2000": (
        "abbott_m2000", "VL01250129", False,
        [("HIV0.6ml", "Not detected", "Copies / mL"), ("HIV0.6ml/I", "Target not detected", "")],
    ),
    "beckman_dxi_result": ("beckman_access_dxi", "1200013589", False, [("Testo", "15.44", "nmol/L")]),
    "horiba_pentra400": (
        "horiba_pentra400", "7", False, [("211", "0.38", "15"), ("5", "42", "26"), ("25", "89.91", "15")],
    ),
    "meril_autoquant_result": ("meril_autoquant", "", False, [("TP", "10.00", "g/dL"), ("ALB", "5.00", "g/dL")]),
    "roche_infinity_result": (
        "roche_cobas_infinity", "T2T2016040400004", False, [("120", "12", ""), ("122", "255", "")],
    ),
    "roche_infinity_qc": ("roche_cobas_infinity", "C1", True, [("121", "155", "")]),
    "d10_query_result": ("biorad_d10", "B2024", False, [("A1c", "5.4", "%"), ("A2", "2.8", "%"), ("F", "0.3", "%")]),
    "mindray_bc3600_astm": ("generic_astm", "123", False, [("WBC", "8.4", "10*3/uL"), ("HGB", "12.1", "g/dL")]),
    "senaite_dca_vantage.astm": (
        "siemens_dca_vantage", "BU24R554", False,
        [("Alb", "63.7", "mg/L"), ("Crt", "230.8", "mg/dL"), ("Ratio", "27.6", "mg/g")],
    ),
    "gmcs_vitros3600_2020-11-11-21-57-17-955852.astm": (
        "ortho_vitros", "44444411", False, [("950", "51", ""), ("951", "5", ""), ("952", "56", "")],
    ),
    "gmcs_vitros3600_2020-11-21-13-07-24-379581.astm": (
        "ortho_vitros", "1068616", False,
        [("001", "8.25", "mIU/L"), ("950", "<15", ""), ("951", "<2", ""), ("952", "<20", "")],
    ),
    "twgenaux_vision_utf8.astm": ("ortho_vision", "SID999", False, [("ABO", "A", ""), ("Rh", "NEG", "")]),
    "twgenaux_vision_latin1.astm": ("ortho_vision", "SID999", False, [("ABO", "A", ""), ("Rh", "NEG", "")]),
    "mindray_bs_oru": ("mindray_bs_hl7", "S0000002", False, [("2", "5.000000", "g/ml")]),
    "mindray_bs_qc": ("mindray_bs_hl7", "1", True, [("1", "0.11029", "g/ml")]),
    "mindray_bc_oru": (
        "mindray_bc", "S0000123", False,
        [("WBC", "9.55", "10*9/L"), ("LYM#", "2.10", "10*9/L"), ("RBC", "4.51", "10*12/L"), ("HGB", "135", "g/L")],
    ),
    "cobas_pro_oul": ("roche_cobas_pro", "022", False, [("20490", "32.2", "mg/L")]),
    "cobas_pure_qc": ("roche_cobas_pure", "20391", True, [("20340", "9.02", "mg/dL")]),
    "alinity_m_oul": ("abbott_alinity_m", "VL00000101", False, [("1006", "< 20", "Copies/mL")]),
    "atellica_oul": ("siemens_atellica", "I473261", False, [("FT3", "3.50", "pg/mL")]),
    "ba400_oul": ("biosystems_ba400", "2400007004", False, [("CHOLESTEROL", "-0.0191002265", "mg/dL")]),
    "nihon_kohden_oul": (
        "nihon_kohden_celltac", "25133", False, [("WBC", "3.92", "10*3/uL"), ("RBC", "5.49", "10*6/uL")],
    ),
    "edan_i15": ("edan_i15", "20260821002", False, [("Na+", "141", "mmol/L"), ("K+", "5.0", "mmol/L")]),
    "ichroma2": ("ichroma", "AAVAS01EX", False, [("HbA1c", "9.60", "%")]),
    "dymind": ("dymind", "N003", False, [("WBC", "11.49", "10*9/L"), ("LYM%", "21.0", "%")]),
    "zybio_z3": ("zybio", "1", False, [("WBC", "0.06", "10^3/μL"), ("PLT", "***", "10^3/μL")]),
    "autobio_a1000": ("autobio", "S000123", False, [("107", "4.17", "")]),
}  # fmt: skip


@pytest.mark.parametrize("name", ONE_SPECIMEN)
def test_specimen_codes_values_and_units(name):
    model, barcode, is_control, expected = ONE_SPECIMEN[name]
    specimen = one(name, model)
    assert (specimen.specimen_id, specimen.is_control) == (barcode, is_control)
    assert rows(name, model) == expected


QUERIES = {
    "roche_h7600_query": ("roche_cobas_c311", ("91101800034",)),
    "beckman_dxi_query": ("beckman_access_dxi", ("4350084590",)),
    "centaur_query": ("siemens_centaur", ("0504B0005S",)),
    "erba_xl_query": ("erba_xl", ("1007149", "1007152", "1007151", "1007150", "1007148")),
    "meril_autoquant_query": ("meril_autoquant", ("020100030279", "020100030321", "020100030304")),
    "mindray_bs_qry": ("mindray_bs_hl7", ("S0000002",)),
    "mindray_bc_orm_query": ("mindray_bc", ("122",)),
    "genexpert_hl7_query": ("genexpert_hl7", ("SpecimenID-888",)),
    "cobas_pro_qbp": ("roche_cobas_pro", ("123",)),
    "cobas4800_oul": ("roche_cobas_4800", ("VL0001",)),
    "x800_qbp": ("roche_cobas_4800", ("sample123",)),
    "gmcs_vitros3600_2020-11-21-11-10-01-620611.astm": ("ortho_vitros", ("1068687",)),
    "goastm_e2e_TestIdentifyOrderMessage.astm": (
        "immucor_galileo", tuple(f"VALI20030{number}" for number in range(1, 6)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", QUERIES)
def test_queries_name_the_tube(name):
    model, expected = QUERIES[name]
    message = read(name, model)
    assert message.kind is MessageKind.QUERY
    assert message.queried_specimens == expected


EVENTS = {
    "roche_infinity_sample_seen": "roche_cobas_infinity",
    "vision_keepalive": "ortho_vision",
    "wondfo_esu": "wondfo",
    "bruker_maldi": "generic_astm",
}


@pytest.mark.parametrize("name", EVENTS)
def test_events_are_no_results(name):
    message = read(name, EVENTS[name])
    assert message.kind is MessageKind.OTHER
    assert not any(specimen.observations for specimen in message.specimens)


def test_every_snippet_is_read_by_a_model_or_is_the_hosts():
    hosts_own = {"roche_h7600_order_reply", "mindray_bs_dsr", "cobas_pure_rsp"}
    assert SNIPPETS.keys() <= ONE_SPECIMEN.keys() | QUERIES.keys() | EVENTS.keys() | hosts_own


def test_statuses():
    def statuses(name: str, model: str) -> list[ObservationStatus]:
        return [row.status for row in one(name, model).observations]

    assert statuses("ba400_oul", "biosystems_ba400") == [ObservationStatus.UNKNOWN]
    assert statuses("zybio_z3", "zybio") == [F, ObservationStatus.FAILED]
    assert statuses("abbott_architect_chem_ranges", "abbott_architect") == [F, F]
    assert statuses("ichroma2", "ichroma") == [ObservationStatus.PRELIMINARY]
    assert statuses("d10_query_result", "biorad_d10") == [F, F, F]


def test_flags_comments_ranges_and_replicates():
    first, second, *_ = one("roche_e411_result", "roche_cobas_e411").observations
    assert (first.replicate, first.abnormal_flags, first.comments) == ("1", ("LL",), ("27",))
    assert (second.comments, second.operator) == (("-1",), "ADMIN")
    liver, creatinine, *_ = one("senaite_cobas_c311.astm", "roche_cobas_c311").observations
    assert (liver.comments, creatinine.comments) == (("43",), ())
    infinity, _ = one("roche_infinity_result", "roche_cobas_infinity").observations
    assert (infinity.abnormal_flags, infinity.replicate) == (("TV", "TPNR", "TH"), "5")
    sodium, potassium = one("edan_i15", "edan_i15").observations
    assert (sodium.reference_range, potassium.abnormal_flags) == ("138-146", ("↑",))
    assert one("dymind", "dymind").observations[0].reference_range == "3.50-9.50"
    assert one("dymind", "dymind").observations[1].abnormal_flags == ("N",)
    assert one("autobio_a1000", "autobio").observations[0].comments == ("41765",)
    assert one("autobio_a1000", "autobio").observations[0].observed_at is not None
    assert one("mindray_bs_qc", "mindray_bs_hl7").control_name == "QUAL1"
    assert one("cobas_pure_qc", "roche_cobas_pure").control_name == "PCCC1"
    assert one("mindray_bc_oru", "mindray_bc").comments[-1] == "Multiple alerts: T"


def test_the_histogram_of_a_bc_is_kept_as_an_image():
    (image,) = read("mindray_bc_oru", "mindray_bc").images
    assert (image.specimen_id, image.media_type, image.content) == ("S0000123", "image/bmp", b"BM")


def test_mindray_bs430_shapes():
    profile = MODELS["mindray_bs"].profile
    expected = SHAPES["mindray_bs430_result"]["expect"]
    (specimen,) = read_message(bytes.fromhex(SHAPES["mindray_bs430_result"]["hex"]), profile).specimens
    assert specimen.specimen_id == expected["specimen"]
    found = [{"code": row.code, "value": row.value, "unit": row.unit} for row in specimen.observations]
    assert found == expected["results"]
    assert {test.code for test in MODELS["mindray_bs"].tests} >= {row["code"] for row in expected["results"]}


def test_beckman_dxc_widths_are_those_of_the_block():
    text, expected = SHAPES["beckman_au_result"]["text"], SHAPES["beckman_au_result"]["expect"]
    layout = MODELS["beckman_dxc700au"].profile.au
    identity = 2 + 4 + 2 + 1 + 4 + layout.specimen_width
    assert text[:identity].split()[-1] == expected["specimen"]
    groups = text[identity + layout.results_offset :]
    width = layout.test_width + layout.dilution_width + layout.value_width + layout.marks_width
    found = {groups[at : at + 3]: groups[at + 3 : at + 9].strip() for at in range(0, len(groups), width)}
    assert found == expected["results"]


ERBA = sorted(path.name for path in (INSTRUMENTS / "astm").glob("gmcs_erba_xl*.astm")) if SNIPPETS else []


@pytest.mark.parametrize("name", ERBA)
def test_erba_xl(name):
    specimen = one(name, "erba_xl")
    (row,) = specimen.observations
    sent = unframe(raw_of(name)).decode("latin-1").split("\r")
    order = next(record for record in sent if record.startswith("O|")).split("|")
    result = next(record for record in sent if record.startswith("R|")).split("|")
    assert specimen.specimen_id == order[2]
    assert (row.code, row.value, row.unit) == (result[2].strip("^"), result[3], result[4])
    assert row.status is (ObservationStatus.FAILED if row.value == "NA" else F)
    assert row.comments[0].startswith("Instrument Flag")


VITROS = sorted(path.name for path in (INSTRUMENTS / "astm").glob("gmcs_vitros3600_2020*.astm")) if SNIPPETS else []


@pytest.mark.parametrize("name", VITROS)
def test_vitros(name):
    message = read(name, "ortho_vitros")
    for specimen in message.specimens:
        assert re.fullmatch(r"\d{7,8}", specimen.specimen_id)
        assert all(re.fullmatch(r"\d{3}", row.code) for row in specimen.observations)
        assert all(row.observed_at for row in specimen.observations)
    assert message.kind in {MessageKind.RESULTS, MessageKind.QUERY, MessageKind.OTHER}


@pytest.mark.parametrize(
    ("name", "is_control", "barcode", "images"),
    [
        ("senaite_yumizen_h500.astm", True, "PX440N", 3),
        ("gmcs_yumizen_h500_2020-04-07-17-07-04-681716.astm", False, "2021679", 3),
        ("goastm_yumizen_result.astm", True, "PX449L", 2),
    ],
)
def test_yumizen(name, is_control, barcode, images):
    message = read(name, "horiba_yumizen")
    (specimen,) = message.specimens
    assert (specimen.specimen_id, specimen.is_control) == (barcode, is_control)
    values = {row.code: row for row in specimen.observations}
    assert {test.code for test in MODELS["horiba_yumizen"].tests} <= values.keys()
    for test in MODELS["horiba_yumizen"].tests:
        assert values[test.code].unit == test.unit
    assert "REFERENCE_RANGE" not in values["MCV"].reference_range
    assert len(message.images) == images
    assert all(len(image.content) > 1000 for image in message.images)
    if is_control:
        assert specimen.control_name.startswith("CTRL")


def test_yumizen_values_and_questionable_ones():
    values = {row.code: row.value for row in one("senaite_yumizen_h500.astm", "horiba_yumizen").observations}
    known = {"MCV": "90.6", "NEU#": "4.20", "RBC": "4.58", "PLT": "308", "WBC": "8.30", "RDW-CV": "11.8"}
    assert known.items() <= values.items()
    statuses = {
        row.code: row.status for row in one("goastm_e2e_TestIdentifyHPORCOROCOROC.astm", "horiba_yumizen").observations
    }
    assert statuses == {
        "MCV": ObservationStatus.UNKNOWN, "NEU#": ObservationStatus.UNKNOWN, "NEU%": ObservationStatus.UNKNOWN,
        "RDW-CV": F,
    }  # fmt: skip


def test_sysmex_xp():
    specimen = one("senaite_sysmex_xp100.astm", "sysmex_xp")
    values = {row.code: row for row in specimen.observations}
    assert (specimen.specimen_id, len(values)) == ("113", 20)
    for test in MODELS["sysmex_xp"].tests:
        assert values[test.code].unit == test.unit
    assert (values["WBC"].value, values["MXD%"].value, values["MCHC"].abnormal_flags) == ("5.5", "10.2", ("H",))


@pytest.mark.parametrize("case", VISION, ids=lambda case: case["caseName"])
def test_vision(case):
    message = read_message(case["messageContent"].encode(), MODELS["ortho_vision"].profile)
    if case["caseKey"] == "KEEP_ALIVE":
        assert message.kind is MessageKind.OTHER
        return
    if case["caseKey"] == "QUERY":
        assert message.queried_specimens[0] in {"SID107", "=W13131200096100"}
        return
    (specimen,) = message.specimens
    assert specimen.specimen_id.startswith("SID")
    sent = [record.split("|")[2].split("^")[0] for record in case["messageContent"].split("\r") if record[:2] == "R|"]
    assert [row.code for row in specimen.observations] == sent
    assert all(row.value for row in specimen.observations)
    assert {row.status for row in specimen.observations} == {F}


def test_blood_group_machines():
    specimen = one("goastm_ihcom_v52_bloodtype.astm", "biorad_ih")
    assert (specimen.specimen_id, [row.code for row in specimen.observations]) == (
        "1122206642", ["AntiA", "AntiB", "AntiD", "Result"],
    )  # fmt: skip
    (pool,) = read("goastm_e2e_TestIdentifyOrderAndResult.astm", "immucor_galileo").specimens
    assert (pool.specimen_id, pool.observations[1].value) == ("VAL99999903", "Negative")
