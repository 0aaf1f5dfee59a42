"""A tube that is unfit: drawn again, its results out of force, and nothing more taken from it."""

from tests.e2e.visits import GLUCOSE, Visit, messages_about
from tests.fixtures.stack import LabStack


async def test_a_rejected_tube_is_replaced_and_its_results_leave(stack: LabStack, patient_no: str):
    visit = await Visit.place(stack, patient_no, GLUCOSE)
    (rejected,) = visit.accession_nos
    await visit.bring()
    await visit.measure()
    await visit.at_stage("resulted")

    body = {"accession_no": rejected, "reason_code": "haemolysed"}
    await stack.client.post("technician", f"{visit.path}/samples/reject", body)
    samples = {sample["accession_no"]: sample for sample in (await visit.read())["samples"]}
    (fresh,) = samples.keys() - {rejected}
    assert (samples[rejected]["state"], samples[rejected]["reject_reason"]) == ("rejected", "haemolysed")
    assert (samples[fresh]["state"], samples[fresh]["replaces"]) == ("expected", rejected)
    assert [result["state"] for result in await visit.results()] == ["superseded"]
    assert (await visit.read())["stage"] == "registered"

    await visit.measure(rejected, seed=2)
    await stack.client.until(lambda: _is_refused(stack, rejected), "the second message of the rejected tube")
    assert [result["state"] for result in await visit.results()] == ["superseded"]

    visit.samples = [{"accession_no": fresh, "test_codes": ["GLU"]}]
    await visit.bring()
    await visit.measure()
    await visit.sign()
    await visit.pay()
    await visit.at_stage("closed")
    assert [(one["accession_no"], one["state"]) for one in await visit.results()] == [
        (rejected, "superseded"),
        (fresh, "current"),
    ]
    assert len(await visit.events("sample_rejected")) == len(await visit.events("report_issued")) == 1


async def _is_refused(stack: LabStack, number: str) -> bool | None:
    """Tell whether the second run of the tube was read and taken for nobody's."""
    states = [message["state"] for message in await messages_about(stack, number)]
    return states == ["matched", "unmatched"] or None
