"""`make histories`: tells a few orders' stories on a stack of their own and keeps the histories for the replay gate.

Review what changed before committing: a history stands for what released code has done, so an old one is replaced only
when no run of that kind can still be alive.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx
from rich.console import Console

from devstack import credentials, demo, stack
from devstack.history_files import HistoryFiles
from devstack.lab_client import Json, LabClient, StaffError
from devstack.ports import Ports
from domain.messages import WorkflowType
from settings import Settings
from workflows import gateway
from workflows.codec import EncryptionCodec

FOLDER = Path(__file__).parents[1] / "tests" / "workflows" / "replay"

WALK_IN = {"branch": demo.BRANCH, "name": "Binod Hansda", "sex": "male", "birth_date": "1979-02-08",
           "phone": "+919000000017"}  # fmt: skip
"""Invented; has no ABHA and never consented to a national record."""

_T = WorkflowType


class _Partner(Protocol):
    @property
    def base_url(self) -> str: ...


@dataclass
class Told:
    """What a story needs.

    Attributes:
        http: For the simulators' switches.
    """

    settings: Settings
    client: LabClient
    console: Console
    http: httpx.AsyncClient

    async def order(self, patient: Json, items: Sequence[Json]) -> demo.Story:
        """Register a patient and place an order; return it as the demo's story."""
        registered = await self.client.post("front_desk", "/v1/patients", patient)
        body = {"branch_code": demo.BRANCH, "patient_no": registered["patient_no"], "items": list(items)}
        placed = await self.client.post("front_desk", "/v1/orders", body)
        story = demo.Story(self.settings, self.client, self.console, placed["order_no"], placed["samples"])
        for invoice in placed["invoices"]:
            if invoice["kind"] == "bill_of_supply":
                story.patient_invoice = invoice["document_no"]
            else:
                story.sponsor_invoice = invoice["document_no"]
        return story

    async def switch(self, base_url: str, path: str, **values: object) -> Json:
        """Change how a simulator behaves."""
        url = httpx.URL(base_url).join(f"/_sim/{path}")
        answer = await self.http.post(url, json=values)
        answer.raise_for_status()
        changed: Json = answer.json()
        return changed


async def shared_and_paid(told: Told) -> None:
    """The demo: everything goes well."""
    await demo.tell(demo.Story(told.settings, told.client, told.console))


async def cancelled_after_payment(told: Told) -> None:
    """Paid by link, sponsored in part, then cancelled: money back, IRN cancelled."""
    story = await told.order(demo.PATIENT | {"phone": "+919000000018"}, demo.ITEMS)
    await demo.pay(story)
    await demo.check_einvoices(story)
    reason = {"reason": "the doctor asked for something else"}
    await told.client.post("front_desk", f"{story.path}/cancel", reason)
    for document in (story.patient_invoice, story.sponsor_invoice):
        await _until_state(told, document, "cancelled")


async def refused_and_skipped(told: Told) -> None:
    """The portal refuses a document and staff take its registration over."""
    await told.switch(_address(told.settings.einvoice), "portal", refuse_next="2172")
    story = await told.order(WALK_IN, [{"code": "RNGS50", "payer_code": demo.SPONSOR}])
    raised = await story.event("attention_raised")
    step = {"workflow_id": raised["detail"]["workflow_id"], "step": raised["detail"]["step"].partition(":")[2]}
    decision = {"decision": "skip", "reason": "registered on the portal's own page"}
    await told.client.post("billing", f"{story.path}/attention/resolve", step | decision)
    await story.event("attention_cleared")


async def rerun_and_paid_in_cash(told: Told) -> None:
    """A spoilt tube, a rerun, cash at the counter, and a patient who keeps the report to himself."""
    story = await told.order(WALK_IN, [{"code": "CREA"}])
    spoilt = story.samples[0]["accession_no"]
    await _draw(story, spoilt)
    body = {"accession_no": spoilt, "reason_code": "haemolysed"}
    await told.client.post("technician", f"{story.path}/samples/reject", body)
    shown = await told.client.get("technician", story.path)
    story.samples = [sample for sample in shown["samples"] if sample["replaces"]]
    await demo.draw_and_receive(story)
    await _type_in(story, "9.9")
    again = {"decisions": [{"test_code": "CREA", "is_accepted": False, "reason": "does not fit the history"}]}
    await told.client.post("senior_technician", f"{story.path}/verify", again)
    await _type_in(story, "0.9")
    await demo.verify(story)
    await demo.report(story)
    invoice = await told.client.get("billing", f"/v1/invoices/{story.patient_invoice}")
    cash = {"invoice_no": story.patient_invoice, "amount_paise": invoice["balance_paise"], "method": "cash"}
    await told.client.post("front_desk", f"{story.path}/payments", cash | {"receipt_ref": "R-0001"})
    await demo.deliver(story)


