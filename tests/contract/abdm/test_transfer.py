"""Callbacks, consents and transfers, in every order and with every fault the simulator can make."""

from dataclasses import replace
from datetime import timedelta

import pytest

from connectors.abdm import webhook
from connectors.abdm.cipher import KeyEncoding
from connectors.abdm.push import push_http
from connectors.simulation import Behaviour
from domain.clock import utc_now
from domain.errors import (
    MessageError,
    RateLimitedError,
    RejectedError,
    RequestError,
    UnavailableError,
)
from domain.health_records import (
    Acceptance,
    AnswerOutcome,
    CareContext,
    ConsentStatus,
    HealthInfoRefusal,
    refusal_of,
)
from tests.contract.abdm.lab import ASHA, AT_ONCE, CONTEXT, SETTINGS, SIMULATOR, Lab, fresh


async def _transfers(lab: Lab) -> list[dict]:
    return (await lab.state())["transfers"]


async def test_duplicate_callbacks_count_once():
    lab = Lab(behaviour=Behaviour(webhooks_duplicate=True))
    await lab.shared()
    assert lab.duplicates == len(lab.callbacks) == 5


async def test_a_request_may_arrive_before_its_consent():
    lab = Lab()
    await lab.link((await lab.token()).link_token)
    lab.sender.behaviour.webhooks_reversed = True
    await lab.abdm.notify_care_context(
        patient_address=ASHA.abha_address, context=CONTEXT, date=utc_now(), request_id=fresh()
    )
    await lab.state()
    await lab.deliver()
    kinds = [one.kind for one in lab.callbacks]
    assert kinds.index(webhook.HEALTH_INFO_REQUESTED) < kinds.index(webhook.CONSENT_NOTIFIED)
    await lab.acknowledge_consent()
    await lab.acknowledge_request()
    await lab.push()
    assert (await _transfers(lab))[0]["records"]


@pytest.mark.parametrize("fault", ["expired", "wrong_audience", "wrong_key", "unsigned", "missing"])
async def test_callbacks_that_prove_nothing_are_refused_and_repeated(fault):
    lab = Lab()
    await lab.quirk(callback_token=fault)
    await lab.abdm.request_link_token(patient=ASHA, request_id=fresh())
    assert await lab.deliver() == 0
    assert (lab.callbacks, lab.refused) == ([], ["CALLBACK_NOT_PROVED"])
    assert lab.sender.pending == 1


async def test_tampered_callbacks_are_refused():
    lab = Lab(behaviour=Behaviour(webhooks_tampered=True))
    await lab.abdm.request_link_token(patient=ASHA, request_id=fresh())
    await lab.deliver()
    assert lab.refused == ["CALLBACK_NOT_PROVED"]


async def test_lost_callbacks_are_asked_for_again_with_a_fresh_id():
    lab = Lab(replace(AT_ONCE, token_repeat_window_s=0), Behaviour(webhooks_off=True))
    await lab.abdm.request_link_token(patient=ASHA, request_id=fresh())
    assert await lab.deliver() == 0
    lab.sender.behaviour.webhooks_off = False
    assert (await lab.token()).outcome is AnswerOutcome.DONE


async def test_rotated_keys_are_learnt():
    lab = Lab()
    await lab.token()
    await lab.client.post(f"{SIMULATOR}/_sim/rotate-keys")
    lab.keyring._fetched_at -= timedelta(minutes=1)
    assert (await lab.link("forged")).outcome is AnswerOutcome.TOKEN_INVALID


@pytest.fixture
async def shared() -> Lab:
    lab = Lab()
    await lab.shared()
    return lab


async def test_answering_a_request_twice_is_known(shared):
    await shared.acknowledge_request()
    assert await shared.acknowledge_request() is Acceptance.ALREADY_KNOWN


async def test_answers_to_nothing_are_refused(shared):
    with pytest.raises(RejectedError) as caught:
        await shared.abdm.acknowledge_health_info_request(
            transaction_id=fresh(), callback_request_id=fresh(), request_id=fresh()
        )
    assert caught.value.partner_code == "ABDM-1052"
    with pytest.raises(RejectedError):
        await shared.abdm.acknowledge_consent(consent_id=fresh(), callback_request_id=fresh(), request_id=fresh())


async def test_a_refused_request_is_over(shared):
    await shared.acknowledge_request(refusal=HealthInfoRefusal("ABDM-1062", "Consent Not granted"))
    (transfer,) = await _transfers(shared)
    assert (transfer["status"], transfer["refusal"]) == ("FAILED", "ABDM-1062")
    with pytest.raises(RejectedError):
        await shared.push()


