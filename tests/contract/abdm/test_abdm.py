"""What is peculiar to ABDM: the whole exchange against the simulator, its faults, and its rules."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
import uvicorn
from pydantic import SecretStr

from connectors.abdm import AbdmConnector, webhook
from connectors.abdm.check import check_connection
from connectors.abdm.cipher import KeyEncoding
from connectors.abdm.push import push_http
from connectors.abdm.simulator import BASE, SimulatorConfig, create_app
from connectors.http import PartnerHttp
from connectors.simulation import Behaviour
from domain.clock import utc_now
from domain.errors import (
    AuthError,
    MessageError,
    OutcomeUnknownError,
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
    HiType,
    refusal_of,
)
from tests.contract.abdm.lab import ASHA, AT_ONCE, CONTEXT, SETTINGS, SIMULATOR, Lab, fresh
from tests.contract.suites import RecordingJournal


async def _transfers(lab: Lab) -> list[dict]:
    return (await lab.state())["transfers"]


async def test_the_whole_exchange():
    lab = Lab()
    token = await lab.token()
    assert token.outcome is AnswerOutcome.DONE
    assert (await lab.link(token.link_token)).outcome is AnswerOutcome.DONE
    assert (await lab.notify()).outcome is AnswerOutcome.DONE
    await lab.deliver()
    await lab.deliver()
    consent = webhook.consent_from(lab.latest(webhook.CONSENT_NOTIFIED).body)
    asked = webhook.health_info_request_from(lab.latest(webhook.HEALTH_INFO_REQUESTED).body)
    assert consent.care_contexts == (("P-000123", "RPT-2026-0001"),)
    assert consent.purpose_code == "PATRQT"
    assert refusal_of(asked, consent, utc_now()) is None
    assert await lab.acknowledge_consent() is Acceptance.ACCEPTED
    assert await lab.acknowledge_request() is Acceptance.ACCEPTED
    await lab.push()
    assert await lab.report_transfer() is Acceptance.ACCEPTED
    (transfer,) = await _transfers(lab)
    assert (transfer["status"], transfer["notified"], transfer["failures"]) == ("TRANSFERRED", "TRANSFERRED", [])
    (received,) = transfer["records"]
    assert received["problems"] == []
    assert "Haemoglobin: 9.80 g/dL" in received["results"]
    assert "TSH: 0.010 µIU/mL" in received["results"]
    page = (await lab.client.get(f"{SIMULATOR}/")).text
    assert "Haemoglobin: 9.80 g/dL" in page
    assert "<b>&amp;" not in page, "names are escaped"


@asynccontextmanager
async def _served(app):
    config = uvicorn.Config(app, port=0, log_level="error", lifespan="on")
    server = uvicorn.Server(config)
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
            assert not serving.done()
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        server.should_exit = True


async def test_the_whole_exchange_over_sockets_with_callbacks_by_themselves():
    """Real ports: callbacks arrive in the background, and the push goes through the guarded transport."""
    lab = Lab()
    async with _served(lab._bridge()) as bridge:
        app = create_app(replace(AT_ONCE, bridge_url=bridge))
        async with _served(app) as base:
            app.state.network.config = replace(AT_ONCE, bridge_url=bridge, public_url=base)
            host = base.removeprefix("http://")
            settings = SETTINGS.model_copy(
                update={"base_url": f"{base}{BASE}", "allowed_push_hosts": (host,), "bridge_url": bridge}
            )
            async with httpx.AsyncClient(base_url=settings.base_url) as client:
                lab.abdm = AbdmConnector(PartnerHttp(client, "abdm"), settings)
                lab.keyring = webhook.GatewayKeyring(settings, lab.abdm.fetch_signing_keys)
                lab.settings, lab.push_http = settings, push_http(settings)
                assert (await check_connection(lab.abdm)).ok
                await _run_by_itself(lab)
                await lab.push_http.client.aclose()
            (transfer,) = app.state.network.transfers.values()
    assert transfer.notified == "TRANSFERRED"
    assert transfer.records[0].problems == []


async def _until(lab: Lab, found):
    async with asyncio.timeout(10):
        while not found():
            lab.arrived.clear()
            await lab.arrived.wait()


async def _run_by_itself(lab: Lab) -> None:
    request_id = fresh()
    await lab.abdm.request_link_token(patient=ASHA, request_id=request_id)
    await _until(lab, lambda: lab.callbacks)
    token = lab.answer_to(request_id).link_token
    await lab.abdm.link_care_context(link_token=SecretStr(token), patient=ASHA, contexts=[CONTEXT], request_id=fresh())
    await lab.abdm.notify_care_context(
        patient_address=ASHA.abha_address, context=CONTEXT, date=utc_now(), request_id=fresh()
    )
    await _until(lab, lambda: any(one.kind == webhook.HEALTH_INFO_REQUESTED for one in lab.callbacks))
    await lab.acknowledge_consent()
    await lab.acknowledge_request()
    await lab.push()
    await lab.report_transfer()


# Link token


@pytest.mark.parametrize(
    "patient",
    [replace(ASHA, name="Asha Kulkarnee"), replace(ASHA, gender="M"), replace(ASHA, year_of_birth=1991)],
    ids=["name", "gender", "year"],
)
async def test_a_mismatch_is_refused_by_callback(patient):
    answer = await Lab().token(patient)
    assert (answer.outcome, answer.code, answer.link_token) == (AnswerOutcome.REFUSED, "ABDM-1036", "")


async def test_three_mismatches_block_for_a_day():
    lab = Lab()
    for year in (1991, 1992, 1993):
        await lab.token(replace(ASHA, year_of_birth=year))
    assert (await lab.token()).outcome is AnswerOutcome.BLOCKED


async def test_an_unknown_patient_is_refused_at_once():
    stranger = replace(ASHA, abha_address="nobody@sbx", abha_number="")
    with pytest.raises(RejectedError) as caught:
        await Lab().abdm.request_link_token(patient=stranger, request_id=fresh())
    assert caught.value.partner_code == "ABDM-9999"


async def test_the_same_demographics_again_count_as_the_first_request():
    lab = Lab()
    await lab.token()
    assert await lab.abdm.request_link_token(patient=ASHA, request_id=fresh()) is Acceptance.ALREADY_KNOWN


async def test_a_replayed_request_id_has_one_effect():
    lab = Lab()
    token = (await lab.token()).link_token
    request_id = fresh()
    for expected in (Acceptance.ACCEPTED, Acceptance.ALREADY_KNOWN):
        found = await lab.abdm.link_care_context(
            link_token=SecretStr(token), patient=ASHA, contexts=[CONTEXT], request_id=request_id
        )
        assert found is expected
    await lab.deliver()
    assert lab.answer_to(request_id).outcome is AnswerOutcome.DONE
    assert len((await lab.state())["links"]) == 1


async def test_an_answer_lost_after_processing_is_found_by_repeating():
    lab = Lab()
    token = (await lab.token()).link_token
    lab.sender.behaviour.drop_after_next = 1
    request_id = fresh()
    for _ in range(2):
        try:
            found = await lab.abdm.link_care_context(
                link_token=SecretStr(token), patient=ASHA, contexts=[CONTEXT], request_id=request_id
            )
        except (UnavailableError, OutcomeUnknownError):
            continue
    assert found is Acceptance.ALREADY_KNOWN
    await lab.deliver()
    assert lab.answer_to(request_id).outcome is AnswerOutcome.DONE


# Linking


async def test_linking_again_is_already_done():
    lab = Lab()
    token = (await lab.token()).link_token
    await lab.link(token)
    assert (await lab.link(token)).outcome is AnswerOutcome.ALREADY_DONE


async def test_the_same_report_may_be_linked_as_another_kind():
    lab = Lab()
    token = (await lab.token()).link_token
    await lab.link(token)
    invoice = replace(CONTEXT, hi_type=HiType.INVOICE)
    assert (await lab.link(token, invoice)).outcome is AnswerOutcome.DONE


@pytest.mark.parametrize("token", ["", "forged", "a.b.c"])
async def test_a_forged_link_token_is_refused(token):
    assert (await Lab().link(token)).outcome is AnswerOutcome.TOKEN_INVALID


async def test_a_token_of_another_patient_is_refused():
    lab = Lab()
    token = (await lab.token()).link_token
    other = replace(ASHA, abha_number="91000000000018", abha_address="")
    assert (await lab.link(token, patient=other)).outcome is AnswerOutcome.TOKEN_INVALID


async def test_a_notice_that_overtakes_its_link_is_told_apart():
    lab = Lab(replace(AT_ONCE, link_commit_s=60))
    await lab.link((await lab.token()).link_token)
    with pytest.raises(RejectedError) as caught:
        await lab.notify()
    assert caught.value.code == "CARE_CONTEXT_NOT_LINKED_YET"
    lab.network.links[0].committed_at = utc_now() - timedelta(seconds=1)
    assert (await lab.notify()).outcome is AnswerOutcome.DONE


async def test_a_facility_the_gateway_does_not_know_hears_nothing():
    lab = Lab(settings=SETTINGS.model_copy(update={"hip_id": "IN0000000000"}))
    assert await lab.abdm.request_link_token(patient=ASHA, request_id=fresh()) is Acceptance.ACCEPTED
    assert await lab.deliver() == 0


# Session and credentials


async def test_one_session_serves_many_calls_and_is_renewed_when_it_ends():
    lab = Lab(replace(AT_ONCE, session_s=31))
    await asyncio.gather(*(lab.abdm.fetch_bridge() for _ in range(5)))
    assert len(lab.network.sessions) == 1
    lab.abdm._session._renew_at = utc_now()
    await lab.abdm.fetch_bridge()
    assert len(lab.network.sessions) == 2


async def test_a_session_the_gateway_forgot_is_replaced_with_the_same_request_id():
    lab = Lab()
    await lab.abdm.fetch_bridge()
    lab.network.sessions.clear()
    request_id = fresh()
    assert await lab.abdm.request_link_token(patient=ASHA, request_id=request_id) is Acceptance.ACCEPTED
    await lab.deliver()
    assert lab.answer_to(request_id).outcome is AnswerOutcome.DONE


async def test_wrong_credentials():
    lab = Lab(settings=SETTINGS.model_copy(update={"client_secret": SecretStr("wrong")}))
    with pytest.raises(AuthError):
        await lab.abdm.fetch_bridge()


async def test_a_client_without_subscription_is_told_apart():
    lab = Lab()
    await lab.quirk(not_subscribed=True)
    with pytest.raises(AuthError) as caught:
        await lab.abdm.fetch_bridge()
    assert caught.value.code == "ABDM_NOT_SUBSCRIBED"
    assert "NHA" in caught.value.action
    result = await check_connection(lab.abdm)
    assert not result.ok
    assert "NHA" in result.action


@pytest.mark.parametrize("shape", ["nested", "array", "flat", "colon"])
async def test_every_error_shape_means_the_same(shape):
    lab = Lab()
    await lab.quirk(error_shape=shape)
    with pytest.raises(RejectedError) as caught:
        await lab.notify()
    assert caught.value.code == "CARE_CONTEXT_NOT_LINKED_YET"


async def test_an_empty_400_is_a_request_we_must_correct():
    lab = Lab()
    await lab.quirk(error_shape="empty")
    with pytest.raises(RequestError):
        await lab.notify()


@pytest.mark.parametrize("field", ["cm_id", "client_id"])
async def test_wrong_settings_are_not_retried(field):
    lab = Lab(settings=SETTINGS.model_copy(update={field: "wrong"}))
    with pytest.raises((RequestError, AuthError)) as caught:
        await lab.abdm.fetch_bridge()
    assert not caught.value.retryable


async def test_a_request_id_that_is_none_is_not_sent():
    journal = RecordingJournal()
    lab = Lab()
    abdm = AbdmConnector(PartnerHttp(lab.client, "abdm", journal), SETTINGS)
    with pytest.raises(RequestError):
        await abdm.request_link_token(patient=ASHA, request_id="1")
    assert journal.calls == []


async def test_the_bridge_url_is_registered():
    lab = Lab()
    await lab.abdm.register_bridge_url(url="https://lis.example.in", request_id=fresh())
    assert (await lab.abdm.fetch_bridge()).url == "https://lis.example.in"


# The simulator's door


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"REQUEST-ID": "x"}, 400, "ABDM-2404"),
        ({"TIMESTAMP": "2026-11-20"}, 400, "ABDM-2402"),
        ({"TIMESTAMP": "2020-01-01T00:00:00.000Z"}, 400, "ABDM-2402"),
        ({"X-CM-ID": "abdm"}, 400, "ABDM-2403"),
        ({"X-HIP-ID": ""}, 401, ""),
        ({"Authorization": ""}, 401, "900902"),
        ({"Authorization": "Bearer old"}, 401, "900901"),
    ],
)
async def test_the_simulator_checks_headers(changes, status, code):
    lab = Lab()
    token = (await lab.abdm.access_token()).get_secret_value()
    good = {
        "Authorization": f"Bearer {token}",
        "REQUEST-ID": fresh(),
        "TIMESTAMP": utc_now().isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "X-CM-ID": "sbx",
        "X-HIP-ID": SETTINGS.hip_id,
    }
    response = await lab.client.post("v3/token/generate-token", json={}, headers=good | changes)
    assert response.status_code == status
    assert code in response.text


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"hiType": None, "hiTypes": ["DiagnosticReport"]}, "ABDM-1006"),
        ({"careContexts": []}, "ABDM-1006"),
        ({"careContexts": [{"referenceNumber": f"R{n}", "display": "x"} for n in range(21)], "count": 21}, "ABDM-1006"),
        ({"careContexts": [{"referenceNumber": "R#1", "display": "x"}]}, "ABDM-1006"),
        ({"count": 2}, "ABDM-1037"),
    ],
)
async def test_the_simulator_checks_link_bodies(change, code):
    lab = Lab()
    token = (await lab.token()).link_token
    patient = {
        "referenceNumber": "P-1",
        "display": "Patient",
        "careContexts": [{"referenceNumber": "R1", "display": "x"}],
        "hiType": "DiagnosticReport",
        "count": 1,
    }
    headers = {
        "Authorization": f"Bearer {(await lab.abdm.access_token()).get_secret_value()}",
        "REQUEST-ID": fresh(),
        "TIMESTAMP": utc_now().isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "X-CM-ID": "sbx",
        "X-HIP-ID": SETTINGS.hip_id,
        "X-LINK-TOKEN": token,
    }
    body = {"abhaNumber": "91000000000000", "abhaAddress": "asha.k@sbx", "patient": [patient | change]}
    response = await lab.client.post("hip/v3/link/carecontext", json=body, headers=headers)
    if code == "ABDM-1037":
        await lab.deliver()
        assert lab.answer_to(headers["REQUEST-ID"]).code == code
    else:
        assert (response.status_code, code in response.text) == (400, True)
    dashed = body | {"abhaNumber": "91-0000-0000-0000"}
    response = await lab.client.post("hip/v3/link/carecontext", json=dashed, headers=headers | {"REQUEST-ID": fresh()})
    assert (response.status_code, response.content) == (400, b"")


# Callbacks


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


# Consent and transfer


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


# Check and switches


async def test_the_check_passes_on_a_good_day():
    result = await check_connection(Lab().abdm)
    assert (result.ok, result.action) == (True, "")


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"hip_id": "IN2810000009"}, "facility registry"),
        ({"bridge_url": "https://somebody.else"}, "last writer"),
        ({"client_secret": SecretStr("wrong")}, "credentials"),
    ],
)
async def test_the_check_names_what_is_wrong(changes, word):
    result = await check_connection(Lab(settings=SETTINGS.model_copy(update=changes)).abdm)
    assert not result.ok
    assert word in result.action


@pytest.mark.parametrize(("ahead", "ok"), [(-50, False), (-40, True), (60, True), (300, False)])
async def test_the_check_compares_clocks(ahead, ok):
    lab = Lab()
    await lab.abdm.access_token()
    lab.abdm._session.clock_ahead = timedelta(seconds=ahead)
    result = await check_connection(lab.abdm)
    assert result.ok is ok
    if not ok:
        assert "NTP" in result.action


async def test_the_clock_is_read_from_the_date_header():
    async def answer(request: httpx.Request) -> httpx.Response:
        body = {"accessToken": "t", "expiresIn": 1200}
        return httpx.Response(200, json=body, headers={"Date": "Fri, 01 Jan 2021 00:00:00 GMT"})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="https://x.example") as client:
        ahead = await AbdmConnector(PartnerHttp(client, "abdm"), SETTINGS).clock_ahead()
    assert ahead is not None
    assert ahead > timedelta(days=365)


async def test_the_check_says_when_nobody_is_there():
    lab = Lab(behaviour=Behaviour(down=True))
    result = await check_connection(lab.abdm)
    assert not result.ok
    assert result.action


async def test_people_are_seeded_and_bad_switches_refused():
    lab = Lab()
    person = {
        "abha_number": "91111111111111",
        "abha_address": "new.one@sbx",
        "name": "New One",
        "gender": "O",
        "year_of_birth": 2001,
    }
    assert (await lab.client.post(f"{SIMULATOR}/_sim/people", json=person)).status_code == 200
    assert "new.one@sbx" in (await lab.state())["people"]
    assert (await lab.client.post(f"{SIMULATOR}/_sim/people", json={"name": "x"})).status_code == 422
    assert (await lab.client.post(f"{SIMULATOR}/_sim/quirks", json={"no_such": 1})).status_code == 422
    assert (await lab.client.post(f"{SIMULATOR}/_sim/pull/none")).status_code == 404
    assert (await lab.client.post(f"{SIMULATOR}/_sim/revoke/none")).status_code == 404


async def test_a_pull_on_demand():
    lab = Lab(replace(AT_ONCE, pull_after_s=-1))
    await lab.shared()
    assert (await lab.state())["consents"] == []
    response = await lab.client.post(f"{SIMULATOR}/_sim/pull/{CONTEXT.reference}")
    await lab.deliver()
    assert webhook.consent_from(lab.latest(webhook.CONSENT_NOTIFIED).body).consent_id == response.json()["consent_id"]


def test_the_defaults_of_a_simulated_network():
    config = SimulatorConfig()
    assert (config.hip_id, config.cm_id) == ("IN2810000001", "sbx")
    assert config.client_secret not in repr(config)
