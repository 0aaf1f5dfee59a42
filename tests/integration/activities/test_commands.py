"""Staff commands on real rows: what each leaves behind, and what each refuses."""

import asyncio
from datetime import timedelta

import pytest

from activities.commands import refuse_command
from domain.accession import accession_no
from domain.clock import lab_day, utc_now
from domain.enums import CommandState, LineState, OrderStage, ResultState, SampleState
from domain.errors import ConflictError, NotFoundError, RuleError
from domain.messages import CommandKind, CommandRef
from tests.fixtures.bench import Bench

HOUR = timedelta(hours=1)
LABEL_SERIAL = iter(range(90_001, 90_999))


def label() -> str:
    """Return a fresh pre-printed label."""
    return accession_no(lab_day(), next(LABEL_SERIAL))


async def refused(bench: Bench, kind: CommandKind, order, payload, *, by: str = "") -> str:
    """Apply a command that must be refused; return the code, which is also on its row."""
    ref = await bench.store(kind, order, payload, by)
    with pytest.raises(RuleError) as caught:
        await bench.commands.apply(ref)
    row = await bench.command(ref)
    assert row.state is CommandState.REFUSED
    assert (row.refusal_code, row.refusal, row.refusal_action) == (
        caught.value.code, caught.value.message, caught.value.action,
    )  # fmt: skip
    return caught.value.code


async def test_an_order_goes_through_every_stage(bench: Bench):
    order = await bench.order("CREA", "UREA")
    assert (await bench.collect(order)).stage is OrderStage.COLLECTED
    assert (await bench.receive(order)).stage is OrderStage.RECEIVED
    assert (await bench.enter(order, CREA="1.1")).stage is OrderStage.RECEIVED
    assert (await bench.enter(order, UREA="31")).stage is OrderStage.RESULTED
    assert (await bench.verify(order)).stage is OrderStage.VERIFIED
    progress = await bench.authorise(order)
    assert progress.stage is OrderStage.AUTHORISED
    assert (progress.tests_resulted, progress.tests_verified, progress.tests_authorised) == (2, 2, 2)
    assert (await bench.row(order)).stage is OrderStage.AUTHORISED
    assert await bench.kinds(order) == [
        "order_placed", "sample_collected", "sample_received", "results_entered", "results_entered",
        "results_verified", "results_authorised",
    ]  # fmt: skip
    actors = [entry.actor for entry in await bench.audited(order.order_no)]
    assert actors == [
        "front_desk", "phlebotomist", "technician", "technician", "technician", "senior_technician", "pathologist",
    ]  # fmt: skip


async def test_a_command_is_applied_once(bench: Bench):
    order = await bench.order()
    ref = await bench.store(
        CommandKind.COLLECT_SAMPLES, order, {"samples": [{"accession_no": order.samples[0].accession_no}]}
    )
    first = await bench.commands.apply(ref)
    assert await bench.commands.apply(ref) == first
    row = await bench.command(ref)
    assert (row.state, row.result) == (CommandState.APPLIED, {"stage": "collected"})
    assert (await bench.kinds(order)).count("sample_collected") == 1


async def test_the_same_command_at_the_same_time_is_applied_once(bench: Bench):
    order = await bench.received()
    ref = await bench.store(CommandKind.ENTER_RESULTS, order, {"results": [{"test_code": "CREA", "value": "1.2"}]})
    answers = await asyncio.gather(*(bench.commands.apply(ref) for _ in range(5)))
    assert {answer.progress.stage for answer in answers} == {OrderStage.RESULTED}
    assert len(await bench.results(order, "CREA")) == 1


async def test_a_refusal_is_remembered(bench: Bench):
    order = await bench.order()
    ref = await bench.store(CommandKind.RECEIVE_SAMPLES, order, {"accession_nos": [order.samples[0].accession_no]})
    with pytest.raises(ConflictError) as first:
        await bench.commands.apply(ref)
    await bench.collect(order)  # it would be possible now, but the answer was given
    with pytest.raises(RuleError) as again:
        await bench.commands.apply(ref)
    assert (again.value.code, again.value.message) == (first.value.code, first.value.message)
    assert (await bench.sample(order.samples[0].accession_no)).state is SampleState.COLLECTED


async def test_an_applied_command_is_not_refused_afterwards(bench: Bench):
    order = await bench.order()
    ref = await bench.store(CommandKind.CANCEL_ORDER, order, {"reason": "patient left"})
    await bench.commands.apply(ref)
    await refuse_command(bench.database, (await bench.command(ref)).id, RuleError("too late"))
    assert (await bench.command(ref)).state is CommandState.APPLIED


