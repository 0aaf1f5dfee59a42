"""Our SMS connector against the simulator, and the simulator against what Twilio documents."""

import dataclasses
import json
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from connectors.http import PartnerHttp
from connectors.simulation import Behaviour
from connectors.sms import DltTemplate, SmsConnector, SmsSettings, webhook
from connectors.sms.check import check_connection
from connectors.sms.simulator import create_app
from domain.errors import (
    AuthError,
    OutcomeUnknownError,
    RateLimitedError,
    RejectedError,
    RequestError,
    UnavailableError,
)
from domain.messaging import Channel, DeliveryState, OutboundMessage
from tests.contract.standins import Clock, Receiver

ACCOUNT = "AC" + "0" * 32
CALLBACK = "https://lab.example.in/webhooks/sms"
REGISTERED = "Dear {#var#}, your report {#var#} is ready: {#var#} - LabSetu"
MESSAGE = OutboundMessage(
    notification_id="ntf-1",
    to="+919810012345",
    template="report_ready",
    language="en",
    parameters=("Asha", "0042", "https://l.in/a1"),
    text="Dear Asha, your report 0042 is ready: https://l.in/a1 - LabSetu",
)


class Sandbox:
    def __init__(self, **options):
        self.receiver, self.behaviour = Receiver(), Behaviour()
        self.app = create_app(clock=Clock(), behaviour=self.behaviour, webhook_client=self.receiver.client, **options)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://twilio.test")
        self.connector = self.connect()

    def connect(self, **changes):
        fields = {"auth_token": "simulated-auth-token", "sender": "LABSTU", "status_callback_url": CALLBACK} | changes
        return SmsConnector(PartnerHttp(self.http, "sms"), SmsSettings(account_sid=ACCOUNT, **fields))

    async def deliver(self):
        await self.app.state.sender.drain()
        found = []
        for request in self.receiver.got:
            url = f"{CALLBACK}?{urlsplit(str(request.url)).query}"
            webhook.verify(request.content, request.headers, url=url, auth_tokens=["simulated-auth-token"])
            found += webhook.parse(request.content, request.headers, url=url)
        return found

    async def messages(self):
        return list((await self.http.get("/_sim/state")).json()["messages"].values())

    async def raw(self, **changes):
        form = {"To": "+919810012345", "From": "LABSTU", "Body": "Hello"} | changes
        auth = (ACCOUNT, "simulated-auth-token")
        sent = {name: value for name, value in form.items() if value is not None}
        return await self.http.post(f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json", data=sent, auth=auth)


@pytest.fixture
def sandbox():
    return Sandbox()


async def test_a_message_is_queued_sent_and_delivered(sandbox):
    assert sandbox.connector.name == Channel.SMS
    sent = await sandbox.connector.send(MESSAGE)
    assert sent.state is DeliveryState.ACCEPTED
    events = await sandbox.deliver()
    assert [event.kind for event in events] == ["message.sent", "message.delivered"]
    assert {event.reference for event in events} == {"ntf-1"}
    assert {event.entity_id for event in events} == {sent.provider_id}
    status = await sandbox.connector.fetch_status(provider_id=sent.provider_id)
    assert status == dataclasses.replace(sent, state=DeliveryState.DELIVERED)


async def test_without_a_callback_address_nothing_is_reported_and_the_status_is_asked(sandbox):
    sent = await sandbox.connect(status_callback_url="").send(MESSAGE)
    assert await sandbox.deliver() == []
    assert (await sandbox.connector.fetch_status(provider_id=sent.provider_id)).state is DeliveryState.DELIVERED


async def test_an_unreachable_phone_is_reported_with_its_code(sandbox):
    await sandbox.connector.send(dataclasses.replace(MESSAGE, to="+919810010003"))
    events = await sandbox.deliver()
    assert [(event.kind, event.code) for event in events] == [("message.sent", ""), ("message.failed", "30003")]


async def test_operators_drop_what_was_not_registered():
    sandbox = Sandbox(registered_texts=[REGISTERED])
    await sandbox.connector.send(MESSAGE)
    await sandbox.connector.send(dataclasses.replace(MESSAGE, text="Buy one, get one free"))
    kinds = [(event.kind, event.code) for event in await sandbox.deliver()]
    assert kinds == [("message.sent", ""), ("message.delivered", ""), ("message.failed", "30007")]


async def test_with_registered_texts_nothing_else_leaves(sandbox):
    template = DltTemplate(name="report_ready", template_id="1107", text=REGISTERED)
    connector = sandbox.connect(dlt_entity_id="1201", dlt_templates=[template])
    with pytest.raises(RequestError):
        await connector.send(dataclasses.replace(MESSAGE, text="Buy one, get one free"))
    with pytest.raises(RequestError):
        await connector.send(dataclasses.replace(MESSAGE, template="unheard_of"))
    assert not await sandbox.messages()
    assert (await connector.send(MESSAGE)).state is DeliveryState.ACCEPTED


async def test_a_lost_answer_is_unknown_and_proves_itself_by_its_callback(sandbox):
    sandbox.behaviour.drop_after_next = 1
    with pytest.raises(OutcomeUnknownError):
        await sandbox.connector.send(MESSAGE)
    assert len(await sandbox.messages()) == 1
    assert {event.reference for event in await sandbox.deliver()} == {"ntf-1"}


@pytest.mark.parametrize(
    ("change", "code", "kind"),
    [
        ({"to": "+919810011610"}, "21610", RejectedError),
        ({"to": "+919810011614"}, "21614", RejectedError),
    ],
)
async def test_refused_numbers(sandbox, change, code, kind):
    with pytest.raises(kind) as caught:
        await sandbox.connector.send(dataclasses.replace(MESSAGE, **change))
    assert caught.value.partner_code == code
    assert not await sandbox.messages()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"To": None}, 21604),
        ({"To": "12"}, 21211),
        ({"From": None}, 21603),
        ({"From": "NOTOURS"}, 21606),
        ({"Body": None}, 21602),
        ({"Body": "x" * 1601}, 21617),
        ({"ValidityPeriod": "0"}, 20001),
        ({"ValidityPeriod": "soon"}, 20001),
        ({"DltTemplateId": "1107"}, 20001),
    ],
)
async def test_the_simulator_refuses_what_twilio_refuses(sandbox, changes, code):
    response = await sandbox.raw(**changes)
    assert (response.status_code, response.json()["code"]) == (400, code)
    assert not await sandbox.messages()


