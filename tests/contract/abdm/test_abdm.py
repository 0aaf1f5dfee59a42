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
from connectors.abdm.push import push_http
from connectors.abdm.simulator import BASE, create_app
from connectors.http import PartnerHttp
from domain.clock import utc_now
from domain.errors import (
    AuthError,
    OutcomeUnknownError,
    RejectedError,
    RequestError,
    UnavailableError,
)
from domain.health_records import (
    Acceptance,
    AnswerOutcome,
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
