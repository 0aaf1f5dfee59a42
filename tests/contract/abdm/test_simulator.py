"""The simulator keeps the network's rules, and the connection check names what is wrong."""

from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
from pydantic import SecretStr

from connectors.abdm import AbdmConnector, webhook
from connectors.abdm.check import check_connection
from connectors.abdm.simulator import SimulatorConfig
from connectors.http import PartnerHttp
from connectors.simulation import Behaviour
from domain.clock import utc_now
from tests.contract.abdm.lab import AT_ONCE, CONTEXT, SETTINGS, SIMULATOR, Lab, fresh


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
