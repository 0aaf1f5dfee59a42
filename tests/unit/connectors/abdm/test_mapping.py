import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.abdm import mapping
from domain.errors import MessageError, RequestError
from domain.health_records import AbhaPatient, AnswerOutcome, CareContext, ConsentStatus, HiType
from tests.contract.abdm.cases import SETTINGS, WIRE

NOW = datetime(2026, 11, 20, 6, 15, 33, 987654, tzinfo=UTC)


def _wire(file: str):
    return json.loads((WIRE / file).read_bytes())


def _context(number: int, hi_type: HiType = HiType.DIAGNOSTIC_REPORT, patient: str = "P-1") -> CareContext:
    return CareContext(patient, "Patient", f"RPT-{number}", "Lab report", hi_type)


def test_instants_are_utc_with_milliseconds_and_z():
    ist = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert mapping.instant(ist) == "2026-11-20T06:15:33.987Z"
    assert mapping.instant(NOW.replace(microsecond=0)) == "2026-11-20T06:15:33.000Z"


def test_a_missing_identifier_is_left_out():
    by_address = mapping.generate_token(AbhaPatient("", "asha.k@sbx", "Asha", "F", 1990)).json_body()
    by_number = mapping.generate_token(AbhaPatient("91000000000000", "", "Asha", "F", 1990)).json_body()
    assert "abhaNumber" not in by_address
    assert "abhaAddress" not in by_number


def test_contexts_are_grouped_by_kind_and_counted():
    patient = AbhaPatient("91000000000000", "asha.k@sbx", "Asha", "F", 1990)
    contexts = [_context(1), _context(2), _context(1, HiType.INVOICE)]
    body = mapping.link_care_contexts(patient, contexts).json_body()
    assert [(one["hiType"], one["count"]) for one in body["patient"]] == [("DiagnosticReport", 2), ("Invoice", 1)]


@pytest.mark.parametrize(
    "contexts",
    [[], [_context(1), _context(2, patient="P-2")], [_context(number) for number in range(21)]],
    ids=["none", "two patients", "21"],
)
def test_what_the_gateway_would_refuse_is_not_sent(contexts):
    with pytest.raises(RequestError):
        mapping.link_care_contexts(AbhaPatient("91000000000000", "", "Asha", "F", 1990), contexts)


@pytest.mark.parametrize(
    ("delivered", "status", "words"),
    [
        ({"A": True, "B": True}, "TRANSFERRED", ["OK", "OK"]),
        ({"A": True, "B": False}, "FAILED", ["OK", "ERRORED"]),
        ({}, "FAILED", []),
    ],
)
def test_a_transfer_is_done_only_when_every_record_arrived(delivered, status, words):
    body = mapping.transfer_notify(
        consent_id="c", transaction_id="t", delivered=delivered, done_at=NOW, settings=SETTINGS
    ).json_body()
    found = body["notification"]["statusNotification"]
    assert found["sessionStatus"] == status
    assert [one["hiStatus"] for one in found["statusResponses"]] == words


def _answer(**fields) -> bytes:
    return json.dumps({"response": {"requestId": "r-1"}, **fields}).encode()


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (_answer(linkToken="t", abhaAddress="a@sbx"), AnswerOutcome.DONE),
        (_answer(status="Successfully Linked care context"), AnswerOutcome.DONE),
        (_answer(acknowledgement={"status": "SUCCESS"}, error=None), AnswerOutcome.DONE),
        (_answer(acknowledgement={"status": "ERRORED"}), AnswerOutcome.REFUSED),
        (_answer(status="Failed to link care context"), AnswerOutcome.REFUSED),
        (_answer(status="a new word"), AnswerOutcome.REFUSED),
        (_answer(), AnswerOutcome.REFUSED),
        (_answer(error={"code": "ABDM-1056", "message": "has been already linked"}), AnswerOutcome.ALREADY_DONE),
        (_answer(error={"code": "ABDM-1027", "message": "blocked"}, linkToken="t"), AnswerOutcome.BLOCKED),
        (_answer(error={"code": 1024, "message": "x"}), AnswerOutcome.REFUSED),
        (_answer(error={"code": "", "message": ""}, linkToken="t"), AnswerOutcome.DONE),
    ],
)
def test_answers_are_successes_only_when_they_say_so(body, outcome):
    answer = mapping.answer_from(body)
    assert answer.outcome is outcome
    assert answer.request_id == "r-1"
    assert bool(answer.link_token) == (outcome is AnswerOutcome.DONE and b"linkToken" in body)


