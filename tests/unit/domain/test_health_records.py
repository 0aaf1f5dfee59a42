from datetime import UTC, datetime, timedelta

import pytest

from domain.errors import RuleError
from domain.health_records import (
    AbhaPatient,
    CareContext,
    ConsentArtefact,
    ConsentStatus,
    HealthInfoRequest,
    abha_number_of,
    display_text,
    has_abha_check_digit,
    is_abha_address,
    is_abha_number,
    refusal_of,
)

NOW = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.mark.parametrize("text", ["91-0000-0000-0000", "91000000000000", "91 0000 0000 0000"])
def test_abha_numbers_in_every_spelling(text):
    assert abha_number_of(text) == "91000000000000"


@pytest.mark.parametrize("text", ["", "9100000000000", "910000000000000", "9100000000000x", "٩١000000000000"])
def test_what_is_no_abha_number(text):
    assert not is_abha_number(text)
    with pytest.raises(RuleError):
        abha_number_of(text)


@pytest.mark.parametrize(
    ("number", "passes"), [("91000000000000", True), ("91000000000018", True), ("91000000000001", False), ("91", False)]
)
def test_check_digit_is_luhn(number, passes):
    assert has_abha_check_digit(number) is passes


@pytest.mark.parametrize("address", ["asha.k@abdm", "a1b@sbx", "91000000000000@sbx", "A_b.c@abdm"])
def test_abha_addresses(address):
    assert is_abha_address(address)


@pytest.mark.parametrize("address", ["", "a@sbx", ".asha@sbx", "asha.@sbx", "asha@gmail", "asha k@sbx", "asha@sbx\n"])
def test_what_is_no_abha_address(address):
    assert not is_abha_address(address)


@pytest.mark.parametrize(
    ("number", "address", "gender", "code"),
    [
        ("", "", "F", "ABHA_MISSING"),
        ("91-0000-0000-0000", "", "F", "ABHA_NUMBER_INVALID"),
        ("", "asha", "F", "ABHA_ADDRESS_INVALID"),
        ("91000000000000", "", "female", "ABHA_GENDER_INVALID"),
    ],
)
def test_a_patient_the_registry_cannot_know_is_refused(number, address, gender, code):
    with pytest.raises(RuleError) as caught:
        AbhaPatient(number, address, "Asha", gender, 1990)
    assert caught.value.code == code


def test_no_patient_in_a_repr():
    shown = repr(AbhaPatient("91000000000000", "asha.k@sbx", "Asha Kulkarni", "F", 1990))
    shown += repr(CareContext("P-1", "Asha Kulkarni", "RPT-1", "Lab report"))
    for word in ("Asha", "91000000000000", "asha.k", "1990"):
        assert word not in shown


@pytest.mark.parametrize("reference", ["", "RPT#1", "रिपोर्ट", "R" * 256, "RPT\n1"])
def test_references_the_network_refuses(reference):
    with pytest.raises(RuleError):
        CareContext("P-1", "Patient", reference, "Lab report")
    with pytest.raises(RuleError):
        CareContext(reference, "Patient", "RPT-1", "Lab report")


@pytest.mark.parametrize("display", ["", "CBC; urgent", "हीमोग्लोबिन", "x" * 256])
def test_displays_the_network_refuses(display):
    with pytest.raises(RuleError):
        CareContext("P-1", "Patient", "RPT-1", display)


def test_a_name_in_an_indian_script_gets_a_neutral_display():
    assert display_text("आशा", "Patient") == "Patient"
    assert display_text("  Asha   Kulkarni ", "Patient") == "Asha Kulkarni"
    assert display_text("", "Patient") == "Patient"


def _artefact(**changes) -> ConsentArtefact:
    fields = {
        "consent_id": "c-1",
        "status": ConsentStatus.GRANTED,
        "date_from": NOW - 10 * DAY,
        "date_to": NOW,
        "data_erase_at": NOW + 30 * DAY,
    }
    return ConsentArtefact(**(fields | changes))


def _request(**changes) -> HealthInfoRequest:
    fields = {
        "transaction_id": "t-1",
        "consent_id": "c-1",
        "date_from": NOW - 5 * DAY,
        "date_to": NOW,
        "data_push_url": "https://hiu.example.in",
        "hiu_public_key": "k",
        "hiu_nonce": "n",
        "key_expiry": NOW + DAY,
    }
    return HealthInfoRequest(**(fields | changes))


def test_a_covered_request_is_not_refused():
    assert refusal_of(_request(), _artefact(), NOW) is None
    assert refusal_of(_request(date_from=NOW - 10 * DAY, key_expiry=None), _artefact(), NOW) is None


@pytest.mark.parametrize(
    ("request_changes", "artefact", "code"),
    [
        ({}, None, "ABDM-1112"),
        ({"consent_id": "c-2"}, _artefact(), "ABDM-1112"),
        ({}, _artefact(status=ConsentStatus.REVOKED), "ABDM-1062"),
        ({}, _artefact(status=ConsentStatus.UNKNOWN), "ABDM-1062"),
        ({}, _artefact(status=ConsentStatus.EXPIRED), "ABDM-1061"),
        ({}, _artefact(data_erase_at=NOW), "ABDM-1061"),
        ({"date_from": NOW - 11 * DAY}, _artefact(), "ABDM-1063"),
        ({"date_to": NOW + DAY}, _artefact(), "ABDM-1063"),
        ({"date_from": NOW, "date_to": NOW - DAY}, _artefact(), "ABDM-1063"),
        ({}, _artefact(date_from=None), "ABDM-1063"),
        ({"key_expiry": NOW}, _artefact(), "ABDM-1031"),
    ],
)
def test_what_the_consent_does_not_cover_is_refused(request_changes, artefact, code):
    refusal = refusal_of(_request(**request_changes), artefact, NOW)
    assert refusal is not None
    assert refusal.code == code