async def test_an_unknown_command_is_no_command(bench: Bench):
    with pytest.raises(NotFoundError) as caught:
        await bench.commands.apply(CommandRef(command_id="00000000-0000-7000-8000-000000000000"))
    assert caught.value.code == "COMMAND_NOT_FOUND"


async def test_a_refused_command_leaves_nothing(bench: Bench):
    order = await bench.order("CREA", "GLU")
    first, _ = order.samples
    samples = [{"accession_no": first.accession_no}, {"accession_no": "261123000011"}]
    assert await refused(bench, CommandKind.COLLECT_SAMPLES, order, {"samples": samples}) == "SAMPLE_NOT_FOUND"
    assert (await bench.sample(first.accession_no)).state is SampleState.EXPECTED
    assert await bench.kinds(order) == ["order_placed"]


class TestCollecting:
    async def test_a_label_takes_the_place_of_the_planned_number(self, bench: Bench):
        order, number = await bench.order(), label()
        planned = order.samples[0].accession_no
        drawn = {"accession_no": planned, "label_no": number}
        await bench.do(CommandKind.COLLECT_SAMPLES, order, {"samples": [drawn]}, "phlebotomist")
        sample = (await bench.samples(order))[0]
        assert (sample.accession_no, sample.state) == (number, SampleState.COLLECTED)
        assert sample.collected_by == bench.lab.users["phlebotomist"]
        assert await refused(bench, CommandKind.RECEIVE_SAMPLES, order, {"accession_nos": [planned]}) == (
            "SAMPLE_NOT_FOUND"
        )

    async def test_a_label_in_use(self, bench: Bench):
        used, order = await bench.order(), await bench.order()
        drawn = {"accession_no": order.samples[0].accession_no, "label_no": used.samples[0].accession_no}
        assert await refused(bench, CommandKind.COLLECT_SAMPLES, order, {"samples": [drawn]}) == "LABEL_IN_USE"

    async def test_a_label_with_a_wrong_check_digit(self, bench: Bench):
        order, number = await bench.order(), label()
        wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
        drawn = {"accession_no": order.samples[0].accession_no, "label_no": wrong}
        assert await refused(bench, CommandKind.COLLECT_SAMPLES, order, {"samples": [drawn]}) == "LABEL_INVALID"

    async def test_a_label_that_a_later_tube_would_have_got(self, bench: Bench):
        order = await bench.order()
        number = order.samples[0].accession_no
        next_one = accession_no(lab_day(), int(number[6:11]) + 1)
        drawn = {"accession_no": number, "label_no": next_one}
        await bench.do(CommandKind.COLLECT_SAMPLES, order, {"samples": [drawn]})
        later = await bench.order()
        assert later.samples[0].accession_no != next_one

    async def test_twice(self, bench: Bench):
        order = await bench.order()
        await bench.collect(order)
        samples = [{"accession_no": order.samples[0].accession_no}]
        assert await refused(bench, CommandKind.COLLECT_SAMPLES, order, {"samples": samples}) == "SAMPLE_NOT_EXPECTED"

    @pytest.mark.parametrize(("offset", "code"), [(HOUR, "TIME_IN_FUTURE"), (-HOUR, "TIME_OUT_OF_ORDER")])
    async def test_at_an_impossible_time(self, bench: Bench, offset, code):
        order = await bench.order()
        drawn = {"accession_no": order.samples[0].accession_no, "collected_at": (utc_now() + offset).isoformat()}
        assert await refused(bench, CommandKind.COLLECT_SAMPLES, order, {"samples": [drawn]}) == code

    async def test_a_clock_that_is_a_minute_fast_is_tolerated(self, bench: Bench):
        order, moment = await bench.order(), utc_now() + timedelta(minutes=1)
        drawn = {"accession_no": order.samples[0].accession_no, "collected_at": moment.isoformat()}
        await bench.do(CommandKind.COLLECT_SAMPLES, order, {"samples": [drawn]})
        assert (await bench.samples(order))[0].collected_at == moment

    async def test_a_sample_of_another_order(self, bench: Bench):
        order, other = await bench.order(), await bench.order()
        samples = [{"accession_no": other.samples[0].accession_no}]
        assert await refused(bench, CommandKind.COLLECT_SAMPLES, order, {"samples": samples}) == "SAMPLE_NOT_FOUND"


