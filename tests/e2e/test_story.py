"""The demo's story, told once against the running laboratory, and then counted in every place where it left a trace."""

import hashlib
import io
from collections import Counter
from decimal import Decimal, InvalidOperation
from itertools import pairwise

import pytest
from pypdf import PdfReader
from rich.console import Console

from devstack import demo
from devstack.lab_client import Json
from store import audit
from tests.e2e.visits import Visit
from tests.fixtures.stack import LabStack

PARENT_KINDS = {"LabOrder", "Payment", "EInvoice", "ReportDelivery", "HealthRecordPush", "HealthInfoTransfer"}


@pytest.fixture(scope="module")
async def story(lab_stack: LabStack) -> Visit:
    """A told story."""
    told = Visit(lab_stack.settings, lab_stack.client, Console(quiet=True), lab=lab_stack)
    await demo.tell(told)
    await told.at_stage("closed")
    return told


async def test_every_stage_is_reached_once_in_the_rows(story: Visit):
    lab, order = story.lab, {"no": story.order_no}
    reports = await lab.rows(
        "select r.version, r.state from reports r join orders o on o.id = r.order_id where o.order_no = :no", **order
    )
    assert reports == [{"version": 1, "state": "issued"}]
    lines = await lab.rows(
        "select t.code, x.state, count(r.id) filter (where r.state = 'current') as current, count(r.id) as all"
        " from order_lines x join tests t on t.id = x.test_id left join results r on r.order_line_id = x.id"
        " join orders o on o.id = x.order_id where o.order_no = :no group by t.code, x.state",
        **order,
    )
    assert len(lines) == 15 + 8 + 1 + 1
    assert {(line["state"], line["current"], line["all"]) for line in lines} == {("authorised", 1, 1)}
    assert Counter(kind for kind, _ in await story.ledger()) == {"charge": 2, "payment": 1}
    bill = await story.bill()
    assert (bill["state"], bill["balance_paise"]) == ("paid", 0)
    (irn,) = await lab.rows("select irn, state from einvoice_documents where irn = :irn", irn=story.facts["irn"])
    assert irn["state"] == "generated"


async def test_the_gateway_saw_one_link_and_one_payment(story: Visit):
    (link,) = await story.links()
    (payment,) = await story.payments()
    assert (link["status"], payment["status"]) == ("paid", "captured")
    assert payment["amount"] == link["amount"] == (await story.bill())["total_paise"]
    (booked,) = await story.lab.rows(
        "select amount_paise from ledger_entries where gateway = 'razorpay' and gateway_ref = :ref", ref=payment["id"]
    )
    assert booked["amount_paise"] == -payment["amount"]


async def test_the_portal_registered_the_sponsors_invoice_only(story: Visit):
    (registered,) = await story.registered()
    assert (registered["irn"], registered["status"]) == (story.facts["irn"], "ACT")
    everything = (await story.lab.state("einvoice"))["registered"]
    assert not [entry for entry in everything if story.patient_invoice in entry["document"]]


async def test_the_report_was_announced_once_and_by_one_channel(story: Visit):
    sent = await story.lab.rows(
        "select x.template, x.channel, x.provider_id, x.state from notifications x join orders o on o.id = x.order_id"
        " where o.order_no = :no and x.template = 'report_ready'",
        no=story.order_no,
    )
    assert [(one["channel"], one["state"] in {"delivered", "read"}) for one in sent] == [("whatsapp", True)]
    messages = (await story.lab.state("whatsapp"))["messages"].values()
    of_report = [one for one in messages if one["template"]["name"] == "report_ready" and _names(one, story.order_no)]
    assert [one["id"] for one in of_report] == [sent[0]["provider_id"]]


def _names(message: Json, order_no: str) -> bool:
    return order_no in str(message["template"])


async def test_the_patients_app_holds_the_same_values(story: Visit):
    network = await story.lab.state("abdm")
    links = [link for link in network["links"] if link["reference"] == story.order_no]
    assert len(links) == 1
    records = [
        (transfer, record)
        for transfer in network["transfers"]
        for record in transfer["records"]
        if record["reference"] == story.order_no
    ]
    ((transfer, record),) = records
    assert (transfer["status"], transfer["pushes"], transfer["failures"]) == ("TRANSFERRED", 1, [])
    assert record["problems"] == []
    order = await story.client.get("pathologist", story.path)
    shown = {line["test_name"]: line["result"] for line in order["lines"]}
    received = dict(text.split(": ", 1) for text in record["results"])
    assert received.keys() == shown.keys()
    printed = await _printed(story)
    for name, result in shown.items():
        value = received[name].removesuffix(result["unit"]).strip()
        assert value in printed, name
        assert _is_as_measured(value, result["value"]), name


async def _printed(story: Visit) -> str:
    pdf = await story.client.get_bytes("pathologist", f"{story.path}/report")
    return " ".join(" ".join(page.extract_text().split()) for page in PdfReader(io.BytesIO(pdf)).pages)


def _is_as_measured(shown: str, measured: str) -> bool:
    """Tell whether a shown value is the measured one, but for digits that the report rounds away."""
    try:
        difference = abs(Decimal(shown) - Decimal(measured))
    except InvalidOperation:
        return shown == measured
    return difference <= Decimal(1).scaleb(int(Decimal(shown).as_tuple().exponent)) / 2


async def test_the_audit_chain_holds(story: Visit):
    async with story.lab.database.transaction() as session:
        heads, broken = await audit.verify(session, story.lab.database.audit_key)
    assert broken == []
    assert {head.chain for head in heads} >= {"DEL", "lab"}


async def test_the_timeline_is_in_order_and_complete(story: Visit):
    events = (await story.client.get("admin", f"{story.path}/timeline", limit="200"))["items"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert {event["source"] for event in events} >= PARENT_KINDS | {"staff", "analyzer"}
    first = {event["kind"]: event["seq"] for event in reversed(events)}
    expected = (
        "order_placed", "sample_collected", "sample_received", "results_received", "results_verified",
        "results_authorised", "report_issued", "order_closed", "report_delivered",
    )  # fmt: skip
    for earlier, later in pairwise(expected):
        assert first[earlier] < first[later], (earlier, later)
    assert Counter(event["kind"] for event in events)["report_issued"] == 1


async def test_the_report_is_the_stored_document(story: Visit):
    pdf = await story.client.get_bytes("pathologist", f"{story.path}/report")
    (row,) = await story.lab.rows(
        "select x.size_bytes, x.sha256 from reports x join orders o on o.id = x.order_id where o.order_no = :no",
        no=story.order_no,
    )
    assert (len(pdf), hashlib.sha256(pdf).hexdigest()) == (row["size_bytes"], row["sha256"])
