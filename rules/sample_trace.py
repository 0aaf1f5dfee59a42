"""From what is known of a tube to its way, step by step, and to the one thing it waits for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from domain.enums import (
    DeviceWorkState,
    ExceptionKind,
    ExceptionState,
    LineState,
    MessageState,
    OrderStage,
    ResultState,
    SampleState,
)
from domain.sample_trace import (
    ExceptionFacts,
    MessageFacts,
    ResultFacts,
    Step,
    TraceFacts,
    Verdict,
    WaitsFor,
    WorkFacts,
)

_ORDER = {
    name: place
    for place, name in enumerate(
        (
            "order_placed", "sample_collected", "sample_received", "sample_rejected", "work_queued", "work_settled",
            "query_answered", "message_received", "message_read", "exception", "result", "decision", "report",
        )
    )
}  # fmt: skip
"""Which of two steps of the same instant comes first."""

_TO_DO = {
    ExceptionKind.UNKNOWN_DEVICE: "Enter the device with its address, then have the message read again.",
    ExceptionKind.UNREADABLE: "Open the message and correct the device's profile, then have it read again.",
    ExceptionKind.UNMATCHED_SPECIMEN: "Compare the barcode in the message with the label on the tube.",
    ExceptionKind.UNMAPPED_CODE: "Map the code of this device, then have the message read again.",
    ExceptionKind.AMBIGUOUS_CODE: "Retire one of the code's mappings, or enter the result by hand.",
    ExceptionKind.UNIT_MISMATCH: "Compare the unit on the device with its mapping; correct one of them.",
    ExceptionKind.NOT_ORDERED: "Order the test, or dismiss what was measured besides.",
    ExceptionKind.ALREADY_CLOSED: "A signed result stands: amend the report or dismiss the new value.",
    ExceptionKind.UNUSABLE_VALUE: "Have the tube run again, or enter the result by hand.",
}


def steps_of(facts: TraceFacts) -> list[Step]:
    """Return what happened, oldest first."""
    return sorted(_steps(facts), key=lambda step: (step.at, _ORDER.get(step.what, len(_ORDER))))


def _steps(facts: TraceFacts) -> Iterator[Step]:
    yield Step(facts.placed_at, "order_placed", f"order {facts.order_no} placed by {facts.placed_by}")
    if facts.collected_at:
        yield Step(facts.collected_at, "sample_collected", f"collected by {facts.collected_by or 'somebody'}")
    if facts.received_at:
        yield Step(facts.received_at, "sample_received", f"received by {facts.received_by or 'somebody'}")
    if facts.rejected_at:
        yield Step(facts.rejected_at, "sample_rejected", f"rejected: {facts.reject_reason}")
    for work in facts.work:
        yield from _work_steps(work)
    for query in facts.queries:
        found = "with work" if query.found else "that there is no work"
        yield Step(
            query.at, "query_answered", f"{query.analyzer} asked for work and was answered {found}",
            {"analyzer": query.analyzer, "elapsed_ms": str(query.elapsed_ms)},
        )  # fmt: skip
    for message in facts.messages:
        yield from _message_steps(message)
    for one in facts.exceptions:
        yield Step(
            one.at, "exception", f"{one.kind.value}{f' {one.device_code}' if one.device_code else ''}: {one.state}",
            {"message_id": one.message_id, "analyzer": one.analyzer, "kind": one.kind.value},
        )  # fmt: skip
    yield from _outcome_steps(facts)


def _work_steps(work: WorkFacts) -> Iterator[Step]:
    detail = {"analyzer": work.analyzer, "state": work.state.value}
    yield Step(work.at, "work_queued", f"{work.action} of {work.tests} tests queued for {work.analyzer}", detail)
    if work.settled_at:
        note = f": {work.note}" if work.note else ""
        text = f"work {work.state.value} by {work.analyzer} after {work.attempts} attempts{note}"
        yield Step(work.settled_at, "work_settled", text, detail)


def _message_steps(message: MessageFacts) -> Iterator[Step]:
    detail = {"message_id": message.id, "analyzer": message.analyzer}
    sender = message.analyzer or "an unregistered device"
    yield Step(message.received_at, "message_received", f"message of {sender} stored", detail)
    if message.read_at:
        reason = f": {message.reason}" if message.reason else ""
        text = f"message read, {message.state.value}{reason}"
        yield Step(message.read_at, "message_read", text, {**detail, "readings": str(message.readings)})


def _outcome_steps(facts: TraceFacts) -> Iterator[Step]:
    for result in facts.results:
        held = f", held: {result.hold_reason}" if result.state is ResultState.HELD else ""
        origin = result.analyzer or result.source
        yield Step(
            result.at, "result", f"result of {result.code}, version {result.version}, from {origin}{held}",
            {"test": result.code, "state": result.state.value},
        )  # fmt: skip
    for decision in facts.decisions:
        text = f"{decision.code} {decision.decision.value} ({decision.level.value}) by {decision.by}"
        yield Step(decision.at, "decision", text, {"test": decision.code, "level": decision.level.value})
    for report in facts.reports:
        yield Step(report.at, "report", f"report {report.report_no} version {report.version} issued", {})
    for event in facts.events:
        yield Step(event.at, event.kind, event.kind.replace("_", " "), {"by": event.actor or event.source})


def verdict_of(facts: TraceFacts) -> Verdict:
    """Return the one thing that the tube waits for now."""
    return (
        _ended(facts)
        or _not_in_hand(facts)
        or _without_result(facts)
        or _undecided(facts)
        or _unreported(facts)
    )  # fmt: skip


def _ended(facts: TraceFacts) -> Verdict | None:
    if facts.cancel_reason or facts.stage is OrderStage.CANCELLED:
        return Verdict(WaitsFor.CANCELLED, "the order was cancelled")
    open_lines = [line for line in facts.lines if line.state is not LineState.CANCELLED]
    if facts.sample_state is SampleState.CANCELLED or not open_lines:
        return Verdict(WaitsFor.CANCELLED, "the sample is no longer wanted: its tests were cancelled")
    if facts.sample_state is SampleState.REJECTED:
        where = f"; {facts.replaced_by} takes its place" if facts.replaced_by else ""
        return Verdict(
            WaitsFor.NEW_SAMPLE, f"the sample was rejected ({facts.reject_reason}){where}", "Collect the new sample."
        )
    return None


def _not_in_hand(facts: TraceFacts) -> Verdict | None:
    if facts.sample_state is SampleState.EXPECTED:
        senders = [message.analyzer or "a device" for message in facts.messages]
        came = f" although {senders[-1]} has sent a message for it" if senders else ""
        return Verdict(WaitsFor.COLLECTION, f"the sample is not recorded as collected{came}", "Record the collection.")
    has_results = any(result.state is not ResultState.SUPERSEDED for result in facts.results)
    if facts.sample_state is SampleState.COLLECTED and not facts.messages and not has_results:
        return Verdict(WaitsFor.RECEPTION, "the sample has not arrived in the laboratory", "Record its reception.")
    return None


def _without_result(facts: TraceFacts) -> Verdict | None:
    missing = tuple(line.code for line in facts.lines if line.state is LineState.ORDERED)
    if not missing:
        return None
    unread = [message for message in facts.messages if message.state is MessageState.RECEIVED]
    if unread:
        since = _minute(unread[0].received_at)
        return Verdict(
            WaitsFor.READING, f"a message of {unread[0].analyzer or 'a device'} stored at {since} is not read yet",
            "Is the worker up? `labsetu doctor` tells.", missing,
        )  # fmt: skip
    return _for_person(facts, missing) or _for_device(facts, missing)


def _for_person(facts: TraceFacts, missing: tuple[str, ...]) -> Verdict | None:
    waiting: list[ExceptionFacts] = [one for one in facts.exceptions if one.state is ExceptionState.OPEN]
    if waiting:
        one = waiting[-1]
        code = f" ({one.device_code})" if one.device_code else ""
        text = f"a message of {one.analyzer or 'an unregistered device'} waits for a person: {one.kind.value}{code}"
        return Verdict(WaitsFor.PERSON, text, _TO_DO[one.kind], missing)
    held: list[ResultFacts] = [one for one in facts.results if one.state is ResultState.HELD and one.code in missing]
    if held:
        text = f"the result of {held[-1].code} is held: {held[-1].hold_reason or 'not usable'}"
        return Verdict(WaitsFor.PERSON, text, "Have the tube run again, or enter the result by hand.", missing)
    stuck = {MessageState.UNMATCHED, MessageState.PARTIAL, MessageState.UNREADABLE}
    failed = [message for message in facts.messages if message.state in stuck]
    if failed:
        last = failed[-1]
        text = f"a message of {last.analyzer or 'an unregistered device'} is {last.state.value}: {last.reason}"
        return Verdict(WaitsFor.PERSON, text, "Open the message; correct mapping or profile; read it again.", missing)
    return None


def _for_device(facts: TraceFacts, missing: tuple[str, ...]) -> Verdict:
    names = ", ".join(missing)
    refused = [work for work in facts.work if work.state is DeviceWorkState.REFUSED]
    if refused:
        text = f"{refused[-1].analyzer} refused the work for {names}: {refused[-1].note or 'no reason given'}"
        return Verdict(WaitsFor.PERSON, text, "Look at the device's test settings and reagents.", missing)
    waiting = [work for work in facts.work if work.state is DeviceWorkState.WAITING]
    if waiting:
        text = f"work for {names} waits to be sent to {waiting[-1].analyzer}, {waiting[-1].attempts} attempts so far"
        return Verdict(WaitsFor.DEVICE, text, "Is the device connected? See the analyzer status.", missing)
    if facts.queries and not facts.queries[-1].found:
        text = f"{facts.queries[-1].analyzer} asked for work and was told that there is none for {names}"
        return Verdict(WaitsFor.DEVICE, text, "Is a code of this device mapped to the test, and confirmed?", missing)
    if facts.messages:
        last = facts.messages[-1]
        text = f"{last.analyzer or 'a device'} sent results, but none for {names}"
        return Verdict(WaitsFor.DEVICE, text, "Was the test run? Look at the message, or run it again.", missing)
    text = f"no analyzer has sent anything for this tube; {names} has no result"
    return Verdict(WaitsFor.DEVICE, text, "Put the tube on the analyzer, or enter the result by hand.", missing)


def _undecided(facts: TraceFacts) -> Verdict | None:
    resulted = tuple(line.code for line in facts.lines if line.state is LineState.RESULTED)
    if resulted:
        text = f"technical verification of {', '.join(resulted)}"
        return Verdict(WaitsFor.VERIFICATION, text, "It is on the worklist `verification`.", resulted)
    verified = tuple(line.code for line in facts.lines if line.state is LineState.VERIFIED)
    if verified:
        text = f"medical authorisation of {', '.join(verified)}"
        return Verdict(WaitsFor.AUTHORISATION, text, "It is on the worklist `authorisation`.", verified)
    return None


def _unreported(facts: TraceFacts) -> Verdict:
    if facts.stage is OrderStage.CLOSED or facts.closed_at:
        return Verdict(WaitsFor.NOTHING, "reported and released")
    if facts.stage is OrderStage.REPORTED:
        return Verdict(
            WaitsFor.RELEASE, "the report is issued and waits for payment or release", "See the order's bill."
        )
    if facts.attention:
        text = f"the order needs a person: {facts.attention[0]}"
        return Verdict(WaitsFor.PERSON, text, "Resolve the step on the order.")
    if facts.stage is OrderStage.AUTHORISED:
        return Verdict(WaitsFor.REPORT, "everything is authorised; the report is being issued")
    return Verdict(WaitsFor.REPORT, "this sample is done; other samples of the order are not", "Trace the others.")


def _minute(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M UTC")