class TestReceiving:
    async def test_before_it_was_collected(self, bench: Bench):
        order = await bench.order()
        numbers = [order.samples[0].accession_no]
        assert await refused(bench, CommandKind.RECEIVE_SAMPLES, order, {"accession_nos": numbers}) == (
            "SAMPLE_NOT_COLLECTED"
        )

    @pytest.mark.parametrize(("offset", "code"), [(HOUR, "TIME_IN_FUTURE"), (-HOUR, "TIME_OUT_OF_ORDER")])
    async def test_at_an_impossible_time(self, bench: Bench, offset, code):
        order = await bench.order()
        await bench.collect(order)
        payload = {
            "accession_nos": [order.samples[0].accession_no], "received_at": (utc_now() + offset).isoformat(),
        }  # fmt: skip
        assert await refused(bench, CommandKind.RECEIVE_SAMPLES, order, payload) == code

    async def test_one_of_two_tubes(self, bench: Bench):
        order = await bench.order("CREA", "GLU")
        await bench.collect(order)
        payload = {"accession_nos": [order.samples[0].accession_no]}
        progress = await bench.do(CommandKind.RECEIVE_SAMPLES, order, payload)
        assert (progress.stage, progress.samples_received, progress.samples_total) == (OrderStage.COLLECTED, 1, 2)


class TestRejectingASample:
    async def test_a_new_tube_is_planned_and_results_go_out_of_force(self, bench: Bench):
        order = await bench.received()
        await bench.enter(order, CREA="1.1")
        await bench.verify(order)
        number = order.samples[0].accession_no
        payload = {"accession_no": number, "reason_code": "haemolysed"}
        progress = await bench.do(CommandKind.REJECT_SAMPLE, order, payload)
        assert progress.stage is OrderStage.REGISTERED
        assert (progress.samples_total, progress.tests_resulted) == (1, 0)
        old, new = await bench.samples(order)
        assert (old.state, old.reject_reason, old.rejected_by) == (
            SampleState.REJECTED, "haemolysed", bench.lab.users["technician"],
        )  # fmt: skip
        assert (new.state, new.replaces_id, new.container) == (SampleState.EXPECTED, old.id, old.container)
        line = await bench.line(order, "CREA")
        assert (line.state, line.sample_id) == (LineState.ORDERED, new.id)
        assert [result.state for result in await bench.results(order, "CREA")] == [ResultState.SUPERSEDED]

    async def test_the_new_tube_goes_the_whole_way(self, bench: Bench):
        order = await bench.received()
        payload = {"accession_no": order.samples[0].accession_no, "reason_code": "other", "note": "label torn"}
        await bench.do(CommandKind.REJECT_SAMPLE, order, payload)
        new = (await bench.samples(order))[1].accession_no
        await bench.do(CommandKind.COLLECT_SAMPLES, order, {"samples": [{"accession_no": new}]})
        await bench.do(CommandKind.RECEIVE_SAMPLES, order, {"accession_nos": [new]})
        assert (await bench.enter(order, CREA="0.9")).stage is OrderStage.RESULTED

    @pytest.mark.parametrize(
        "payload", [{"reason_code": "bad_mood"}, {"reason_code": "other"}, {"reason_code": "other", "note": "x"}]
    )
    async def test_for_no_reason_on_the_list(self, bench: Bench, payload):
        order = await bench.received()
        payload = {"accession_no": order.samples[0].accession_no, **payload}
        assert await refused(bench, CommandKind.REJECT_SAMPLE, order, payload) == "REASON_UNKNOWN"

    async def test_that_was_never_drawn(self, bench: Bench):
        order = await bench.order()
        payload = {"accession_no": order.samples[0].accession_no, "reason_code": "clotted"}
        assert await refused(bench, CommandKind.REJECT_SAMPLE, order, payload) == "SAMPLE_NOT_IN_HAND"

    async def test_whose_results_a_pathologist_has_signed(self, bench: Bench):
        order = await bench.authorised(CREA="1.0")
        payload = {"accession_no": order.samples[0].accession_no, "reason_code": "clotted"}
        assert await refused(bench, CommandKind.REJECT_SAMPLE, order, payload) == "RESULT_AUTHORISED"


