"""Having tests measured again on the sample that is there."""

from __future__ import annotations

from activities.device_work import measured_by, queue_rerun
from activities.resulting import CLOSED_LINES, supersede_current
from activities.staff.context import CommandContext
from domain.enums import LineState, SampleState
from domain.errors import ConflictError, NotFoundError
from domain.messages import RerunTests
from store.timeline import EventDetail


async def rerun(context: CommandContext, payload: RerunTests) -> None:
    """Open tests again and tell the devices that are told; the others are told when they ask.

    What was measured goes out of force, so it is not released before there is a second value; it stays on record.

    Raises:
        ConflictError: The sample is not in hand, or a test is authorised or cancelled.
        NotFoundError: A test is not ordered on the sample.
    """
    sample = await context.sample(payload.accession_no)
    if sample.state not in {SampleState.COLLECTED, SampleState.RECEIVED}:
        raise ConflictError(f"sample {payload.accession_no} is {sample.state.value}", code="SAMPLE_NOT_IN_HAND")
    on_sample = {test.code: line for line, test in await context.lines() if line.sample_id == sample.id}
    missing = sorted(set(payload.test_codes) - on_sample.keys())
    if missing:
        raise NotFoundError(f"not ordered on this sample: {', '.join(missing)}", code="TEST_NOT_ORDERED")
    lines = [on_sample[code] for code in payload.test_codes]
    closed = sorted(code for code in payload.test_codes if on_sample[code].state in CLOSED_LINES)
    if closed:
        raise ConflictError(f"already authorised or cancelled: {', '.join(closed)}", code="RESULT_AUTHORISED")
    devices = await measured_by(context.session, lines)
    for line in lines:
        await supersede_current(context.session, line.id)
        line.state = LineState.ORDERED
        context.session.add(line)
    told = await queue_rerun(context.session, context.facts.order, lines, devices)
    detail: EventDetail = {"accession_no": payload.accession_no, "tests": list(payload.test_codes), "analyzers": told}
    await context.event("rerun_requested", detail)
    await context.audit("results.rerun", "sample", payload.accession_no, {**detail, "reason": payload.reason})
