"""The health-data network is away, or says everything twice: one care context, one record, no order held up."""

import pytest

from tests.e2e.visits import SENTINEL, SLOW, SPONSORED, Visit, person, register
from tests.fixtures.stack import LabStack


@pytest.fixture(scope="module")
async def member_no(lab_stack: LabStack) -> str:
    """Somebody with an ABHA that the network knows, who agreed to linking."""
    known = {"name": f"{SENTINEL} Member", "abha_number": "91000000000034", "abha_address": "zqxwvut.member@sbx"}
    network = {**known, "gender": "F", "year_of_birth": 1991}
    (await lab_stack.http.post(f"{lab_stack.simulator('abdm')}/_sim/people", json=network)).raise_for_status()
    return await register(lab_stack, person(**known, phone="+919812309877", has_record_consent=True))


async def reported(stack: LabStack, patient_no: str) -> Visit:
    """Carry an order to its release."""
    visit = await Visit.place(stack, patient_no, SPONSORED)
    await visit.bring()
    await visit.type_in("RNGS50", "No variant found")
    await visit.sign()
    await visit.at("closed")
    return visit


async def has_shared_once(visit: Visit) -> None:
    """Wait for the record and count."""
    await visit.event("record_shared", within=SLOW)
    network = await visit.lab.state("abdm")
    assert len([link for link in network["links"] if link["reference"] == visit.order_no]) == 1
    records = [record for transfer in network["transfers"] for record in transfer["records"]]
    (record,) = [record for record in records if record["reference"] == visit.order_no]
    assert record["problems"] == []
    contexts = await visit.lab.rows("select state from care_contexts where reference = :no", no=visit.order_no)
    assert contexts == [{"state": "notified"}]


async def test_a_report_is_linked_when_the_network_is_back(stack: LabStack, member_no: str):
    await stack.behave("abdm", down=True)
    visit = await reported(stack, member_no)

    async def raised() -> list[str] | None:
        return [why for why in await visit.attention() if why.startswith("HealthRecordPush:")] or None

    (key,) = await stack.client.until(raised, "the push to need attention", within=SLOW)
    await stack.behave("abdm", down=False)
    await visit.until_attention(key, is_raised=False)
    await has_shared_once(visit)


async def test_callbacks_that_come_twice_share_once(stack: LabStack, member_no: str):
    await stack.behave("abdm", webhooks_duplicate=True)
    visit = await reported(stack, member_no)
    await has_shared_once(visit)
    transfers = (await stack.state("abdm"))["transfers"]
    own = [one for one in transfers if any(record["reference"] == visit.order_no for record in one["records"])]
    assert [(one["status"], one["pushes"]) for one in own] == [("TRANSFERRED", 1)]
