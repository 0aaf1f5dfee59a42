"""All partner simulators in one process, each on its loopback port, with the credentials of this stack's settings.

`partner_settings` says how our connectors find them, `serve` runs them. Their state is in memory: a new process knows
nothing of the last one's payments and messages.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI

from connectors.abdm import simulator as abdm
from connectors.einvoice import simulator as einvoice
from connectors.einvoice.simulator.config import PortalConfig
from connectors.email import simulator as email
from connectors.razorpay import simulator as razorpay
from connectors.sms import simulator as sms
from connectors.whatsapp import simulator as whatsapp
from devstack.ports import LOOPBACK, Ports
from domain.report import ReportLanguage
from rendering.messages import PARAMETERS
from settings import Settings

NAME = "simulators"
_GSTIN = "07AAXCS9981F1ZD"  # of the demo laboratory's main branch
_HIP = "IN0710000001"
_SMS_SENDER = "LABSTU"


def partner_settings(ports: Ports, public_url: str) -> dict[str, str]:
    """Return the variables that point every connector at its simulator and every simulator back at us.

    Args:
        ports: Of this stack.
        public_url: Where the simulators reach our API.
    """
    base = f"http://{LOOPBACK}"
    return {
        "LABSETU_PAYMENTS__BASE_URL": f"{base}:{ports.simulator_razorpay}",
        "LABSETU_EINVOICE__BASE_URL": f"{base}:{ports.simulator_einvoice}",
        "LABSETU_EINVOICE__GSTIN": _GSTIN,
        "LABSETU_WHATSAPP__BASE_URL": f"{base}:{ports.simulator_whatsapp}",
        "LABSETU_WHATSAPP__PHONE_NUMBER_ID": "100000000000001",
        "LABSETU_SMS__BASE_URL": f"{base}:{ports.simulator_sms}",
        "LABSETU_SMS__SENDER": _SMS_SENDER,
        "LABSETU_SMS__STATUS_CALLBACK_URL": f"{public_url}/webhooks/sms",
        "LABSETU_EMAIL__HOST": LOOPBACK,
        "LABSETU_EMAIL__PORT": str(ports.simulator_smtp),
        "LABSETU_EMAIL__SECURITY": "none",
        "LABSETU_EMAIL__SENDER": "reports@setu.example",
        "LABSETU_ABDM__BASE_URL": f"{base}:{ports.simulator_abdm}{abdm.BASE}",
        "LABSETU_ABDM__HIP_ID": _HIP,
        "LABSETU_ABDM__BRIDGE_URL": f"{public_url}/webhooks/abdm",
        "LABSETU_ABDM__ALLOWED_PUSH_HOSTS": json.dumps([f"{LOOPBACK}:{ports.simulator_abdm}"]),
    }


def _approved_templates() -> list[whatsapp.ApprovedTemplate]:
    """Return our message templates as the lab would have had them approved, in every language we write."""
    return [
        whatsapp.ApprovedTemplate(template.value, language.value, len(names))
        for template, names in PARAMETERS.items()
        for language in ReportLanguage
    ]


def signing_keys(ports: Ports) -> dict[str, str]:
    """Return the variable with the portal's signing keys, which it makes at its start; {} while it does not answer."""
    try:
        with urllib.request.urlopen(
            f"http://{LOOPBACK}:{ports.simulator_einvoice}/_sim/public-key", timeout=2
        ) as answer:
            keys = json.loads(answer.read(65536))["signing_keys"]
    except (urllib.error.URLError, OSError, ValueError, KeyError):
        return {}
    return {"LABSETU_EINVOICE__SIGNING_KEYS": json.dumps(keys)}


def applications(settings: Settings, ports: Ports) -> dict[int, FastAPI]:
    """Return every simulator by its port; partners without a section in the settings are left out."""
    found: dict[int, FastAPI] = {}
    hooks = f"{settings.api.public_url}/webhooks"
    if settings.payments:
        found[ports.simulator_razorpay] = razorpay.create_app(
            key_id=settings.payments.key_id,
            key_secret=settings.payments.key_secret.get_secret_value(),
            webhook_secret=settings.payments.webhook_secrets[0].get_secret_value(),
            webhook_urls=[f"{hooks}/razorpay"],
            public_url=settings.payments.base_url,
        )
    if settings.einvoice:
        found[ports.simulator_einvoice] = einvoice.create_app(
            config=PortalConfig(
                username=settings.einvoice.username,
                password=settings.einvoice.password.get_secret_value(),
                client_id=settings.einvoice.client_id.get_secret_value(),
                client_secret=settings.einvoice.client_secret.get_secret_value(),
                gstin=settings.einvoice.gstin,
            )
        )
    if settings.whatsapp:
        found[ports.simulator_whatsapp] = whatsapp.create_app(
            access_token=settings.whatsapp.access_token.get_secret_value(),
            phone_number_id=settings.whatsapp.phone_number_id,
            app_secret=settings.whatsapp.app_secrets[0].get_secret_value(),
            templates=_approved_templates(),
            webhook_urls=[f"{hooks}/whatsapp"],
        )
    return found | _more(settings, ports)


def _more(settings: Settings, ports: Ports) -> dict[int, FastAPI]:
    found: dict[int, FastAPI] = {}
    if settings.sms:
        found[ports.simulator_sms] = sms.create_app(
            account_sid=settings.sms.account_sid,
            auth_token=settings.sms.auth_token.get_secret_value(),
            senders=[settings.sms.sender],
        )
    if settings.email:
        found[ports.simulator_mailbox] = email.create_app(
            email.MailServer(host=settings.email.host, port=settings.email.port), run_server=True
        )
    if settings.abdm:
        found[ports.simulator_abdm] = abdm.create_app(
            abdm.SimulatorConfig(
                client_id=settings.abdm.client_id,
                client_secret=settings.abdm.client_secret.get_secret_value(),
                hip_id=settings.abdm.hip_id,
                cm_id=settings.abdm.cm_id,
                bridge_url=settings.abdm.bridge_url,
                public_url=settings.abdm.base_url.removesuffix(abdm.BASE),
            )
        )
    return found


async def serve(settings: Settings, ports: Ports) -> None:
    """Serve every simulator until SIGTERM or SIGINT."""
    servers = [
        _Server(uvicorn.Config(app, host=LOOPBACK, port=port, log_config=None, access_log=False, lifespan="on"))
        for port, app in applications(settings, ports).items()
    ]

    def leave() -> None:
        for server in servers:
            server.should_exit = True

    for which in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(which, leave)
    async with asyncio.TaskGroup() as running:
        for server in servers:
            running.create_task(server.serve())


class _Server(uvicorn.Server):
    """A server among several: the process's signals are not its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield
