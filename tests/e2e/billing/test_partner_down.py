"""Partners that are away, or lose an answer: work goes on, somebody is told, and nothing is done twice."""

from tests.e2e.visits import GLUCOSE, SPONSORED, Visit
from tests.fixtures.stack import LabStack

GENERATE = "EInvoice:generate_irn"
CREATE_LINK = "Payment:create_payment_link"


async def test_an_order_goes_on_while_the_portal_is_down(stack: LabStack, patient_no: str):
    await stack.behave("einvoice", down=True)
    visit = await Visit.place(stack, patient_no, SPONSORED)
    skipped = await Visit.place(stack, patient_no, SPONSORED)
    await visit.bring()
    await visit.type_in("RNGS50", "No variant found")
    await visit.sign()
    await visit.at_stage("closed")
    assert (await visit.bill(visit.sponsor_invoice))["einvoice_state"] == "pending"
    await visit.until_attention(GENERATE)
    await skipped.until_attention(GENERATE)

    body = {
        "workflow_id": f"einvoice:{skipped.sponsor_invoice}", "step": "generate_irn", "decision": "skip",
        "reason": "the portal is closed for the day",
    }  # fmt: skip
    await stack.client.post("billing", f"{skipped.path}/attention/resolve", body)
    await skipped.bill_until("einvoice_state", "skipped", skipped.sponsor_invoice)
    await skipped.until_attention(GENERATE, is_raised=False)

    await stack.behave("einvoice", down=False)
    registered = await visit.bill_until("einvoice_state", "generated", visit.sponsor_invoice)
    await visit.until_attention(GENERATE, is_raised=False)
    assert [entry["irn"] for entry in await visit.registered()] == [registered["irn"]]
    assert await skipped.registered() == []
    raised, cleared = await visit.events("attention_raised"), await visit.events("attention_cleared")
    assert {event["detail"]["step"] for event in raised} >= {GENERATE}
    assert {event["detail"]["step"] for event in cleared} >= {GENERATE}


async def test_a_lost_answer_of_the_portal_registers_once(stack: LabStack, patient_no: str):
    before = await Visit.place(stack, patient_no, SPONSORED)
    await before.bill_until("einvoice_state", "generated", before.sponsor_invoice)

    await stack.behave("einvoice", drop_after_next=1)
    visit = await Visit.place(stack, patient_no, SPONSORED)
    bill = await visit.bill_until("einvoice_state", "generated", visit.sponsor_invoice)
    assert [entry["irn"] for entry in await visit.registered()] == [bill["irn"]]
    calls = await stack.rows(
        "select operation, status from partner_calls where connector = 'einvoice' and reference = :irn order by id",
        irn=bill["irn"],
    )
    assert calls[0] == {"operation": "generate_irn", "status": 504}
    assert [call["operation"] for call in calls].count("generate_irn") == 1


async def test_a_link_appears_when_the_gateway_is_back(stack: LabStack, patient_no: str):
    await stack.behave("razorpay", down=True)
    visit = await Visit.place(stack, patient_no, GLUCOSE)
    await visit.until_attention(CREATE_LINK)
    assert (await visit.bill())["payment_url"] == ""
    await stack.behave("razorpay", down=False)
    url = await visit.link()
    await visit.until_attention(CREATE_LINK, is_raised=False)
    assert [link["short_url"] for link in await visit.links()] == [url]


async def test_a_lost_answer_of_the_gateway_leaves_one_link(stack: LabStack, patient_no: str):
    await stack.behave("razorpay", drop_after_next=1, drop_only="POST /v1/payment_links")
    visit = await Visit.place(stack, patient_no, GLUCOSE)
    url = await visit.link()
    assert [link["short_url"] for link in await visit.links()] == [url]
    calls = await stack.rows(
        "select operation, status from partner_calls where connector = 'razorpay' and reference = :no order by id",
        no=visit.patient_invoice,
    )
    assert calls.count({"operation": "create_payment_link", "status": 504}) == 1
    assert [call["operation"] for call in calls].count("create_payment_link") == 1
