"""From the process's settings to what the API holds open while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from activities import resources as shared_resources
from activities.report_links import ReportLinks
from api.auth import AccessTokens, Passwords
from api.config import ApiConfig
from api.deps import Door, Resources
from api.webhooks import abdm, razorpay, sms, whatsapp
from connectors.abdm.webhook import GatewayKeyring
from connectors.files import FilesConnector
from connectors.files.check import check_connection
from workflows.codec import EncryptionCodec
from workflows.gateway import Gateway, connect

if TYPE_CHECKING:
    from pydantic import SecretStr

    from settings import Settings


def config_of(settings: Settings) -> ApiConfig:
    """Return the API's part of the settings."""
    return ApiConfig(
        lab=settings.lab.code,
        public_url=settings.api.public_url.rstrip("/"),
        jwt_secrets=settings.api.jwt_secrets,
        access_life=timedelta(minutes=settings.api.access_minutes),
        refresh_life=timedelta(days=settings.api.refresh_days),
        body_limit_bytes=settings.api.body_limit_bytes,
        instrument_body_limit_bytes=settings.instruments.max_message_bytes,
        metrics_token=settings.api.metrics_token,
        shared_ports=(settings.instruments.hl7_port, settings.instruments.astm_port),
        working_hours=settings.watch.working_hours,
        message_days=settings.watch.message_days,
        recording_days=settings.watch.recording_days,
        replay_targets=settings.watch.replay_targets,
        temporal_ui_origin=settings.temporal.ui_url.rstrip("/"),
        is_codec_open=settings.environment == "development",
        has_docs=settings.api.docs,
    )


@asynccontextmanager
async def open_api_resources(settings: Settings) -> AsyncIterator[Resources]:
    """Open the database, the way to Temporal and the object store; close them when the block ends."""
    config, codec_keys = config_of(settings), settings.temporal.decoded_codec_keys()
    async with shared_resources.open_resources(settings) as shared:
        files = shared.files
        yield Resources(
            config=config,
            database=shared.database,
            gateway=_gateway(settings, codec_keys),
            documents=files,
            codec=EncryptionCodec(codec_keys, settings.temporal.codec_active_key),
            links=ReportLinks(shared.link_key, config.public_url),
            passwords=Passwords(),
            tokens=AccessTokens(config),
            doors=_doors(settings, shared),
            checks={"object storage": lambda: _files_answer(files)},
        )


def _gateway(settings: Settings, codec_keys: dict[str, bytes]) -> Gateway:
    temporal = settings.temporal
    return Gateway(
        connect=lambda: connect(
            temporal.address,
            temporal.namespace,
            codec_keys,
            temporal.codec_active_key,
            tls=temporal.tls,
            api_key=temporal.api_key.get_secret_value(),
        ),
        lab=settings.lab.code,
        policies=settings.policies,
    )


async def _files_answer(files: FilesConnector) -> bool:
    return (await asyncio.to_thread(check_connection, files)).ok


def _doors(settings: Settings, shared: shared_resources.Resources) -> Mapping[str, Door]:
    doors: dict[str, Door] = {}
    if settings.payments is not None:
        doors[razorpay.SOURCE] = razorpay.door(_clear(settings.payments.webhook_secrets))
    if settings.whatsapp is not None:
        token = settings.whatsapp.verify_token.get_secret_value()
        doors[whatsapp.SOURCE] = whatsapp.door(_clear(settings.whatsapp.app_secrets), token)
    if settings.sms is not None:
        tokens = [settings.sms.auth_token, *settings.sms.webhook_auth_tokens]
        doors[sms.SOURCE] = sms.door(_clear(tokens))
    if settings.abdm is not None and shared.abdm is not None:
        keyring = GatewayKeyring(settings.abdm, shared.abdm.fetch_signing_keys)
        doors[abdm.SOURCE] = abdm.door(keyring.verify)
    return doors


def _clear(secrets: list[SecretStr]) -> list[str]:
    return [secret.get_secret_value() for secret in secrets]