def test_secrets_and_people_stay_out_of_reprs():
    answer = mapping.answer_from((WIRE / "webhook.on_generate_token.json").read_bytes())
    consent = mapping.consent_from((WIRE / "webhook.consent_granted.json").read_bytes())
    for shown in (repr(answer), repr(consent)):
        assert "asha.k" not in shown
        assert answer.link_token not in shown


def test_a_granted_consent_is_read():
    consent = mapping.consent_from((WIRE / "webhook.consent_granted.json").read_bytes())
    assert consent.status is ConsentStatus.GRANTED
    assert consent.care_contexts == (("P-000123", "RPT-2026-0001"),)
    assert consent.hi_types == ("DiagnosticReport",)
    assert (consent.date_from, consent.date_to) == (
        datetime(2025, 11, 20, tzinfo=UTC),
        datetime(2026, 11, 20, 23, 59, 59, tzinfo=UTC),
    )
    assert (consent.hiu_id, consent.purpose_code) == ("IN2810099999", "PATRQT")
    assert consent.patient_abha_address == "asha.k@sbx"
    assert consent.data_erase_at == datetime(2026, 12, 20, tzinfo=UTC)


def test_a_revoked_consent_carries_only_its_id():
    consent = mapping.consent_from((WIRE / "webhook.consent_revoked.json").read_bytes())
    assert consent.status is ConsentStatus.REVOKED
    assert consent.care_contexts == ()


def test_a_new_word_for_a_consent_shares_nothing():
    body = json.dumps({"notification": {"status": "PAUSED", "consentId": "c"}}).encode()
    assert mapping.consent_from(body).status is ConsentStatus.UNKNOWN


def test_a_grant_without_artefact_is_an_error():
    with pytest.raises(MessageError):
        mapping.consent_from(json.dumps({"notification": {"status": "GRANTED", "consentId": "c"}}).encode())


def test_a_request_for_records_is_read():
    asked = mapping.health_info_request_from((WIRE / "webhook.hi_request.json").read_bytes())
    assert asked.data_push_url == "https://hiu.example.in/push"
    assert asked.hiu_public_key == "BA=="
    assert asked.date_from == datetime(2025, 11, 20, tzinfo=UTC)
    assert asked.key_expiry == datetime(2026, 11, 22, tzinfo=UTC)


def _patched(file: str, path: list, value) -> bytes:
    body = _wire(file)
    place = body
    for step in path[:-1]:
        place = place[step]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return json.dumps(body).encode()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["transactionId"], ...),
        (["transactionId"], ""),
        (["transactionId"], "t" * 500),
        (["hiRequest", "consent"], None),
        (["hiRequest", "dateRange", "from"], "yesterday"),
        (["hiRequest", "dateRange", "from"], "0001-01-01T00:00:00+05:30"),
        (["hiRequest", "dateRange", "to"], "9999-12-31T23:59:59-05:30"),
        (["hiRequest", "dataPushUrl"], "https://x/" + "a" * 3000),
        (["hiRequest", "keyMaterial", "dhPublicKey", "keyValue"], 7),
        (["hiRequest", "keyMaterial", "nonce"], "n" * 1000),
    ],
)
def test_malformed_requests_are_message_errors_without_their_content(path, value):
    with pytest.raises(MessageError) as caught:
        mapping.health_info_request_from(_patched("webhook.hi_request.json", path, value))
    assert "hiu.example.in" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_naive_date_is_utc_and_a_missing_expiry_is_none():
    body = _patched("webhook.hi_request.json", ["hiRequest", "dateRange", "from"], "2025-11-20T00:00:00")
    assert mapping.health_info_request_from(body).date_from == datetime(2025, 11, 20, tzinfo=UTC)
    body = _patched("webhook.hi_request.json", ["hiRequest", "keyMaterial", "dhPublicKey", "expiry"], ...)
    assert mapping.health_info_request_from(body).key_expiry is None


def test_an_oversized_callback_is_refused():
    with pytest.raises(MessageError) as caught:
        mapping.consent_from(b" " * (512 * 1024 + 1))
    assert caught.value.code == "MESSAGE_TOO_LARGE"


FIELDS = ["notification", "response", "requestId", "error", "code", "status", "hiRequest", "consentId", "transactionId"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_any_json_is_read_or_refused(value):
    body = json.dumps(value).encode()
    for read in (mapping.answer_from, mapping.consent_from, mapping.health_info_request_from):
        try:
            read(body)
        except MessageError as error:
            assert error.action  # noqa: PT017
