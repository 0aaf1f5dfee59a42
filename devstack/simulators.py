"""All partner simulators in one process, each on its loopback port, with the credentials of this stack's settings.

`devstack/partners.py` says how our connectors find them. Their state is in memory: a new process knows nothing of the
last one's payments and messages.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI

from connectors.abdm import simulator as abdm
from connectors.abdm.simulator.network import SEEDED, Person
from connectors.einvoice import simulator as einvoice
from connectors.einvoice.simulator.config import PortalConfig
from connectors.email import simulator as email
from connectors.razorpay import simulator as razorpay
from connectors.sms import simulator as sms
from connectors.whatsapp import simulator as whatsapp
from devstack.ports import LOOPBACK, Ports
from devstack.seed import PATIENTS
from domain.enums import Sex
from domain.ids import new_id
from domain.report import ReportLanguage
from rendering.messages import PARAMETERS
from settings import Settings
from store.tables.patients import Patient

NAME = "simulators"


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
                people=(*SEEDED, *_demo_people()),
            )
        )
    return found


def _demo_people() -> list[Person]:
    """Return the demo laboratory's patients who have an ABHA, as the network would know them."""
    patients = [Patient.model_validate({"patient_no": "", "branch_id": new_id(), **facts}) for facts in PATIENTS]
    return [
        Person(
            abha_number=patient.abha_number,
            abha_address=patient.abha_address,
            name=patient.name,
            gender="M" if patient.sex is Sex.MALE else "F" if patient.sex is Sex.FEMALE else "O",
            year_of_birth=patient.birth_date.year,
        )
        for patient in patients
        if patient.abha_address
    ]


def _approved_templates() -> list[whatsapp.ApprovedTemplate]:
    """Return our message templates as the lab would have had them approved, in every language we write."""
    return [
        whatsapp.ApprovedTemplate(template.value, language.value, len(names))
        for template, names in PARAMETERS.items()
        for language in ReportLanguage
    ]


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
