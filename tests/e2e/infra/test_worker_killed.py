"""The worker is killed in the middle of three orders, twice: each is finished, nothing is lost, nothing done twice."""

import asyncio
from collections import Counter

from devstack.lab_client import Json
from tests.e2e.visits import GLUCOSE, SLOW, SPONSORED, Visit, accepted
from tests.fixtures.stack import LabStack

VARIANT = "No variant of known significance found"


async def test_killed_in_the_middle_orders_are_finished_once(stack: LabStack, patient_no: str):
    collecting, measuring, paying = [await Visit.place(stack, patient_no, GLUCOSE, SPONSORED) for _ in range(3)]
    await measuring.bring()
    await paying.bring()
    await results_of(paying)
    await paying.sign()
    await paying.link()

    drawn: Json = {"samples": [{"accession_no": number} for number in collecting.accession_nos]}
    async with asyncio.TaskGroup() as begun:
        answer = begun.create_task(accepted(stack, "phlebotomist", f"{collecting.path}/samples/collect", drawn))
        begun.create_task(measuring.measure())
        begun.create_task(paying.pay())
        await stack.client.until(lambda: has_begun(collecting, measuring, paying), "all three to begin", pause=0.01)
        await stack.kill_worker()
    stack.start_worker()

    await applied(stack, "phlebotomist", answer.result())
    received = await accepted(
        stack, "technician", f"{collecting.path}/samples/receive", {"accession_nos": collecting.accession_nos}
    )
    await applied(stack, "technician", received)
    await asyncio.gather(results_of(collecting), measuring.type_in("RNGS50", VARIANT))
    await asyncio.gather(collecting.sign(), measuring.sign())
    await asyncio.gather(collecting.pay(), measuring.pay())
    await stack.kill_worker()  # money is coming in, reports are going out
    stack.start_worker()
    for visit in (collecting, measuring, paying):
        await visit.at("closed")
        await has_happened_once(visit)


async def results_of(visit: Visit) -> None:
    """Let the analyzer measure and type the rest in."""
    await visit.measure()
    await visit.type_in("RNGS50", VARIANT)


async def has_begun(collecting: Visit, measuring: Visit, paying: Visit) -> bool | None:
    """Tell whether the command is stored, a message of the analyzer has arrived, and the gateway has the money."""
    commands = await collecting.lab.count(
        "select count(*) from commands c join orders o on o.id = c.order_id where o.order_no = :no",
        no=collecting.order_no,
    )
    messages = await measuring.lab.count(
        "select count(*) from instrument_messages where position(convert_to(:no, 'UTF8') in raw) > 0",
        no=measuring.accession_nos[0],
    )
    return (commands > 0 and messages > 0 and bool(await paying.payments())) or None


async def applied(stack: LabStack, username: str, command: Json) -> None:
    """Wait until a command is applied."""

    async def look() -> bool | None:
        found = await stack.client.get(username, f"/v1/commands/{command['command_id']}")
        return found["state"] == "applied" or None

    await stack.client.until(look, f"{command['kind']} to be applied", within=SLOW)


async def has_happened_once(visit: Visit) -> None:
    """Count everything that must be there exactly once."""
    await visit.bill_until("state", "paid")
    bill = await visit.bill_until("einvoice_state", "generated", visit.sponsor_invoice)
    ledger = await visit.ledger()
    assert Counter(kind for kind, _ in ledger) == {"charge": 2, "payment": 1}, ledger
    assert len(await visit.links()) == len(await visit.payments()) == 1
    assert [entry["irn"] for entry in await visit.registered()] == [bill["irn"]]
    assert Counter((one["code"], one["state"]) for one in await visit.results()) == {
        ("GLU", "current"): 1, ("RNGS50", "current"): 1,
    }  # fmt: skip
    reports = (await visit.read())["reports"]
    assert [(one["version"], one["state"]) for one in reports] == [(1, "issued")]
    events = Counter(event["kind"] for event in await visit.timeline())
    once = ("workflow_started", "results_entered", "results_verified", "results_authorised", "report_issued",
            "order_closed")  # fmt: skip
    assert {kind: events[kind] for kind in once} == dict.fromkeys(once, 1)
    assert events["sample_collected"] == events["sample_received"] == len(visit.samples)
    await visit.event("report_delivered", within=SLOW)
    sent = [
        message["template"]["name"]
        for message in (await visit.lab.state("whatsapp"))["messages"].values()
        if visit.order_no in str(message["template"])
    ]
    assert Counter(sent)["report_ready"] == 1, sent