class TestEnteringResults:
    async def test_a_value_is_flagged_and_kept_as_typed(self, bench: Bench):
        order = await bench.received("K")
        payload = {"results": [{"test_code": "K", "value": " 7.1 ", "comment": "no haemolysis"}]}
        await bench.do(CommandKind.ENTER_RESULTS, order, payload)
        (result,) = await bench.results(order, "K")
        assert (result.value_text, str(result.number), result.unit) == ("7.1", "7.1", "mmol/L")
        assert result.is_critical
        assert result.comments == ["no haemolysis"]
        assert result.entered_by == bench.lab.users["technician"]

    async def test_a_corrected_value_supersedes_and_goes_back_to_verification(self, bench: Bench):
        order = await bench.received()
        await bench.enter(order, CREA="11")
        await bench.verify(order)
        assert (await bench.enter(order, CREA="1.1")).stage is OrderStage.RESULTED
        states = [(result.value_text, result.state) for result in await bench.results(order, "CREA")]
        assert states == [("11", ResultState.SUPERSEDED), ("1.1", ResultState.CURRENT)]

    async def test_of_a_test_that_was_not_ordered(self, bench: Bench):
        order = await bench.received()
        payload = {"results": [{"test_code": "UREA", "value": "31"}]}
        assert await refused(bench, CommandKind.ENTER_RESULTS, order, payload) == "TEST_NOT_ORDERED"

    async def test_before_the_sample_is_received(self, bench: Bench):
        order = await bench.order()
        await bench.collect(order)
        payload = {"results": [{"test_code": "CREA", "value": "1.1"}]}
        assert await refused(bench, CommandKind.ENTER_RESULTS, order, payload) == "SAMPLE_NOT_RECEIVED"

    async def test_words_where_a_number_belongs(self, bench: Bench):
        order = await bench.received()
        payload = {"results": [{"test_code": "CREA", "value": "about one"}]}
        assert await refused(bench, CommandKind.ENTER_RESULTS, order, payload) == "RESULT_NOT_NUMERIC"
        assert await bench.results(order, "CREA") == []

    async def test_of_an_authorised_test(self, bench: Bench):
        order = await bench.authorised(CREA="1.0")
        payload = {"results": [{"test_code": "CREA", "value": "2.0"}]}
        assert await refused(bench, CommandKind.ENTER_RESULTS, order, payload) == "RESULT_AUTHORISED"
        assert [result.value_text for result in await bench.results(order, "CREA")] == ["1.0"]

    async def test_of_a_confidential_test(self, bench: Bench):
        order = await bench.received("HIV12")
        await bench.enter(order, HIV12="Non-reactive")
        shown = [event.detail for event in await bench.events(order)]
        assert "reactive" not in str(shown)
        assert "reactive" not in "".join(entry.body for entry in await bench.audited(order.order_no))


class TestVerifying:
    async def test_ones_own_entry(self, bench: Bench):
        order = await bench.received()
        await bench.enter(order, by="technician", CREA="1.1")
        assert await refused(bench, CommandKind.VERIFY_RESULTS, order, {}, by="technician") == "SELF_VERIFICATION"
        await bench.verify(order)

    async def test_medically_ones_own_entry(self, bench: Bench):
        order = await bench.received()
        await bench.enter(order, by="pathologist", CREA="1.1")
        await bench.verify(order)
        assert await refused(bench, CommandKind.AUTHORISE_REPORT, order, {}, by="pathologist") == "SELF_VERIFICATION"

    @pytest.mark.parametrize("kind", [CommandKind.VERIFY_RESULTS, CommandKind.AUTHORISE_REPORT])
    async def test_nothing(self, bench: Bench, kind):
        order = await bench.received()
        assert await refused(bench, kind, order, {}) == "NOT_AWAITING_VERIFICATION"
        payload = {"decisions": [{"test_code": "CREA"}]}
        assert await refused(bench, kind, order, payload) == "NOT_AWAITING_VERIFICATION"

    async def test_medically_before_technically(self, bench: Bench):
        order = await bench.received()
        await bench.enter(order, CREA="1.1")
        assert await refused(bench, CommandKind.AUTHORISE_REPORT, order, {}) == "NOT_AWAITING_VERIFICATION"

    async def test_a_rejection_without_a_reason(self, bench: Bench):
        order = await bench.received()
        await bench.enter(order, CREA="1.1")
        payload = {"decisions": [{"test_code": "CREA", "is_accepted": False}]}
        assert await refused(bench, CommandKind.VERIFY_RESULTS, order, payload, by="pathologist") == "REASON_MISSING"

    async def test_a_rejected_result_is_run_again(self, bench: Bench):
        order = await bench.received("CREA", "UREA")
        await bench.enter(order, CREA="1.1", UREA="900")
        back = {"test_code": "UREA", "is_accepted": False, "reason": "implausible"}
        progress = await bench.verify(order, back, {"test_code": "CREA"})
        assert (progress.stage, progress.tests_resulted) == (OrderStage.RECEIVED, 1)
        assert (await bench.line(order, "UREA")).state is LineState.ORDERED
        await bench.enter(order, UREA="32")
        assert (await bench.verify(order)).stage is OrderStage.VERIFIED

    async def test_sent_back_by_the_pathologist(self, bench: Bench):
        order = await bench.received()
        await bench.enter(order, CREA="1.1")
        await bench.verify(order)
        back = {"test_code": "CREA", "is_accepted": False, "reason": "does not fit the history"}
        assert (await bench.authorise(order, back)).stage is OrderStage.RECEIVED
        await bench.enter(order, CREA="1.4")
        await bench.verify(order)
        assert (await bench.authorise(order)).stage is OrderStage.AUTHORISED