async def released_unpaid(told: Told) -> None:
    """Released before it is paid; WhatsApp refuses, so it goes by SMS; then the consent ends while records are sent."""
    story = await told.order(demo.PATIENT | {"phone": "+919000000019"}, [{"code": "CREA"}])
    await demo.draw_and_receive(story)
    await _type_in(story, "1.0")
    await demo.verify(story)
    await demo.report(story)
    await told.switch(_address(told.settings.whatsapp), "behaviour", fail_next=1, fail_status=400)
    await told.client.post("billing", f"{story.path}/release", {"reason": "urgent for the operation"})
    await demo.deliver(story)
    await told.switch(_address(told.settings.abdm), "quirks", revoke_before_push=True)
    await story.event("record_notified")


@dataclass(frozen=True)
class Behaviour:
    """A story and the kinds of runs that are kept of it; its name is the files' name."""

    tell: Callable[[Told], Awaitable[None]]
    types: frozenset[str]


BEHAVIOURS = (
    Behaviour(shared_and_paid, frozenset(_T) - {_T.REFUND, _T.INVOICE_REVERSAL}),
    Behaviour(cancelled_after_payment, frozenset({_T.LAB_ORDER, _T.PAYMENT, _T.REFUND, _T.INVOICE_REVERSAL})),
    Behaviour(refused_and_skipped, frozenset({_T.EINVOICE})),
    Behaviour(rerun_and_paid_in_cash, frozenset({_T.LAB_ORDER, _T.PAYMENT, _T.HEALTH_RECORD_PUSH})),
    Behaviour(
        released_unpaid, frozenset({_T.LAB_ORDER, _T.REPORT_DELIVERY, _T.HEALTH_INFO_TRANSFER, _T.CONSENT_NOTICE})
    ),
)


def _address(partner: _Partner | None) -> str:
    """Return where a partner's simulator is.

    Raises:
        StaffError: The stack runs without it.
    """
    if partner is None:
        raise StaffError("a partner is not configured", action="Record on the stack that `make histories` starts.")
    return partner.base_url


async def _draw(story: demo.Story, accession_no: str) -> None:
    drawn = {"samples": [{"accession_no": accession_no}]}
    await story.client.post("phlebotomist", f"{story.path}/samples/collect", drawn)
    await story.client.post("technician", f"{story.path}/samples/receive", {"accession_nos": [accession_no]})


async def _type_in(story: demo.Story, value: str) -> None:
    body = {"results": [{"test_code": "CREA", "value": value}]}
    await story.client.post("technician", f"{story.path}/results", body)


async def _until_state(told: Told, document_no: str, state: str) -> None:
    async def look() -> Json | None:
        invoice = await told.client.get("billing", f"/v1/invoices/{document_no}")
        return invoice if invoice["state"] == state else None

    await told.client.until(look, f"{document_no} to be {state}")


async def settled(files: HistoryFiles, console: Console, *, quiet_s: float = 6.0, within_s: float = 60.0) -> None:
    """Wait until nothing happens any more in the runs that `files` has not kept yet, or for `within_s` at most."""
    looked: dict[str, int] = {}
    loop = asyncio.get_running_loop()
    changed_at = deadline = loop.time()
    deadline += within_s
    while loop.time() < min(deadline, changed_at + quiet_s):
        await asyncio.sleep(1)
        lengths = {run.id: await _length(files, run.id) for run in await files.fresh()}
        if lengths != looked:
            looked, changed_at = lengths, loop.time()
    console.print(f"  {len(looked)} runs, {sum(looked.values())} events", highlight=False)


async def _length(files: HistoryFiles, workflow_id: str) -> int:
    return (await files.client.get_workflow_handle(workflow_id).describe()).history_length


def recording(folder: Path) -> stack.Story:
    """Return the story of all stories, for `stack.run_everything`."""

    async def run(settings: Settings) -> None:
        own, console = settings.temporal, Console()
        keys = own.decoded_codec_keys()
        client = await gateway.connect(own.address, own.namespace, keys, own.codec_active_key)
        files = HistoryFiles(client, EncryptionCodec(keys, own.codec_active_key), folder)
        base, users = f"http://{settings.api.host}:{settings.api.port}", credentials.read(settings.home / "users.env")
        async with LabClient(base, users) as staff, httpx.AsyncClient(trust_env=False) as http:
            told = Told(settings, staff, console, http)
            for behaviour in BEHAVIOURS:
                name = behaviour.tell.__name__
                console.print(f"\n[bold]{name}[/]")
                await behaviour.tell(told)
                await settled(files, console)
                for file in await files.keep(name, behaviour.types):
                    console.print(f"  {file} {file.stat().st_size // 1024} kB", highlight=False, soft_wrap=True)

    return run


def main(arguments: Sequence[str] | None = None) -> int:
    """Record into the folder of the replay tests, or another one; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m devstack.histories", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER)
    folder: Path = parser.parse_args(arguments).folder
    os.environ.setdefault("LABSETU_PORT_BASE", str(Ports.free().api))
    with tempfile.TemporaryDirectory(prefix="labsetu-histories-") as home:
        return stack.run_everything(Path(home), story=recording(folder), leave_after_story=True)


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)