async def test_the_simulator_accepts_the_recorded_request_and_answers_in_its_shape(sandbox):
    wire = Path(__file__).parent / "wire"
    answer = await sandbox.raw(**json.loads((wire / "send.request.json").read_bytes()))
    assert answer.status_code == 201
    assert answer.json().keys() == json.loads((wire / "send.response.json").read_bytes()).keys()


async def test_credentials_senders_and_ids_are_checked(sandbox):
    with pytest.raises(AuthError):
        await sandbox.connect(auth_token="wrong").send(MESSAGE)
    with pytest.raises(RequestError) as caught:
        await sandbox.connect(sender="OTHERS").send(MESSAGE)
    assert caught.value.partner_code == "21606"
    with pytest.raises(RejectedError):
        await sandbox.connector.fetch_status(provider_id="SM" + "f" * 32)
    with pytest.raises(RequestError):
        await sandbox.connector.fetch_status(provider_id="../Accounts")


async def test_faults_come_out_as_their_classes(sandbox):
    for status, kind in ((429, RateLimitedError), (500, OutcomeUnknownError), (503, UnavailableError)):
        sandbox.behaviour.change({"fail_next": 1, "fail_status": status})
        with pytest.raises(kind):
            await sandbox.connector.send(MESSAGE)
    assert not await sandbox.messages()


async def test_a_tampered_callback_is_refused(sandbox):
    sandbox.behaviour.webhooks_tampered = True
    await sandbox.connector.send(MESSAGE)
    with pytest.raises(AuthError):
        await sandbox.deliver()


async def test_check_says_who_is_wrong(sandbox):
    assert (await check_connection(sandbox.connector)).ok
    refused = await check_connection(sandbox.connect(auth_token="wrong"))
    assert not refused.ok
    assert "credentials" in refused.what


async def test_the_page_escapes_what_was_sent(sandbox):
    await sandbox.connector.send(dataclasses.replace(MESSAGE, text="<script>alert(1)</script>"))
    assert "<script>" not in (await sandbox.http.get("/")).text
