"""The demo: one real order from the front desk to the patient's health locker, told stage by stage.

It does what staff, analyzers and the patient do, through the same doors: the REST API, TCP to the instrument listener,
and the payment page of the gateway's simulator. Every stage is then read back from the API; nothing is assumed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from rich.console import Console

from devstack import credentials
from devstack.analyzers import measure
from devstack.lab_client import Json, LabClient, StaffError
from settings import Settings

BRANCH = "DEL"
SPONSOR = "GRAMCARE"
PATIENT = {
    "branch": BRANCH, "name": "Asha Kulkarni", "sex": "female", "birth_date": "1990-05-14", "phone": "+919000000010",
    "email": "asha.k@patients.example", "abha_number": "91000000000000", "abha_address": "asha.k@sbx",
    "has_record_consent": True,
}  # fmt: skip
"""Invented; the ABDM simulator knows her."""

ITEMS = [{"code": "CBC"}, {"code": "LFT"}, {"code": "GLU"}, {"code": "RNGS50", "payer_code": SPONSOR}]
"""Exempt tests that the patient pays, and one taxable research assay that a sponsor pays."""

STAGES = (
    "order", "sample", "analyzer run", "verification", "report", "payment", "e-invoice", "delivery", "ABDM push",
)  # fmt: skip


@dataclass
class Story:
    """The demo as it goes on.

    Attributes:
        facts: What was reached, by stage.
    """

    settings: Settings
    client: LabClient
    console: Console
    order_no: str = ""
    samples: list[Json] = field(default_factory=list)
    patient_invoice: str = ""
    sponsor_invoice: str = ""
    facts: dict[str, str] = field(default_factory=dict)
    _since: float = field(default_factory=time.monotonic)

    def reached(self, stage: str, text: str) -> None:
        """Note a stage and show it with the time it took."""
        now = time.monotonic()
        self.facts[stage] = text
        self.console.print(
            f"  [green]✓[/] {stage:<13} {text} [dim]({now - self._since:.1f} s)[/]", highlight=False, soft_wrap=True
        )
        self._since = now

    @property
    def path(self) -> str:
        """API path of the order."""
        return f"/v1/orders/{self.order_no}"

    async def events(self, kind: str) -> list[Json]:
        """Return the timeline's events of one kind."""
        items: list[Json] = (await self.client.get("admin", f"{self.path}/timeline", limit="200"))["items"]
        return [event for event in items if event["kind"] == kind]

    async def event(self, kind: str, *, within: float = 90.0) -> Json:
        """Wait for an event of the timeline.

        Raises:
            StaffError: It did not come in time.
        """

        async def look() -> Json | None:
            found = await self.events(kind)
            return found[0] if found else None

        return await self.client.until(look, f"{kind} in the timeline of {self.order_no}", within=within)

    async def at_stage(self, stage: str) -> Json:
        """Wait until the order has reached a stage and return the order.

        Raises:
            StaffError: It did not in time.
        """

        async def look() -> Json | None:
            order = await self.client.get("admin", self.path)
            return order if order["stage"] == stage else None

        return await self.client.until(look, f"{self.order_no} to be {stage}")


async def run(settings: Settings) -> None:
    """Tell the story against the stack of these settings.

    Raises:
        StaffError: A stage was not reached.
    """
    users = credentials.read(settings.home / "users.env")
    console = Console()
    console.print("\n[bold]One order, end to end[/]")
    async with LabClient(f"http://{settings.api.host}:{settings.api.port}", users) as client:
        story = Story(settings, client, console)
        await tell(story)
        await show_result(story)


async def tell(story: Story) -> None:
    """Go through every stage.

    Raises:
        StaffError: A stage was not reached.
    """
    await place(story)
    await draw_and_receive(story)
    await analyse(story)
    await verify(story)
    await report(story)
    await pay(story)
    await check_einvoices(story)
    await deliver(story)
    await push(story)
    missing = [stage for stage in STAGES if stage not in story.facts]
    if missing:
        raise StaffError(f"stages not reached: {', '.join(missing)}")


async def place(story: Story) -> None:
    """Register the patient, or find her, and place the order."""
    found = await story.client.post("front_desk", "/v1/patients/search", {"name": PATIENT["name"]})
    same = [item for item in found["items"] if item["abha_address"] == PATIENT["abha_address"]]
    patient = same[0] if same else await story.client.post("front_desk", "/v1/patients", PATIENT)
    body = {"branch_code": BRANCH, "patient_no": patient["patient_no"], "items": ITEMS, "priority": "urgent"}
    placed = await story.client.post("front_desk", "/v1/orders", body)
    story.order_no, story.samples = placed["order_no"], placed["samples"]
    for invoice in placed["invoices"]:
        if invoice["kind"] == "bill_of_supply":
            story.patient_invoice = invoice["document_no"]
        else:
            story.sponsor_invoice = invoice["document_no"]
    await story.event("workflow_started")
    story.reached("order", f"{story.order_no}, {len(story.samples)} samples, bills {story.patient_invoice} and"
                           f" {story.sponsor_invoice}")  # fmt: skip


async def draw_and_receive(story: Story) -> None:
    """Draw every sample and bring it to the laboratory."""
    numbers = [sample["accession_no"] for sample in story.samples]
    drawn = {"samples": [{"accession_no": number} for number in numbers]}
    await story.client.post("phlebotomist", f"{story.path}/samples/collect", drawn)
    await story.client.post("technician", f"{story.path}/samples/receive", {"accession_nos": numbers})
    await story.at_stage("received")
    story.reached("sample", ", ".join(numbers))


