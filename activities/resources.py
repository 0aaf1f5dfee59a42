"""Opens what activities need: the database, the object store, one connector per configured partner.

The one place where connectors are wired. A partner whose settings are absent is None: its steps say so and wait for
staff.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from activities.partner_calls import StoredJournal
from connectors.abdm import AbdmConnector
from connectors.abdm.push import push_http
from connectors.einvoice import EInvoiceConnector
from connectors.email import EmailConnector
from connectors.files import FilesConnector
from connectors.http import CallJournal, PartnerHttp
from connectors.messaging import MessageChannel
from connectors.razorpay import RazorpayConnector
from connectors.sms import SmsConnector
from connectors.whatsapp import WhatsAppConnector
from domain.errors import RequestError
from store.session import Database, open_database

if TYPE_CHECKING:
    from settings import Settings


@dataclass(frozen=True)
class Resources:
    """What the activities of one worker process share.

    Attributes:
        channels: By `domain.messaging.Channel` value.
        abdm_push: HTTP side for pushes to addresses that others choose; refuses private ones.
        public_url: Where patients reach the lab, without a slash at the end.
    """

    database: Database
    files: FilesConnector
    public_url: str
    link_key: bytes
    razorpay: RazorpayConnector | None = None
    einvoice: EInvoiceConnector | None = None
    channels: Mapping[str, MessageChannel] | None = None
    abdm: AbdmConnector | None = None
    abdm_push: PartnerHttp | None = None


def database_of(settings: Settings) -> Database:
    """Return the database handle of a process."""
    return open_database(
        settings.database.url.get_secret_value(),
        audit_key=settings.audit.key.get_secret_value().encode(),
        seal_key=settings.database.decoded_seal_key(),
        pool_size=settings.database.pool_size,
        statement_timeout_ms=int(settings.database.command_timeout_s * 1000),
    )


@asynccontextmanager
async def open_resources(settings: Settings) -> AsyncIterator[Resources]:
    """Open everything; close it when the block ends. Partners are first reached when first called."""
    async with AsyncExitStack() as stack:
        database = database_of(settings)
        stack.push_async_callback(database.close)
        journal = StoredJournal(database)
        abdm_push = None
        if settings.abdm is not None:
            abdm_push = push_http(settings.abdm, journal)
            await stack.enter_async_context(abdm_push.client)
        yield Resources(
            database=database,
            files=FilesConnector(settings.objects),
            public_url=settings.api.public_url.rstrip("/"),
            link_key=settings.database.decoded_seal_key(),
            razorpay=await _razorpay(stack, settings, journal),
            einvoice=await _einvoice(stack, settings, journal),
            channels=await _channels(stack, settings, journal),
            abdm=await _abdm(stack, settings, journal),
            abdm_push=abdm_push,
        )


def not_configured(connector: str, section: str) -> RequestError:
    """Return the error of a step whose partner the lab has not set up."""
    return RequestError(
        f"{connector} is not configured",
        code="PARTNER_NOT_CONFIGURED",
        action=f"Fill the settings LABSETU_{section.upper()}__… and restart the worker, or answer the step by hand.",
        connector=connector,
    )


async def _client(stack: AsyncExitStack, base_url: str, timeout_s: float) -> httpx.AsyncClient:
    client = httpx.AsyncClient(
        base_url=base_url,
        timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, 10.0)),
        limits=httpx.Limits(max_connections=20, max_keepalive_connections=10),
        trust_env=False,  # a proxy in the environment must not see partners' traffic
        follow_redirects=False,
    )
    return await stack.enter_async_context(client)


async def _razorpay(stack: AsyncExitStack, settings: Settings, journal: CallJournal) -> RazorpayConnector | None:
    own = settings.payments
    if own is None:
        return None
    client = await _client(stack, own.base_url, own.timeout_s)
    return RazorpayConnector(PartnerHttp(client, "razorpay", journal), own)


async def _einvoice(stack: AsyncExitStack, settings: Settings, journal: CallJournal) -> EInvoiceConnector | None:
    own = settings.einvoice
    if own is None:
        return None
    return EInvoiceConnector(await _client(stack, own.base_url, own.timeout_s), own, journal)


async def _abdm(stack: AsyncExitStack, settings: Settings, journal: CallJournal) -> AbdmConnector | None:
    own = settings.abdm
    if own is None:
        return None
    client = await _client(stack, own.base_url, own.timeout_s)
    return AbdmConnector(PartnerHttp(client, "abdm", journal), own)


async def _channels(stack: AsyncExitStack, settings: Settings, journal: CallJournal) -> dict[str, MessageChannel]:
    channels: dict[str, MessageChannel] = {}
    if settings.whatsapp is not None:
        client = await _client(stack, settings.whatsapp.base_url, settings.whatsapp.timeout_s)
        channels["whatsapp"] = WhatsAppConnector(PartnerHttp(client, "whatsapp", journal), settings.whatsapp)
    if settings.sms is not None:
        client = await _client(stack, settings.sms.base_url, settings.sms.timeout_s)
        channels["sms"] = SmsConnector(PartnerHttp(client, "sms", journal), settings.sms)
    if settings.email is not None:
        channels["email"] = EmailConnector(settings.email, journal)
    return channels
