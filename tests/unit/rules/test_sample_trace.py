"""The one thing a tube waits for, and the order of its steps."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from domain.enums import (
    DeviceWorkState,
    ExceptionKind,
    ExceptionState,
    LineState,
    MessageState,
    OrderStage,
    ReportState,
    ResultState,
    SampleState,
    VerificationDecision,
    VerificationLevel,
)
from domain.sample_trace import (
    DecisionFacts,
    EventFacts,
    ExceptionFacts,
    LineFacts,
    MessageFacts,
    QueryFacts,
    ReportFacts,
    ResultFacts,
    TraceFacts,
    WaitsFor,
    WorkFacts,
)
from rules.sample_trace import steps_of, verdict_of

T0 = datetime(2026, 11, 23, 4, tzinfo=UTC)


def at(minutes):
    return T0 + timedelta(minutes=minutes)


FACTS = TraceFacts(
    accession_no="261123000017", order_no="DEL-261123-0001", stage=OrderStage.RECEIVED, attention=(), placed_at=T0,
    placed_by="front_desk", closed_at=None, cancel_reason="", sample_state=SampleState.RECEIVED, collected_at=at(5),
    collected_by="phlebotomist", received_at=at(20), received_by="technician", rejected_at=None, reject_reason="",
    replaced_by="", lines=(LineFacts("GLU", LineState.ORDERED), LineFacts("CREA", LineState.RESULTED)),
)  # fmt: skip
MESSAGE = MessageFacts("m1", "BS-1", at(40), at(41), MessageState.MATCHED, "", 1)
EXCEPTION = ExceptionFacts("m1", "BS-1", at(41), ExceptionKind.UNMAPPED_CODE, "12", ExceptionState.OPEN)
HELD = ResultFacts("GLU", 1, ResultState.HELD, "analyzer", "BS-1", at(42), "not_measured")
WORK = WorkFacts("BS-1", at(21), "new", 2, DeviceWorkState.WAITING, 3, None, "")


def lines(state):
    return (LineFacts("GLU", state), LineFacts("CREA", state))


CASES = {
    "cancelled": ({"cancel_reason": "asked twice"}, WaitsFor.CANCELLED, "cancelled"),
    "no tests left": ({"lines": lines(LineState.CANCELLED)}, WaitsFor.CANCELLED, "no longer wanted"),
    "rejected": (
        {"sample_state": SampleState.REJECTED, "reject_reason": "clotted", "replaced_by": "261123000028"},
        WaitsFor.NEW_SAMPLE, "261123000028",
    ),
    "not collected": ({"sample_state": SampleState.EXPECTED}, WaitsFor.COLLECTION, "not recorded as collected"),
    "measured before it was collected": (
        {"sample_state": SampleState.EXPECTED, "messages": (MESSAGE,)}, WaitsFor.COLLECTION, "although BS-1",
    ),
    "on its way": ({"sample_state": SampleState.COLLECTED}, WaitsFor.RECEPTION, "not arrived"),
    "unread": (
        {"messages": (replace(MESSAGE, state=MessageState.RECEIVED, read_at=None),)}, WaitsFor.READING, "not read yet",
    ),
    "unmapped": ({"messages": (MESSAGE,), "exceptions": (EXCEPTION,)}, WaitsFor.PERSON, "unmapped_code (12)"),
    "exception closed": (
        {"messages": (MESSAGE,), "exceptions": (replace(EXCEPTION, state=ExceptionState.DISMISSED),)},
        WaitsFor.DEVICE, "none for GLU",
    ),
    "held": ({"messages": (MESSAGE,), "results": (HELD,)}, WaitsFor.PERSON, "held: not_measured"),
    "unmatched": (
        {"messages": (replace(MESSAGE, state=MessageState.PARTIAL, reason="unmapped code 9"),)},
        WaitsFor.PERSON, "unmapped code 9",
    ),
    "work refused": (
        {"work": (replace(WORK, state=DeviceWorkState.REFUSED, note="no reagent"),)}, WaitsFor.PERSON, "no reagent",
    ),
    "work waits": ({"work": (WORK,)}, WaitsFor.DEVICE, "3 attempts"),
    "told that there is nothing": (
        {"queries": (QueryFacts("BS-1", at(30), 0, 4),)}, WaitsFor.DEVICE, "told that there is none",
    ),
    "nothing came": ({}, WaitsFor.DEVICE, "no analyzer has sent anything"),
    "verification": ({"lines": lines(LineState.RESULTED)}, WaitsFor.VERIFICATION, "GLU, CREA"),
    "authorisation": ({"lines": lines(LineState.VERIFIED)}, WaitsFor.AUTHORISATION, "GLU"),
    "report": (
        {"lines": lines(LineState.AUTHORISED), "stage": OrderStage.AUTHORISED}, WaitsFor.REPORT, "being issued",
    ),
    "stuck report": (
        {"lines": lines(LineState.AUTHORISED), "stage": OrderStage.AUTHORISED, "attention": ("report:FONT",)},
        WaitsFor.PERSON, "report:FONT",
    ),
    "other samples": ({"lines": lines(LineState.AUTHORISED)}, WaitsFor.REPORT, "other samples"),
    "unpaid": (
        {"lines": lines(LineState.AUTHORISED), "stage": OrderStage.REPORTED}, WaitsFor.RELEASE, "payment",
    ),
    "done": (
        {"lines": lines(LineState.AUTHORISED), "stage": OrderStage.CLOSED, "closed_at": at(90)},
        WaitsFor.NOTHING, "reported",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("changed", "waits_for", "words"), CASES.values(), ids=list(CASES))
def test_the_verdict(changed, waits_for, words):
    verdict = verdict_of(replace(FACTS, **changed))
    assert verdict.waits_for is waits_for
    assert words in verdict.text
    settled = {WaitsFor.NOTHING, WaitsFor.CANCELLED, WaitsFor.REPORT}
    assert verdict.action or waits_for in settled


@pytest.mark.parametrize("kind", list(ExceptionKind))
def test_every_kind_of_exception_says_what_to_do(kind):
    verdict = verdict_of(replace(FACTS, messages=(MESSAGE,), exceptions=(replace(EXCEPTION, kind=kind),)))
    assert verdict.waits_for is WaitsFor.PERSON
    assert verdict.action


def test_the_steps_are_in_order_of_time():
    facts = replace(
        FACTS,
        messages=(MESSAGE,),
        exceptions=(EXCEPTION,),
        queries=(QueryFacts("BS-1", at(30), 1, 4),),
        work=(replace(WORK, state=DeviceWorkState.ACCEPTED, settled_at=at(22)),),
        results=(HELD,),
        decisions=(
            DecisionFacts("CREA", VerificationLevel.TECHNICAL, VerificationDecision.ACCEPTED, "technician", at(50)),
        ),
        reports=(ReportFacts("R-1", 1, ReportState.ISSUED, at(60)),),
        events=(EventFacts("report_sent", "ReportDelivery", "", at(61)),),
    )
    assert [step.what for step in steps_of(facts)] == [
        "order_placed", "sample_collected", "sample_received", "work_queued", "work_settled", "query_answered",
        "message_received", "message_read", "exception", "result", "decision", "report", "report_sent",
    ]  # fmt: skip


@pytest.mark.parametrize("stage", list(OrderStage))
@pytest.mark.parametrize("sample_state", list(SampleState))
@pytest.mark.parametrize("line_state", list(LineState))
def test_every_combination_of_states_has_a_verdict(stage, sample_state, line_state):
    facts = replace(FACTS, stage=stage, sample_state=sample_state, lines=lines(line_state))
    verdict = verdict_of(facts)
    assert verdict.text
    if stage is OrderStage.CANCELLED or line_state is LineState.CANCELLED:
        assert verdict.waits_for is WaitsFor.CANCELLED
    elif sample_state in {SampleState.RECEIVED, SampleState.COLLECTED} and line_state is LineState.VERIFIED:
        assert verdict.waits_for in {WaitsFor.AUTHORISATION, WaitsFor.RECEPTION}


def test_a_message_without_a_device_is_named_so():
    facts = replace(
        FACTS, messages=(replace(MESSAGE, analyzer="", state=MessageState.UNMATCHED, reason="no analyzer"),)
    )
    assert "an unregistered device" in verdict_of(facts).text
    assert any("an unregistered device" in step.text for step in steps_of(facts))


def test_steps_of_one_instant_are_in_the_order_of_the_work():
    same = replace(
        FACTS, collected_at=T0, received_at=T0, messages=(replace(MESSAGE, received_at=T0, read_at=T0),),
        results=(replace(HELD, at=T0),),
    )  # fmt: skip
    assert [step.what for step in steps_of(same)] == [
        "order_placed", "sample_collected", "sample_received", "message_received", "message_read", "result",
    ]  # fmt: skip
