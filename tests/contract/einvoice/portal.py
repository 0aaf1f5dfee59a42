"""The simulated portal with a clock to turn, and a connector to it in either dialect, in this process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from connectors.einvoice import EInvoiceConnector, EInvoiceSettings
from connectors.einvoice.settings import Dialect
from connectors.einvoice.simulator import Portal, PortalConfig, create_app
from connectors.simulation import Behaviour
from tests.contract.einvoice.documents import LAB

BOTH = pytest.mark.parametrize("dialect", list(Dialect))


class Clock:
    def __init__(self):
        self.now = datetime(2026, 11, 20, 10, 35, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **how) -> None:
        self.now += timedelta(**how)


# Keys are slow to make: one portal's keys serve every test
_KEYS = Portal(PortalConfig(), Clock())


class Bench:
    def __init__(self, dialect: Dialect, config: PortalConfig | None = None, **settings):
        self.clock = Clock()
        self.behaviour = Behaviour()
        self.config = config or PortalConfig()
        self.portal = Portal(self.config, self.clock, signing_key=_KEYS.signing_key, login_key=_KEYS.login_key)
        self.app = create_app(self.behaviour, clock=self.clock, portal=self.portal)
        given = {
            "dialect": dialect,
            "base_url": "http://portal.example",
            "gstin": LAB.gstin,
            "username": self.config.username,
            "password": self.config.password,
            "client_id": self.config.client_id,
            "client_secret": self.config.client_secret,
            "nic_public_key": self.portal.login_key.public_pem,
            "signing_keys": self.portal.signing_keys,
        }
        self.settings = EInvoiceSettings(**(given | settings))


@asynccontextmanager
async def bench(dialect: Dialect, config: PortalConfig | None = None, **settings) -> AsyncIterator[Bench]:
    made = Bench(dialect, config, **settings)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=made.app), base_url="http://portal.example"
    ) as client:
        made.client = client
        made.connector = EInvoiceConnector(client, made.settings, now=made.clock)
        yield made