async def test_a_push_before_the_acknowledgement_is_refused(shared):
    with pytest.raises(RejectedError):
        await shared.push()


async def test_a_consent_revoked_before_the_push(shared):
    consent_id = webhook.consent_from(shared.latest(webhook.CONSENT_NOTIFIED).body).consent_id
    await shared.acknowledge_request()
    await shared.client.post(f"{SIMULATOR}/_sim/revoke/{consent_id}")
    await shared.deliver()
    revoked = webhook.consent_from(shared.latest(webhook.CONSENT_NOTIFIED).body)
    asked = webhook.health_info_request_from(shared.latest(webhook.HEALTH_INFO_REQUESTED).body)
    assert revoked.status is ConsentStatus.REVOKED
    refusal = refusal_of(asked, revoked, utc_now())
    assert refusal is not None
    assert refusal.code == "ABDM-1062"
    with pytest.raises(RejectedError):
        await shared.push()
    await shared.report_transfer(delivered=False)
    assert (await _transfers(shared))[0]["notified"] == "FAILED"


async def test_a_requester_that_asks_beyond_the_consent_is_noticed():
    lab = Lab()
    await lab.quirk(hiu_asks_too_much=True)
    await lab.shared()
    consent = webhook.consent_from(lab.latest(webhook.CONSENT_NOTIFIED).body)
    asked = webhook.health_info_request_from(lab.latest(webhook.HEALTH_INFO_REQUESTED).body)
    refusal = refusal_of(asked, consent, utc_now())
    assert refusal is not None
    assert refusal.code == "ABDM-1063"


async def test_the_same_page_twice_is_one_record(shared):
    await shared.acknowledge_request()
    await shared.push()
    await shared.push()
    (transfer,) = await _transfers(shared)
    assert (transfer["pushes"], len(transfer["records"])) == (2, 1)


async def test_a_record_the_consent_does_not_cover_is_refused(shared):
    await shared.acknowledge_request()
    with pytest.raises(RejectedError):
        await shared.push(reference="RPT-OTHER")


async def test_a_bundle_that_breaks_the_profile_is_shown(shared):
    await shared.acknowledge_request()
    await shared.push(b'{"resourceType":"Bundle","type":"collection"}')
    (transfer,) = await _transfers(shared)
    assert "type" in transfer["records"][0]["problems"]


@pytest.mark.parametrize("encoding", KeyEncoding)
async def test_requesters_keys_in_every_encoding(encoding):
    lab = Lab()
    await lab.quirk(hiu_key=encoding.value)
    await lab.shared()
    await lab.acknowledge_request()
    await lab.push()
    assert (await _transfers(lab))[0]["records"][0]["problems"] == []


@pytest.mark.parametrize("size", [0, 31, 64])
async def test_a_requester_with_a_bad_nonce_gets_nothing(size):
    lab = Lab()
    await lab.quirk(hiu_nonce_bytes=size)
    await lab.shared()
    with pytest.raises(MessageError):
        await lab.push()


@pytest.mark.parametrize(
    ("status", "error"),
    [(413, RejectedError), (500, UnavailableError), (503, UnavailableError), (429, RateLimitedError)],
)
async def test_a_requester_that_fails(shared, status, error):
    await shared.acknowledge_request()
    await shared.quirk(hiu_status=status)
    with pytest.raises(error):
        await shared.push()


async def test_a_requester_at_a_forbidden_address_gets_nothing():
    lab = Lab()
    await lab.quirk(push_url="https://169.254.169.254/latest/meta-data/")
    await lab.shared()
    lab.push_http = push_http(SETTINGS)
    with pytest.raises(RequestError) as caught:
        await lab.push()
    await lab.push_http.client.aclose()
    assert caught.value.code == "PUSH_URL_REFUSED"


async def test_a_corrected_report_is_announced_again_and_pulled_again(shared):
    await shared.acknowledge_request()
    await shared.push()
    assert (await shared.notify()).outcome is AnswerOutcome.DONE
    await shared.deliver()
    await shared.deliver()
    assert len(await _transfers(shared)) == 2


async def test_another_report_uses_the_same_link_token():
    lab = Lab()
    token = (await lab.token()).link_token
    await lab.link(token)
    second = CareContext("P-000123", "Patient", "RPT-2026-0002", "Lab report 21 Nov 2026")
    assert (await lab.link(token, second)).outcome is AnswerOutcome.DONE