class TestCancelling:
    async def test_closes_samples_and_tests(self, bench: Bench):
        order = await bench.received("CREA", "GLU")
        payload = {"accession_no": order.samples[0].accession_no, "reason_code": "clotted"}
        await bench.do(CommandKind.REJECT_SAMPLE, order, payload)
        progress = await bench.do(CommandKind.CANCEL_ORDER, order, {"reason": "patient left"}, "front_desk")
        assert progress.stage is OrderStage.CANCELLED
        assert sorted(sample.state.value for sample in await bench.samples(order)) == [
            "cancelled", "cancelled", "rejected",
        ]  # fmt: skip
        assert (await bench.line(order, "GLU")).state is LineState.CANCELLED
        for kind, payload in (
            (CommandKind.COLLECT_SAMPLES, {"samples": [{"accession_no": order.samples[1].accession_no}]}),
            (CommandKind.ENTER_RESULTS, {"results": [{"test_code": "GLU", "value": "90"}]}),
            (CommandKind.VERIFY_RESULTS, {}),
            (CommandKind.CANCEL_ORDER, {"reason": "once more"}),
        ):
            await refused(bench, kind, order, payload)

    async def test_twice(self, bench: Bench):
        order = await bench.order()
        await bench.do(CommandKind.CANCEL_ORDER, order, {"reason": "patient left"})
        assert await refused(bench, CommandKind.CANCEL_ORDER, order, {"reason": "again"}) == "ORDER_CANCELLED"


class TestDeciding:
    async def test_a_release_is_noted_with_its_reason(self, bench: Bench):
        order = await bench.authorised(CREA="1.0")
        progress = await bench.do(CommandKind.RELEASE_REPORT, order, {"reason": "surgery tomorrow"}, "billing")
        assert progress.is_release_overridden
        last = (await bench.audited(order.order_no))[-1]
        assert (last.action, "surgery tomorrow" in last.body) == ("report.release_overridden", True)

    async def test_a_decision_about_a_step_is_noted_with_its_answer(self, bench: Bench):
        order = await bench.order()
        payload = {
            "workflow_id": "einvoice:X", "step": "generate_irn", "decision": "answer", "reason": "portal was down",
            "answer": {"irn": "abc"},
        }  # fmt: skip
        await bench.do(CommandKind.RESOLVE_STEP, order, payload, "billing")
        (entry,) = [entry for entry in await bench.audited("einvoice:X") if order.order_no]
        assert entry.body == (
            '{"decision":"answer","irn":"abc","reason":"portal was down","step":"generate_irn",'
            '"workflow_id":"einvoice:X"}'
        )


async def test_twenty_commands_at_once_on_one_branch(bench: Bench):
    """Commands on two orders and new orders meet on the audit chain, the counters and the order rows."""
    first, second = await bench.received("CREA", "GLU"), await bench.received("CREA", "GLU")
    refs = []
    for order in (first, second):
        for value in ("1.0", "1.1", "1.2"):
            results = {"results": [{"test_code": "CREA", "value": value}, {"test_code": "GLU", "value": "90"}]}
            refs.append(await bench.store(CommandKind.ENTER_RESULTS, order, results))
        rejection = {"accession_no": order.samples[1].accession_no, "reason_code": "clotted"}
        refs.append(await bench.store(CommandKind.REJECT_SAMPLE, order, rejection))
        refs.append(await bench.store(CommandKind.RELEASE_REPORT, order, {"reason": "at once"}))
    work = [bench.commands.apply(ref) for ref in refs] + [bench.order("CREA", "GLU") for _ in range(10)]
    outcomes = await asyncio.gather(*work, return_exceptions=True)
    failed = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert all(isinstance(error, ConflictError) for error in failed), failed  # results after their sample was rejected
    for order in (first, second):
        numbers = [event.seq for event in await bench.events(order)]
        assert numbers == list(range(1, len(numbers) + 1))
    placed = [outcome.order_no for outcome in outcomes if hasattr(outcome, "order_no")]
    assert len(set(placed)) == 10


def test_every_kind_of_command_is_applied_somewhere():
    from activities.commands import APPLY

    assert set(APPLY) == set(CommandKind)
