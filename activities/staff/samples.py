"""Collecting, receiving and rejecting samples."""

from __future__ import annotations

from sqlmodel import select

from activities.device_work import queue_work, take_back
from activities.handling.manifests import note_arrival
from activities.resulting import supersede_current
from activities.sample_plan import plan_replacement
from activities.staff.context import CommandContext, checked_time
from domain.accession import is_accession_no
from domain.clock import utc_now
from domain.enums import LineState, SampleState
from domain.errors import ConflictError, RuleError
from domain.handling import REJECTION_REASONS
from domain.messages import CollectedSample, CollectSamples, ReceiveSamples, RejectSample
from store.claims import requeue_messages
from store.tables.orders import Sample


async def collect(context: CommandContext, payload: CollectSamples) -> None:
    """Note that samples were drawn, under their planned numbers or under pre-printed labels.

    Raises:
        ConflictError: A sample is past collection, or the label is in use.
        RuleError: The label's check digit is wrong, or a time cannot be.
    """
    for drawn in payload.samples:
        sample = await context.sample(drawn.accession_no)
        if sample.state is not SampleState.EXPECTED:
            raise ConflictError(
                f"sample {drawn.accession_no} is already {sample.state.value}", code="SAMPLE_NOT_EXPECTED"
            )
        if drawn.label_no is not None and drawn.label_no != drawn.accession_no:
            await _relabel(context, sample, drawn)
        sample.state = SampleState.COLLECTED
        sample.collected_at = checked_time(
            drawn.collected_at, not_before=context.facts.order.created_at, what="the collection time"
        )
        sample.collected_by = context.actor.user_id
        sample.collection_site, sample.volume_ul = drawn.site, drawn.volume_ul
        context.session.add(sample)
        await context.session.flush()
        await requeue_messages(context.session, sample.accession_no)
        await context.event("sample_collected", {"accession_no": sample.accession_no})
    numbers = [drawn.label_no or drawn.accession_no for drawn in payload.samples]
    await context.audit("samples.collected", "order", context.facts.order.order_no, {"accession_nos": numbers})


async def _relabel(context: CommandContext, sample: Sample, drawn: CollectedSample) -> None:
    label = drawn.label_no or ""
    if not is_accession_no(label):
        raise RuleError(
            f"{label} is not an accession number", code="LABEL_INVALID",
            action="Scan the label again: its check digit is wrong.",
        )  # fmt: skip
    taken = await context.session.exec(select(Sample.id).where(Sample.accession_no == label))
    if taken.one_or_none() is not None:
        raise ConflictError(f"label {label} is already in use", code="LABEL_IN_USE", action="Take a fresh label.")
    sample.accession_no = label


async def receive(context: CommandContext, payload: ReceiveSamples) -> None:
    """Accept samples into the laboratory.

    Raises:
        ConflictError: A sample was not collected, or was received before.
    """
    received: list[Sample] = []
    for number in payload.accession_nos:
        sample = await context.sample(number)
        if sample.state is not SampleState.COLLECTED:
            raise ConflictError(f"sample {number} is {sample.state.value}, not collected", code="SAMPLE_NOT_COLLECTED")
        sample.state = SampleState.RECEIVED
        moment = checked_time(payload.received_at, not_before=sample.collected_at, what="the receipt time")
        # two clocks may differ by the tolerance; a report that says so would not be issued
        sample.received_at = max(moment, sample.collected_at or moment)
        sample.received_by = context.actor.user_id
        context.session.add(sample)
        await context.session.flush()
        await note_arrival(context.session, sample, context.actor.user_id)
        await context.event("sample_received", {"accession_no": number})
        received.append(sample)
    await queue_work(context.session, context.facts.order, received)
    await context.audit(
        "samples.received", "order", context.facts.order.order_no, {"accession_nos": list(payload.accession_nos)}
    )


async def reject(context: CommandContext, payload: RejectSample) -> None:
    """Reject a sample and plan its replacement; results from it go out of force.

    Raises:
        ConflictError: It is not in the lab's hands, or one of its tests is authorised.
        RuleError: The reason is not on the list, or `other` comes without a note.
    """
    if payload.reason_code not in REJECTION_REASONS or (payload.reason_code == "other" and len(payload.note) < 3):  # noqa: PLR2004
        raise RuleError(
            "the rejection reason is not on the list", code="REASON_UNKNOWN",
            action=f"Use one of {', '.join(sorted(REJECTION_REASONS))}; `other` needs a note.",
        )  # fmt: skip
    sample = await context.sample(payload.accession_no)
    if sample.state not in {SampleState.COLLECTED, SampleState.RECEIVED}:
        raise ConflictError(f"sample {payload.accession_no} is {sample.state.value}", code="SAMPLE_NOT_IN_HAND")
    affected = [(line, test) for line, test in await context.lines() if line.sample_id == sample.id]
    if any(line.state is LineState.AUTHORISED for line, _ in affected):
        raise ConflictError("a test of this sample is already authorised", code="RESULT_AUTHORISED")
    sample.state = SampleState.REJECTED
    sample.rejected_at, sample.rejected_by = utc_now(), context.actor.user_id
    sample.reject_reason = f"{payload.reason_code}: {payload.note}" if payload.note else payload.reason_code
    context.session.add(sample)
    await take_back(context.session, context.facts.order, [sample], "the sample was rejected")
    replacement = await plan_replacement(context.session, context.facts.order, sample)
    for line, _ in affected:
        await supersede_current(context.session, line.id)
        line.state, line.sample_id = LineState.ORDERED, replacement.id
        context.session.add(line)
    detail = {
        "accession_no": payload.accession_no, "reason": payload.reason_code, "replacement": replacement.accession_no,
    }  # fmt: skip
    await context.event("sample_rejected", detail)
    await context.audit("sample.rejected", "sample", payload.accession_no, detail)
