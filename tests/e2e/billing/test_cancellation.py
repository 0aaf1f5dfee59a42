"""Orders that are cancelled: nothing stays owed, nothing stays registered, no link stays open."""

from tests.e2e.visits import GLUCOSE, SPONSORED, Visit
from tests.fixtures.stack import LabStack


async def gone(visit: Visit, number: str) -> None:
    """Wait until a bill is taken back and check that nothing is owed."""
    await visit.bill_until("state", "cancelled", number)
    await visit.bill_until("balance_paise", 0, number)
    order = await visit.read()
    assert (order["stage"], {line["state"] for line in order["lines"]}) == ("cancelled", {"cancelled"})


async def test_before_collection_the_bill_and_its_link_go(stack: LabStack, patient_no: str):
    visit = await Visit.place(stack, patient_no, GLUCOSE)
    await visit.link()
    await visit.cancel()
    await gone(visit, visit.patient_invoice)
    (link,) = await visit.links()
    assert (link["status"], await visit.payments()) == ("cancelled", [])
    kinds = [kind for kind, _ in await visit.ledger()]
    assert kinds == ["charge", "cancellation"]
    assert {sample["state"] for sample in (await visit.read())["samples"]} == {"cancelled"}


async def test_after_payment_the_money_goes_back_once(stack: LabStack, patient_no: str):
    visit = await Visit.place(stack, patient_no, GLUCOSE)
    await visit.pay()
    paid = await visit.bill_until("state", "paid")
    await visit.cancel()
    await gone(visit, visit.patient_invoice)
    (payment,) = await visit.payments()
    refunds = [one for one in (await stack.state("razorpay"))["refunds"].values() if one["payment_id"] == payment["id"]]
    assert [(one["status"], one["amount"]) for one in refunds] == [("processed", paid["total_paise"])]
    assert (payment["amount_refunded"], payment["status"]) == (paid["total_paise"], "refunded")
    ledger = await visit.ledger()
    assert sorted(kind for kind, _ in ledger) == ["cancellation", "charge", "payment", "refund"]
    assert sum(amount for _, amount in ledger) == 0
    booked = await stack.rows("select state, refund_ref from refunds where payment_ref = :ref", ref=payment["id"])
    assert booked == [{"state": "processed", "refund_ref": refunds[0]["id"]}]


async def test_after_the_irn_the_portal_cancels_it(stack: LabStack, patient_no: str):
    visit = await Visit.place(stack, patient_no, SPONSORED)
    bill = await visit.bill_until("einvoice_state", "generated", visit.sponsor_invoice)
    await visit.cancel()
    await gone(visit, visit.sponsor_invoice)
    assert (await visit.bill_until("einvoice_state", "cancelled", visit.sponsor_invoice))["irn"] == bill["irn"]
    assert [(entry["irn"], entry["status"]) for entry in await visit.registered()] == [(bill["irn"], "CNL")]
    assert sum(amount for _, amount in await visit.ledger()) == 0
    notes = (await stack.client.get("billing", f"{visit.path}/invoices"))["items"]
    assert [note["kind"] for note in notes] == ["tax_invoice"]
