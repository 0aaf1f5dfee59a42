import pytest

from connectors.analyzers.driver import MODELS, split_http_body
from connectors.conversations import read_message
from domain.device_profile import DeviceProfile
from domain.observations import MessageKind, ObservationStatus


def one(raw: bytes, model: str):
    (specimen,) = read_message(raw, MODELS[model].profile).specimens
    return specimen


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
def test_models_are_complete(model):
    assert MODELS[model.key] is model
    assert DeviceProfile.model_validate_json(model.profile.model_dump_json()) == model.profile
    codes = [test.code for test in model.tests]
    assert len(codes) == len(set(codes))
    assert all(test.lab_code and test.unit for test in model.tests)


def test_proposed_codes():
    assert MODELS["mindray_bs"].lab_code_of("SGOT") == "AST"
    assert MODELS["mindray_bs"].lab_code_of("nonsense") == ""


def test_mindray_bs_reads_barcode_code_and_value_from_its_own_places():
    raw = (
        b"H|\\^&|||Mindry^^|||||||PR|1394-97|20260704001046\rP|796||X\r"
        b"O|796|9058^1^11|261123000017|SGOT^Aspartate^^|R|2026||||||||||serum\r"
        b"R|241|SGOT^Aspartate^^F|67.983848^^^^|U/L|^|N||F|67.98^^^^|0|20260704000931||Mindry^\rL|100|N\r"
    )
    specimen = one(raw, "mindray_bs")
    assert (specimen.specimen_id, specimen.is_control) == ("261123000017", False)
    (row,) = specimen.observations
    assert (row.code, row.value, row.unit, row.reference_range) == ("SGOT", "67.983848", "U/L", "")


def test_erba_xl_declares_a_backtick():
    raw = (
        b"H|`^&||||||||||P|E 1394-97|20200928\rP|1|||||||U\rO|1|1044041||^^^DBILL|||||||||||SERUM\r"
        b"R|1|^^^DBILL|NA|mg/dl|^DEFAULT|A|N|F||||20200928132312\rC|1|I|Instrument Flag A\rL|1|N\r"
    )
    (row,) = one(raw, "erba_xl").observations
    assert (row.code, row.status) == ("DBILL", ObservationStatus.FAILED)
    assert row.comments == ("Instrument Flag A",)


def test_sysmex_pads_the_barcode_and_sends_pictures():
    raw = (
        b"H|\\^&|||    XN-550^00-24||||||||E1394-97\rP|1\rO|1||12^3^          261123000017^B|^^^^WBC\\^^^^RBC|||||||N\r"
        b"R|1|^^^^WBC^1|  5.5|10*3/uL||N||N||||20260723\rR|2|^^^^RBC^2|----|10*6/uL||A||N\r"
        b"R|3|^^^^SCAT_WDF|PNG&R&20260723&R&x.PNG|||N||N\rR|4|^^^^PLT^1|9|10*3/uL||L||P\rL|1|N\r"
    )
    specimen = one(raw, "sysmex_xn")
    assert specimen.specimen_id == "261123000017"
    assert [(row.code, row.value, row.replicate, row.status) for row in specimen.observations] == [
        ("WBC", "5.5", "1", ObservationStatus.FINAL),
        ("RBC", "----", "2", ObservationStatus.FAILED),
        ("PLT", "9", "1", ObservationStatus.PENDING),
    ]
    assert one(raw.replace(b"         261123000017", b"QC-11223344"), "sysmex_xn").is_control


def test_mindray_bc_controls_are_known_by_service_or_processing_id():
    def raw(processing: str, service: str) -> bytes:
        return (
            f"MSH|^~\\&|||||2026||ORU^R01|1|{processing}|2.3.1||||||UNICODE\rPID|1||LOT7^^^^MR\r"
            f"OBR|1||6|{service}^99MRC\rOBX|1|IS|05001^Qc Level^99MRC||M||||||F\r"
            "OBX|2|NM|6690-2^WBC^LN||7.1|10*9/L|||||F\r"
        ).encode()

    for control in (raw("Q", "00001^Automated Count"), raw("P", "00003^LJ QCR")):
        specimen = one(control, "mindray_bc")
        assert (specimen.is_control, specimen.control_name) == (True, "LOT7")
        assert specimen.comments == ("Qc Level: M",)
        assert [row.code for row in specimen.observations] == ["WBC"]
    assert not one(raw("P", "00001^Automated Count"), "mindray_bc").is_control


def test_http_bodies_by_protocol():
    assert split_http_body(b"H|\\^&\rL|1\rH|\\^&\rL|1\r", "astm") == [b"H|\\^&\rL|1\r"] * 2
    assert split_http_body(b"\x0bMSH|^~\\&\x1c\r", "hl7") == [b"MSH|^~\\&"]
    assert read_message(b"H|\\^&\rL|1\r", DeviceProfile(protocol="astm")).kind is MessageKind.OTHER
