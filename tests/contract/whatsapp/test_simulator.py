"""Our WhatsApp connector against the simulator, and the simulator against what Meta documents."""

import dataclasses
import json
from pathlib import Path

import httpx
import pytest

from connectors.http import PartnerHttp
from connectors.simulation import Behaviour
from connectors.whatsapp import WhatsAppConnector, WhatsAppSettings, webhook
from connectors.whatsapp.check import check_connection
from connectors.whatsapp.simulator import ApprovedTemplate, create_app
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

MESSAGE = OutboundMessage(
    notification_id="ntf-1",
    to="+919810012345",
    template="report_ready",
    language="en",
    parameters=("Asha Rao", "DEL-261123-0042"),
    text="",
    document_url="https://lab.example.in/d/abc",
    document_name="report.pdf",
)
TEMPLATES = (
    ApprovedTemplate("report_ready", "en", 2, has_document=True),
    ApprovedTemplate("payment_link", "hi", 3),
    ApprovedTemplate("tired", "en", 0, status="PAUSED"),
    ApprovedTemplate("banned", "en", 0, status="DISABLED"),
)
SENT = json.loads((Path(__file__).parent / "wire" / "send.request.json").read_bytes())


class Sandbox:
    def __init__(self, **options):
        self.receiver, self.behaviour = Receiver(), Behaviour()
        self.app = create_app(
            templates=TEMPLATES,
            webhook_urls=["http://lab.test/webhooks/whatsapp"],
            clock=Clock(),
            behaviour=self.behaviour,
            webhook_client=self.receiver.client,
            **options,
        )
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://graph.test")
        self.connector = self.connect()

    def connect(self, token="simulated-access-token", number="100000000000001"):  # noqa: S107
        settings = WhatsAppSettings(phone_number_id=number, access_token=token)
        return WhatsAppConnector(PartnerHttp(self.http, "whatsapp"), settings)

    async def deliver(self):
        await self.app.state.sender.drain()
        found = []
        for request in self.receiver.got:
            webhook.verify(request.content, request.headers, ["simulated-app-secret"])
            found.append(webhook.parse(request.content, request.headers))
        return found

    async def messages(self):
        return list((await self.http.get("/_sim/state")).json()["messages"].values())

    async def raw(self, **changes):
        body = {key: value for key, value in (SENT | changes).items() if value is not None}
        return await self.http.post(
            "/v99.0/100000000000001/messages", json=body, headers={"Authorization": "Bearer simulated-access-token"}
        )


@pytest.fixture
def sandbox():
    return Sandbox()


async def test_a_message_is_accepted_sent_delivered_and_read(sandbox):
    assert sandbox.connector.name == Channel.WHATSAPP
    sent = await sandbox.connector.send(MESSAGE)
    assert sent.state is DeliveryState.ACCEPTED
    events = [event for batch in await sandbox.deliver() for event in batch]
    assert [event.kind for event in events] == ["message.sent", "message.delivered", "message.read"]
    assert {event.reference for event in events} == {"ntf-1"}
    assert {event.entity_id for event in events} == {sent.provider_id}


async def test_all_statuses_of_a_batch_arrive():
    sandbox = Sandbox(batched=True, reads=False)
    await sandbox.connector.send(MESSAGE)
    (batch,) = await sandbox.deliver()
    assert [event.kind for event in batch] == ["message.sent", "message.delivered"]


async def test_duplicates_and_disorder_do_not_change_the_end(sandbox):
    sandbox.behaviour.change({"webhooks_duplicate": True, "webhooks_reversed": True})
    await sandbox.connector.send(MESSAGE)
    events = [event for batch in await sandbox.deliver() for event in batch]
    assert len(events) == 6
    assert len({event.event_id for event in events}) == 3
    state = DeliveryState.ACCEPTED
    for event in events:
        state = state.advanced(DeliveryState(event.kind.removeprefix("message.")))
    assert state is DeliveryState.READ


@pytest.mark.parametrize(("ending", "code"), [("0026", "131026"), ("0049", "131049"), ("7000", "137000")])
async def test_some_people_cannot_be_reached_and_that_comes_later(sandbox, ending, code):
    sent = await sandbox.connector.send(dataclasses.replace(MESSAGE, to=f"+91981001{ending}"))
    assert sent.state is DeliveryState.ACCEPTED
    ((event,),) = await sandbox.deliver()
    assert (event.kind, event.code) == ("message.failed", code)


