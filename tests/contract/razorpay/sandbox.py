"""A Razorpay account on the simulator, with our connector and our webhook endpoint around it."""

import httpx

from connectors.http import PartnerHttp
from connectors.razorpay import RazorpayConnector, RazorpaySettings, webhook
from connectors.razorpay.simulator import create_app
from connectors.simulation import Behaviour
from domain.payments import PaymentLinkRequest
from tests.contract.standins import Clock, Receiver

KEY_ID = "rzp_test_labsetu"
KEY_SECRET = "simulated-key-secret"
REQUEST = PaymentLinkRequest("INV-1", 50_000, "Laboratory bill INV-1", customer_phone="+919810012345")


class Sandbox:
    def __init__(self, **options):
        self.clock, self.receiver, self.behaviour = Clock(), Receiver(), Behaviour()
        self.app = create_app(
            webhook_urls=["http://lab.test/webhooks/razorpay"],
            clock=self.clock,
            behaviour=self.behaviour,
            webhook_client=self.receiver.client,
            **options,
        )
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://razorpay.test")
        self.connector = self.connect()

    def connect(self, key_secret=KEY_SECRET):
        settings = RazorpaySettings(key_id=KEY_ID, key_secret=key_secret)
        return RazorpayConnector(PartnerHttp(self.http, "razorpay"), settings)

    async def paid_link(self):
        link = await self.connector.create_payment_link(request=REQUEST)
        assert (await self.http.post(f"/pay/{link.link_id}")).status_code == 200
        return await self.connector.fetch_payment_link(link_id=link.link_id)

    async def deliver(self):
        await self.app.state.sender.drain()
        found = []
        for request in self.receiver.got:
            webhook.verify(request.content, request.headers, ["simulated-webhook-secret"])
            found += webhook.parse(request.content, request.headers)
        return found

    async def state(self):
        return (await self.http.get("/_sim/state")).json()

    async def refusal(self, method, path, *, auth=(KEY_ID, KEY_SECRET), **sent):
        """Return status and description of a raw request."""
        response = await self.http.request(method, path, auth=auth, **sent)
        return response.status_code, response.json().get("error", {}).get("description", "")
