"""Analyzers that are faster than the front desk, and lines that say everything twice."""

import asyncio

import pytest

from connectors.device_side import LineFaults
from devstack.lab_client import Json
from domain.accession import accession_no
from domain.clock import lab_day
from tests.e2e.visits import GLUCOSE, SPONSORED, Visit, messages_about, run_chemistry
from tests.fixtures.stack import LabStack

PREPRINTED = 90_001
"""Serial of the labels that were printed in advance; the lab's own numbers of a day start at 1."""


async def until_read(stack: LabStack, number: str, count: int = 1) -> list[Json]:
    """Wait until so many messages of a tube have been read."""

    async def look() -> list[Json] | None:
        found = await messages_about(stack, number)
        return found if len(found) == count and all(one["state"] != "received" for one in found) else None

    return await stack.client.until(look, f"{count} messages of {number}")


async def test_results_that_come_before_the_order_are_claimed_by_its_tube(stack: LabStack, patient_no: str):
    label = accession_no(lab_day(), PREPRINTED)
    (sent,) = await run_chemistry(stack, [label])
    assert sent.is_acknowledged
    (message,) = await until_read(stack, label)
    assert message["state"] == "unmatched"
    waiting = (await stack.client.get("technician", "/v1/worklists/unmatched", limit="200"))["items"]
    assert str(message["id"]) in [one["id"] for one in waiting]

    visit = await Visit.place(stack, patient_no, GLUCOSE)
    (planned,) = visit.accession_nos
    drawn = {"samples": [{"accession_no": planned, "label_no": label}]}
    await stack.client.post("phlebotomist", f"{visit.path}/samples/collect", drawn)
    await stack.client.post("technician", f"{visit.path}/samples/receive", {"accession_nos": [label]})
    await visit.at_stage("resulted")

    (result,) = await visit.results()
    assert (result["accession_no"], result["source"], result["state"]) == (label, "analyzer", "current")
    assert (result["message_id"], result["value_text"]) == (message["id"], sent.values["GLU"])
    assert [one["state"] for one in await messages_about(stack, label)] == ["matched"]
    assert await visit.events("results_entered") == []


@pytest.mark.parametrize(
    "faults", [LineFaults(duplicate=True), LineFaults(drop_before_answer=True)], ids=["sent_twice", "lost_answer"]
)
async def test_a_message_that_comes_twice_counts_once(stack: LabStack, patient_no: str, faults: LineFaults):
    visit = await Visit.place(stack, patient_no, GLUCOSE)
    await visit.bring()
    (sent,) = await visit.measure(faults=faults)
    assert (sent.is_acknowledged, sent.attempts) == (True, 2)
    (number,) = visit.accession_nos
    first, second = await until_read(stack, number, count=2)
    assert (first["state"], second["state"], second["duplicate_of"]) == ("matched", "duplicate", first["id"])
    (result,) = await visit.results()
    assert (result["version"], result["state"], result["message_id"]) == (1, "current", first["id"])
    assert len(await visit.events("results_received")) == 1


async def test_many_tubes_at_once_find_their_orders(stack: LabStack, patient_no: str):
    visits = await asyncio.gather(*(Visit.place(stack, patient_no, GLUCOSE, SPONSORED) for _ in range(3)))
    await asyncio.gather(*(visit.bring() for visit in visits))
    tubes = [number for visit in visits for number in visit.accession_nos]
    await asyncio.gather(*(run_chemistry(stack, tubes[start::3]) for start in range(3)))
    for visit in visits:
        await visit.type_in("RNGS50", "No variant found")
    await asyncio.gather(*(visit.at_stage("resulted") for visit in visits))
    for visit in visits:
        found = {result["code"]: result for result in await visit.results()}
        assert found.keys() == {"GLU", "RNGS50"}
        assert found["GLU"]["accession_no"] in visit.accession_nos
