"""A provider for the simulator to talk to: a bridge that proves and keeps callbacks, and the protocol's steps."""

import asyncio
import uuid
from dataclasses import dataclass, field
from datetime import timedelta

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import Response
from pydantic import SecretStr

from connectors.abdm import AbdmConnector, AbdmSettings, webhook
from connectors.abdm.bundle import render_bundle
from connectors.abdm.cipher import OwnKey, encrypt_bundle
from connectors.abdm.push import push_health_information, push_page
from connectors.abdm.simulator import BASE, SimulatorConfig, create_app
from connectors.http import PartnerHttp
from connectors.simulation import Behaviour
from domain.clock import utc_now
from domain.errors import ConnectorError, LabError
from domain.health_records import AbhaPatient, CareContext, GatewayAnswer
from tests.unit.connectors.abdm.sample import record

SIMULATOR = "http://abdm.sim"
BRIDGE = "http://lab.sim"
AT_ONCE = SimulatorConfig(
    bridge_url=BRIDGE, public_url=SIMULATOR, link_commit_s=0, pull_after_s=0, request_after_s=0, token_repeat_window_s=5
)
SETTINGS = AbdmSettings(
    base_url=f"{SIMULATOR}{BASE}",
    client_id=AT_ONCE.client_id,
    client_secret=SecretStr(AT_ONCE.client_secret),
    hip_id=AT_ONCE.hip_id,
    bridge_url=BRIDGE,
    allowed_push_hosts=("abdm.sim",),
)
ASHA = AbhaPatient("91000000000000", "asha.k@sbx", "Asha Kulkarni", "F", 1990)
CONTEXT = CareContext("P-000123", "Patient", "RPT-2026-0001", "Lab report 20 Nov 2026")


def fresh() -> str:
    return str(uuid.uuid4())


@dataclass
class Callback:
    kind: str
    request_id: str
    reference: str
    body: bytes = field(repr=False)


class Lab:
    """Everything in one process: simulator, bridge and connector, joined by ASGI."""

    def __init__(
        self,
        config: SimulatorConfig = AT_ONCE,
        behaviour: Behaviour | None = None,
        settings: AbdmSettings = SETTINGS,
    ):
        self.callbacks: list[Callback] = []
        self.refused: list[str] = []
        self.duplicates = 0
        self.arrived = asyncio.Event()
        bridge = httpx.AsyncClient(transport=httpx.ASGITransport(self._bridge()))
        self.app = create_app(config, behaviour=behaviour, webhook_client=bridge)
        self.network, self.sender = self.app.state.network, self.app.state.sender
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url=settings.base_url)
        self.abdm = AbdmConnector(PartnerHttp(self.client, "abdm"), settings)
        self.push_http = PartnerHttp(httpx.AsyncClient(transport=httpx.ASGITransport(self.app)), "abdm")
        self.settings = settings
        self.keyring = webhook.GatewayKeyring(settings, self.abdm.fetch_signing_keys)

    def _bridge(self) -> FastAPI:
        app = FastAPI()

        @app.post("/{path:path}")
        async def receive(path: str, request: Request) -> Response:
            body = await request.body()
            try:
                await self.keyring.verify(request.headers)
                (event,) = webhook.parse(body, request.headers, path=f"/{path}")
            except ConnectorError as error:
                self.refused.append(error.code)
                return Response(status_code=401)
            except LabError as error:
                self.refused.append(error.code)
                return Response(status_code=400)
            if event.event_id in {one.request_id for one in self.callbacks}:
                self.duplicates += 1
            else:
                self.callbacks.append(Callback(event.kind, event.event_id, event.reference, body))
                self.arrived.set()
            return Response(status_code=202)

        return app

    async def deliver(self) -> int:
        """Let time pass once: what the app does by itself, then all waiting callbacks."""
        state = await self.client.get(f"{SIMULATOR}/_sim/state")
        assert state.status_code == 200
        return await self.sender.drain()

    async def state(self) -> dict:
        return (await self.client.get(f"{SIMULATOR}/_sim/state")).json()

    async def quirk(self, **quirks) -> None:
        assert (await self.client.post(f"{SIMULATOR}/_sim/quirks", json=quirks)).status_code == 200

    def latest(self, kind: str) -> Callback:
        return [one for one in self.callbacks if one.kind == kind][-1]

    def answer_to(self, request_id: str) -> GatewayAnswer:
        (callback,) = [one for one in self.callbacks if one.reference == request_id]
        return webhook.answer_from(callback.body)

    async def token(self, patient: AbhaPatient = ASHA) -> GatewayAnswer:
        request_id = fresh()
        await self.abdm.request_link_token(patient=patient, request_id=request_id)
        await self.deliver()
        return self.answer_to(request_id)

    async def link(self, link_token: str, context: CareContext = CONTEXT, patient: AbhaPatient = ASHA) -> GatewayAnswer:
        request_id = fresh()
        await self.abdm.link_care_context(
            link_token=SecretStr(link_token), patient=patient, contexts=[context], request_id=request_id
        )
        await self.deliver()
        return self.answer_to(request_id)

    async def notify(self, context: CareContext = CONTEXT) -> GatewayAnswer:
        request_id = fresh()
        await self.abdm.notify_care_context(
            patient_address=ASHA.abha_address, context=context, date=utc_now(), request_id=request_id
        )
        await self.deliver()
        return self.answer_to(request_id)

    async def shared(self) -> None:
        """Link and announce the sample report; afterwards consent and request are in the inbox."""
        await self.link((await self.token()).link_token)
        await self.notify()
        await self.deliver()
        await self.deliver()

    async def acknowledge_consent(self):
        callback = self.latest(webhook.CONSENT_NOTIFIED)
        consent = webhook.consent_from(callback.body)
        return await self.abdm.acknowledge_consent(
            consent_id=consent.consent_id, callback_request_id=callback.request_id, request_id=fresh()
        )

    async def acknowledge_request(self, **more):
        callback = self.latest(webhook.HEALTH_INFO_REQUESTED)
        return await self.abdm.acknowledge_health_info_request(
            transaction_id=callback.reference, callback_request_id=callback.request_id, request_id=fresh(), **more
        )

    async def push(self, plain: bytes | None = None, *, reference: str = CONTEXT.reference) -> None:
        asked = webhook.health_info_request_from(self.latest(webhook.HEALTH_INFO_REQUESTED).body)
        sealed = encrypt_bundle(plain or render_bundle(record()), asked.hiu_public_key, asked.hiu_nonce, own=OwnKey())
        page = push_page(asked.transaction_id, [(reference, sealed)], utc_now() + timedelta(hours=1))
        await push_health_information(
            self.push_http,
            self.settings,
            url=asked.data_push_url,
            page=page,
            access_token=await self.abdm.access_token(),
        )

    async def report_transfer(self, delivered: bool = True):
        callback = self.latest(webhook.HEALTH_INFO_REQUESTED)
        asked = webhook.health_info_request_from(callback.body)
        return await self.abdm.notify_transfer(
            consent_id=asked.consent_id,
            transaction_id=asked.transaction_id,
            delivered={CONTEXT.reference: delivered},
            done_at=utc_now(),
            request_id=fresh(),
        )
