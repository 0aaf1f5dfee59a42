"""A patient's visit to the running laboratory, in the steps that staff take; on top of the demo's own."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import httpx
from rich.console import Console

from connectors.analyzers.simulator import ChemistryAnalyzerSimulator
from connectors.device_side import Delivery, LineFaults
from devstack import demo
from devstack.lab_client import Json
from tests.fixtures.stack import LabStack

SENTINEL = "Zqxwvutsentinel"
"""In the name of every patient here; no word holds it by chance."""

GLUCOSE: Json = {"code": "GLU"}
"""Measured by the chemistry analyzer, exempt, paid by the patient."""

SPONSORED: Json = {"code": "RNGS50", "payer_code": demo.SPONSOR}
"""Typed in, taxable, on a sponsor's account: it needs an IRN and holds no report."""

SLOW = 120.0
"""Seconds within which a loaded machine does anything at all."""


def person(**facts: object) -> Json:
    """Return somebody to register."""
    return {"branch": demo.BRANCH, "sex": "female", "birth_date": "1991-02-03", **facts}


async def register(lab: LabStack, facts: Json) -> str:
    """Register a patient and return the number."""
    number: str = (await lab.client.post("front_desk", "/v1/patients", facts))["patient_no"]
    return number


@dataclass
class Visit(demo.Story):
    """One order on its way; `client`, `order_no` and `samples` as in the demo.

    Attributes:
        invoices: Document numbers by kind.
    """

    lab: LabStack = field(kw_only=True)
    invoices: dict[str, str] = field(default_factory=dict)

    @classmethod
    async def place(cls, lab: LabStack, patient_no: str, *items: Json, **more: object) -> Self:
        """Place an order."""
        visit = cls(lab.settings, lab.client, Console(quiet=True), lab=lab)
        body = {"branch_code": demo.BRANCH, "patient_no": patient_no, "items": list(items), **more}
        visit.take(await lab.client.post("front_desk", "/v1/orders", body))
        return visit

    def take(self, placed: Json) -> None:
        """Learn the numbers of a placed order."""
        self.order_no, self.samples = placed["order_no"], placed["samples"]
        self.invoices = {invoice["kind"]: invoice["document_no"] for invoice in placed["invoices"]}
        self.patient_invoice = self.invoices.get("bill_of_supply", "")
        self.sponsor_invoice = self.invoices.get("tax_invoice", "")

    @property
    def accession_nos(self) -> list[str]:
        """Numbers of the planned tubes."""
        return [sample["accession_no"] for sample in self.samples]

    async def read(self) -> Json:
        """Return the order as staff see it."""
        return await self.client.get("admin", self.path)

    async def bring(self) -> None:
        """Draw every tube and bring it to the laboratory."""
        await demo.draw_and_receive(self)

    async def measure(self, *accession_nos: str, faults: LineFaults | None = None, seed: int = 1) -> list[Delivery]:
        """Run tubes, by default all, on the chemistry analyzer; another seed measures other values."""
        return await run_chemistry(self.lab, accession_nos or self.accession_nos, faults=faults, seed=seed)

    async def type_in(self, code: str, value: str) -> None:
        """Enter one result by hand."""
        body = {"results": [{"test_code": code, "value": value}]}
        await self.client.post("technician", f"{self.path}/results", body)

    async def at(self, stage: str) -> None:
        """Wait until the order has reached a stage, however long a loaded machine takes."""

        async def look() -> bool | None:
            return (await self.read())["stage"] == stage or None

        await self.client.until(look, f"{self.order_no} to be {stage}", within=SLOW)

    async def sign(self) -> Json:
        """Verify and authorise, and wait for the report."""
        await self.at("resulted")
        await demo.verify(self)
        return await self.event("report_issued", within=SLOW)

    async def timeline(self) -> list[Json]:
        """Return what happened, oldest first."""
        items: list[Json] = (await self.client.get("admin", f"{self.path}/timeline", limit="200"))["items"]
        return items

    async def link(self) -> str:
        """Wait for the payment link of the patient's bill."""

        async def look() -> str | None:
            return (await self.bill())["payment_url"] or None

        return await self.client.until(look, f"the payment link of {self.patient_invoice}")

    async def pay(self) -> None:
        """Press the button on the payment page; the news of it takes its own way."""
        (await self.lab.http.post(await self.link(), follow_redirects=True)).raise_for_status()

    async def bill(self, number: str = "") -> Json:
        """Return a bill, by default the patient's."""
        return await self.client.get("billing", f"/v1/invoices/{number or self.patient_invoice}")

    async def bill_until(self, what: str, value: str | int, number: str = "") -> Json:
        """Wait until a bill's field has a value."""

        async def look() -> Json | None:
            bill = await self.bill(number)
            return bill if bill[what] == value else None

        return await self.client.until(look, f"{what} to be {value}", within=SLOW)

    async def attention(self) -> list[str]:
        """Return why the order is on the list of what needs a person."""
        items = (await self.client.get("admin", "/v1/worklists/attention", limit="200"))["items"]
        return [why for item in items if item["order_no"] == self.order_no for why in item["attention"]]

    async def until_attention(self, key: str, *, is_raised: bool = True) -> None:
        """Wait until a step needs a person, or no longer does."""

        async def look() -> bool | None:
            return (key in await self.attention()) is is_raised or None

        await self.client.until(look, f"{key} of {self.order_no} {'raised' if is_raised else 'cleared'}", within=SLOW)

    async def cancel(self) -> None:
        """Cancel the order at the desk."""
        await self.client.post("front_desk", f"{self.path}/cancel", {"reason": "the patient changed her mind"})

    async def ledger(self) -> list[tuple[str, int]]:
        """Return every movement of the order's bills, oldest first."""
        rows = await self.lab.rows(
            "select l.kind, l.amount_paise from ledger_entries l join invoices i on i.id = l.invoice_id"
            " join orders o on o.id = i.order_id where o.order_no = :no order by l.id",
            no=self.order_no,
        )
        return [(row["kind"], row["amount_paise"]) for row in rows]

    async def results(self) -> list[Json]:
        """Return every version of every result, by test and version."""
        return await self.lab.rows(
            "select t.code, r.version, r.state, r.source, r.value_text, s.accession_no, r.message_id from results r"
            " join order_lines l on l.id = r.order_line_id join tests t on t.id = l.test_id"
            " join samples s on s.id = r.sample_id join orders o on o.id = l.order_id"
            " where o.order_no = :no order by t.code, r.version",
            no=self.order_no,
        )

    async def links(self) -> list[Json]:
        """Return the gateway's links for the patient's bill."""
        found = (await self.lab.state("razorpay"))["links"].values()
        return [link for link in found if link["reference_id"].startswith(self.patient_invoice)]

    async def payments(self) -> list[Json]:
        """Return the gateway's payments on those links."""
        orders = {link.get("order_id") for link in await self.links()} - {None}
        found = (await self.lab.state("razorpay"))["payments"].values()
        return [payment for payment in found if payment["order_id"] in orders]

    async def registered(self, number: str = "") -> list[Json]:
        """Return what the portal has registered of a bill, by default the sponsor's."""
        found = (await self.lab.state("einvoice"))["registered"]
        return [entry for entry in found if entry["document"] == f"INV {number or self.sponsor_invoice}"]


