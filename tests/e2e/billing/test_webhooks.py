"""News of a payment that comes twice, late, or from somebody else: the ledger holds one payment."""

import pytest

from tests.e2e.visits import GLUCOSE, Visit
from tests.fixtures.stack import LabStack

SETTLED = [("charge", 1), ("payment", -1)]
EVENTS_OF_A_PAYMENT = 4


async def settled(visit: Visit) -> None:
    """Wait for the payment, then let everything that is still on its way arrive."""
    await visit.bill_until("state", "paid")
    (await visit.lab.http.post(f"{visit.lab.simulator('razorpay')}/_sim/drain")).raise_for_status()
    await visit.client.until(lambda: _all_handled(visit.lab), "every event to be handled")
    price = (await visit.bill())["total_paise"]
    assert [(kind, amount // price) for kind, amount in await visit.ledger()] == SETTLED
    assert len(await visit.payments()) == 1


async def _all_handled(stack: LabStack) -> bool | None:
    return (
        await stack.count("select count(*) from partner_events where source = 'razorpay' and state = 'received'") == 0
        or None
    )


@pytest.mark.parametrize(
    "switches",
    [{"webhooks_duplicate": True}, {"webhooks_late_s": 4.0, "webhooks_reversed": True}],
    ids=["twice", "late_and_last_first"],
)
async def test_a_payment_is_booked_once(stack: LabStack, patient_no: str, switches: dict[str, object]):
    await stack.behave("razorpay", **switches)
    visit = await Visit.place(stack, patient_no, GLUCOSE)
    await visit.pay()
    await settled(visit)


async def test_tampered_news_is_refused_and_the_gateway_asked_instead(stack: LabStack, patient_no: str):
    stored = await stack.count("select count(*) from partner_events where source = 'razorpay'")
    answered = len(await _answers(stack))
    await stack.behave("razorpay", webhooks_tampered=True)
    visit = await Visit.place(stack, patient_no, GLUCOSE)
    await visit.pay()
    await visit.bill_until("state", "paid")

    async def refused() -> list[int] | None:
        fresh = (await _answers(stack))[answered:]
        return fresh if len(fresh) >= EVENTS_OF_A_PAYMENT else None

    assert set(await stack.client.until(refused, "the answers to the tampered webhooks")) == {401}
    assert await stack.count("select count(*) from partner_events where source = 'razorpay'") == stored
    (payment,) = await visit.payments()
    assert [kind for kind, _ in await visit.ledger()] == ["charge", "payment"]
    assert await stack.count("select count(*) from ledger_entries where gateway_ref = :ref", ref=payment["id"]) == 1


async def _answers(stack: LabStack) -> list[int]:
    return [delivery["status"] for delivery in (await stack.state("razorpay"))["webhooks"]["delivered"]]
