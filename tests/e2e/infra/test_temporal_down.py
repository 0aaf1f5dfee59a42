"""Temporal is away: the front desk works on, and everything is made up for when it is back."""

from devstack.lab_client import Json
from tests.e2e.visits import GLUCOSE, SLOW, Visit, asked
from tests.fixtures.stack import LabStack


async def test_orders_and_commands_wait_for_temporal(stack: LabStack, patient_no: str):
    known = await Visit.place(stack, patient_no, GLUCOSE)
    await known.event("workflow_started")
    fresh = Visit(stack.settings, stack.client, known.console, lab=stack)
    await stack.stop_temporal()
    try:
        body: Json = {"branch_code": "DEL", "patient_no": patient_no, "items": [GLUCOSE]}
        placed = await asked(stack, "front_desk", "/v1/orders", body)
        drawn: Json = {"samples": [{"accession_no": number} for number in known.accession_nos]}
        collected = await asked(stack, "phlebotomist", f"{known.path}/samples/collect", drawn)
        ready = (await stack.http.get(f"{stack.settings.api.public_url}/health/ready")).json()
    finally:
        await stack.start_temporal()
    assert placed.status_code == 201
    fresh.take(placed.json())
    assert (collected.status_code, collected.json()["state"]) == (202, "accepted")
    assert not ready["dependencies"]["temporal"]["is_ready"]
    assert ready["status"] == "ready", ready

    async def applied() -> bool | None:
        command = await stack.client.get("phlebotomist", collected.headers["location"])
        assert command["state"] != "refused"
        return command["state"] == "applied" or None

    await stack.client.until(applied, "the stored command", within=SLOW)
    assert len(await known.events("sample_collected")) == 1
    await fresh.event("workflow_started", within=SLOW)
    assert await fresh.link()
    await fresh.bring()
    await fresh.measure()
    await fresh.at_stage("resulted")
    assert len(await fresh.events("workflow_started")) == 1