async def run_chemistry(
    lab: LabStack, accession_nos: Sequence[str], *, faults: LineFaults | None = None, seed: int = 1
) -> list[Delivery]:
    """Run tubes on the chemistry analyzer and send what it measured."""
    own = lab.settings.instruments
    async with ChemistryAnalyzerSimulator(own.host, own.astm_port, seed=seed, faults=faults, retry_s=0.2) as analyzer:
        return await analyzer.run(accession_nos, with_controls=False)


async def asked(lab: LabStack, username: str, path: str, body: Json) -> httpx.Response:
    """Post as staff and return the answer as it is, without following it."""
    headers = await lab.client._headers(username) | {"Idempotency-Key": str(uuid.uuid4())}
    return await lab.http.post(f"{lab.settings.api.public_url}{path}", json=body, headers=headers)


async def accepted(lab: LabStack, username: str, path: str, body: Json) -> Json:
    """Post a command and return it, applied or still on its way."""
    answer = await asked(lab, username, path, body)
    assert answer.status_code in {200, 202}, answer.text
    command: Json = answer.json()
    return command


async def messages_about(lab: LabStack, accession_no: str) -> list[Json]:
    """Return the stored messages of one tube, oldest first."""
    return await lab.rows(
        "select id, state, duplicate_of from instrument_messages where :no = any(specimen_ids)"
        " or (state = 'duplicate' and duplicate_of in (select id from instrument_messages where :no ="
        " any(specimen_ids))) order by id",
        no=accession_no,
    )