async def analyse(story: Story) -> None:
    """Run both analyzers over TCP; type in what no analyzer measures."""
    own = story.settings.instruments
    serum = [
        sample["accession_no"]
        for sample in story.samples
        if "GLU" in sample["test_codes"] or "ALT" in sample["test_codes"]
    ]
    blood = [sample["accession_no"] for sample in story.samples if "HGB" in sample["test_codes"]]
    sent = await measure("chemistry", serum, own.host, own.astm_port)
    sent += await measure("haematology", blood, own.host, own.hl7_port)
    if not all(delivery.is_acknowledged for delivery in sent):
        raise StaffError("an analyzer's message was not acknowledged")
    typed = {"results": [{"test_code": "RNGS50", "value": "No variant of known significance found"}]}
    await story.client.post("technician", f"{story.path}/results", typed)
    await story.at_stage("resulted")
    story.reached("analyzer run", f"{len(sent)} messages acknowledged over ASTM and HL7, controls included")


async def verify(story: Story) -> None:
    """Verify technically, then authorise medically: two people."""
    await story.client.post("senior_technician", f"{story.path}/verify", {})
    await story.client.post("pathologist", f"{story.path}/authorise", {})
    story.reached("verification", "verified by senior_technician, authorised by pathologist")


async def report(story: Story) -> None:
    """Fetch the issued report and keep it."""
    event = await story.event("report_issued")
    pdf = await story.client.get_bytes("pathologist", f"{story.path}/report")
    if not pdf.startswith(b"%PDF-"):
        raise StaffError("the report is not a PDF")
    story.reached("report", _kept(story.settings.home / "demo", f"{event['detail']['report_no']}.pdf", pdf))


def _kept(folder: Path, name: str, content: bytes) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return str(folder / name)


async def pay(story: Story) -> None:
    """Pay on the gateway's page, as the patient does; the sponsor's bill stays on account."""

    async def link() -> str | None:
        invoice = await story.client.get("billing", f"/v1/invoices/{story.patient_invoice}")
        return invoice["payment_url"] or None

    url = await story.client.until(link, "the payment link")
    async with httpx.AsyncClient(timeout=30, trust_env=False, follow_redirects=True) as browser:
        answer = await browser.post(url)
        if not answer.is_success:
            raise StaffError(f"the payment page answered {answer.status_code}")

    async def paid() -> Json | None:
        invoice = await story.client.get("billing", f"/v1/invoices/{story.patient_invoice}")
        return invoice if invoice["state"] == "paid" else None

    invoice = await story.client.until(paid, "the payment")
    story.reached("payment", f"{story.patient_invoice} paid, ₹{invoice['total_paise'] / 100:.2f}, through {url}")


async def check_einvoices(story: Story) -> None:
    """The sponsor's tax invoice has its IRN; the patient's bill of supply needs none."""

    async def registered() -> Json | None:
        invoice = await story.client.get("billing", f"/v1/invoices/{story.sponsor_invoice}")
        return invoice if invoice["irn"] and invoice["einvoice_state"] == "generated" else None

    sponsored = await story.client.until(registered, "the IRN")
    own = await story.client.get("billing", f"/v1/invoices/{story.patient_invoice}")
    if own["einvoice_state"] != "not_required":
        raise StaffError(f"the patient's bill of supply is {own['einvoice_state']}, not without IRN")
    story.reached(
        "e-invoice", f"{story.sponsor_invoice} IRN {sponsored['irn'][:16]}…, {story.patient_invoice} not required"
    )
    story.facts["irn"] = sponsored["irn"]


async def deliver(story: Story) -> None:
    """The report reached the patient."""
    event = await story.event("report_delivered")
    story.reached("delivery", f"by {event['detail'].get('channel', '?')}")


async def push(story: Story) -> None:
    """The report is a care context at ABDM, and what the patient's app asked for was sent."""
    linked = await story.event("record_notified")
    await story.event("record_shared")
    story.reached("ABDM push", f"care context {linked['detail'].get('reference', '?')} linked, records sent on request")


async def show_result(story: Story) -> None:
    """Print what came of it and where to look."""
    settings = story.settings
    await story.at_stage("closed")
    api = f"http://{settings.api.host}:{settings.api.port}"
    started = (await story.event("workflow_started"))["detail"]
    run = f"{started['workflow_id'].replace(':', '%3A')}/{started['run_id']}"
    rows: list[tuple[str, str]] = [
        ("Report", story.facts["report"]),
        ("Payment", story.facts["payment"]),
        ("IRN", story.facts["irn"]),
        ("ABDM", story.facts["ABDM push"]),
        ("API docs", f"{api}/docs"),
        ("Temporal UI", f"{settings.temporal.ui_url}/namespaces/{settings.temporal.namespace}/workflows/{run}/history"),
        ("Logins", str(settings.home / "users.env")),
        *simulator_pages(settings),
    ]
    story.console.print()
    for name, value in rows:
        story.console.print(f"  [bold]{name:<20}[/] {value}", highlight=False, soft_wrap=True)


def simulator_pages(settings: Settings) -> list[tuple[str, str]]:
    """Return the page of every partner simulator."""
    sections = {
        "Razorpay": settings.payments, "E-invoice": settings.einvoice, "WhatsApp": settings.whatsapp,
        "SMS": settings.sms,
    }  # fmt: skip
    pages = [(f"{name} simulator", section.base_url + "/") for name, section in sections.items() if section is not None]
    if settings.abdm is not None:
        pages.append(("ABDM simulator", settings.abdm.base_url.split("/api/")[0] + "/"))
    return pages