async def test_sending_twice_sends_two(sandbox):
    """There is no idempotency key: this is why a lost answer is never repeated blindly."""
    sandbox.behaviour.drop_after_next = 1
    with pytest.raises(OutcomeUnknownError):
        await sandbox.connector.send(MESSAGE)
    await sandbox.connector.send(MESSAGE)
    assert len(await sandbox.messages()) == 2
    events = [event for batch in await sandbox.deliver() for event in batch]
    assert {event.reference for event in events} == {"ntf-1"}, "the lost one proves itself by its status"


@pytest.mark.parametrize(
    ("change", "code", "kind"),
    [
        ({"template": "unheard_of"}, "132001", RejectedError),
        ({"language": "ta"}, "132001", RejectedError),
        ({"template": "tired", "parameters": (), "document_url": ""}, "132015", RejectedError),
        ({"template": "banned", "parameters": (), "document_url": ""}, "132016", RejectedError),
        ({"parameters": ("one",)}, "132000", RequestError),
        ({"document_url": ""}, "132012", RequestError),
        ({"template": "payment_link", "language": "hi", "parameters": ("a", "b", "c")}, "132012", RequestError),
        ({"to": "+911140000000"}, "131021", RejectedError),
    ],
)
async def test_refusals_of_templates(sandbox, change, code, kind):
    with pytest.raises(kind) as caught:
        await sandbox.connector.send(dataclasses.replace(MESSAGE, **change))
    assert caught.value.partner_code == code
    assert not await sandbox.messages()


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"messaging_product": "sms"}, 400, 100),
        ({"to": None}, 400, 131008),
        ({"to": "phone"}, 400, 131009),
        ({"to": 91981}, 400, 131009),
        ({"type": "text"}, 400, 131047),
        ({"template": None}, 400, 131008),
        ({"template": {"name": "report_ready"}}, 404, 132001),
        ({"template": SENT["template"] | {"components": "none"}}, 400, 132000),
    ],
)
async def test_the_simulator_refuses_what_meta_refuses(sandbox, changes, status, code):
    response = await sandbox.raw(**changes)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert not await sandbox.messages()


async def test_an_empty_parameter_is_refused_on_both_sides(sandbox):
    with pytest.raises(RequestError):
        await sandbox.connector.send(dataclasses.replace(MESSAGE, parameters=("Asha", " \n")))
    template = json.loads(json.dumps(SENT["template"]))
    template["components"][1]["parameters"][0]["text"] = ""
    assert (await sandbox.raw(template=template)).json()["error"]["code"] == 131008


async def test_the_simulator_accepts_the_recorded_request_and_answers_in_its_shape(sandbox):
    recorded = json.loads((Path(__file__).parent / "wire" / "send.response.json").read_bytes())
    answer = (await sandbox.raw()).json()
    assert answer.keys() == recorded.keys()
    assert answer["messages"][0].keys() == recorded["messages"][0].keys()


async def test_credentials_and_number_are_checked(sandbox):
    with pytest.raises(AuthError) as caught:
        await sandbox.connect(token="wrong").send(MESSAGE)
    assert caught.value.partner_code == "190"
    with pytest.raises(RequestError):
        await sandbox.connect(number="2").send(MESSAGE)


async def test_faults_come_out_as_their_classes(sandbox):
    for status, kind in ((429, RateLimitedError), (500, OutcomeUnknownError), (503, UnavailableError)):
        sandbox.behaviour.change({"fail_next": 1, "fail_status": status})
        with pytest.raises(kind):
            await sandbox.connector.send(MESSAGE)
    assert not await sandbox.messages()


async def test_templates_can_be_approved_while_it_runs(sandbox):
    await sandbox.http.post("/_sim/templates", json={"name": "new_one", "language": "en", "parameters": 1})
    message = dataclasses.replace(MESSAGE, template="new_one", parameters=("a",), document_url="")
    assert (await sandbox.connector.send(message)).provider_id.startswith("wamid.")


async def test_check_says_who_is_wrong(sandbox):
    assert (await check_connection(sandbox.connector)).ok
    refused = await check_connection(sandbox.connect(token="wrong"))
    assert not refused.ok
    assert "credentials" in refused.what


async def test_the_page_escapes_what_was_sent(sandbox):
    await sandbox.connector.send(dataclasses.replace(MESSAGE, parameters=("<script>alert(1)</script>", "b")))
    assert "<script>" not in (await sandbox.http.get("/")).text
