"""From messages to results by variant, unit, replicate and age; and the queue of what found no place."""

import base64
import hashlib
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import text
from sqlmodel import select

from activities.instruments.context import context_of
from activities.instruments.rehearsal import rehearse
from connectors.files import StoredObject
from domain.clock import utc_now
from domain.device_profile import DeviceProfile
from domain.enums import ExceptionKind, ExceptionState, LineState, MappingState, MessageState, ResultState
from domain.errors import RuleError, UnavailableError
from domain.messages import CommandKind
from inbox.dispatcher import Dispatcher
from inbox.pictures import GONE, PictureShelf
from store import exceptions
from store.exceptions import Filter
from store.tables.catalogue import LabTest
from store.tables.devices import ControlResult, DeviceMapping, InstrumentException, InstrumentFile
from store.tables.results import Analyzer, InstrumentMessage
from tests.fixtures.analyzers import Inbox, chemistry
from tests.fixtures.bench import Bench
from tests.integration.inbox.test_instruments import UNKNOWN, barcode


async def map_code(bench: Bench, code: str, *tests: str, **facts) -> None:
    """Confirm what a code of BS-1 means."""
    async with bench.database.transaction() as session:
        device = (await session.exec(select(Analyzer.id).where(Analyzer.code == "BS-1"))).one()
        await session.execute(
            text("update device_mappings set state = 'retired' where analyzer_id = :a and device_code = :c"),
            {"a": device, "c": code},
        )
        for name in tests:
            test = (await session.exec(select(LabTest).where(LabTest.code == name))).one()
            wanted = (DeviceMapping.analyzer_id == device, DeviceMapping.device_code == code)
            query = select(DeviceMapping).where(*wanted, DeviceMapping.test_id == test.id)
            row = (await session.exec(query)).one_or_none()
            row = row or DeviceMapping(analyzer_id=device, device_code=code, test_id=test.id)
            row.state, row.unit, row.factor = MappingState.CONFIRMED, "", None
            for key, value in {"target_unit": test.unit, **facts}.items():
                setattr(row, key, value)
            session.add(row)


async def set_profile(bench: Bench, **facts) -> None:
    async with bench.database.transaction() as session:
        row = (await session.exec(select(Analyzer).where(Analyzer.code == "BS-1"))).one()
        row.profile = {**row.profile, **facts}
        session.add(row)


@pytest.fixture
async def as_before(bench: Bench):
    """Restore BS-1 afterwards."""
    async with bench.database.transaction() as session:
        profile = (await session.exec(select(Analyzer.profile).where(Analyzer.code == "BS-1"))).one()
    yield
    await set_profile(bench, **profile)
    for code in ("GLU", "CREA"):
        await map_code(bench, code, code, unit="mg/dL")


async def queue(bench: Bench, message: InstrumentMessage) -> dict[ExceptionKind, tuple[str, str, ExceptionState]]:
    """Return a message's exceptions by kind; here there is one of each."""
    async with bench.database.transaction() as session:
        query = select(InstrumentException).where(InstrumentException.message_id == message.id)
        rows = (await session.exec(query)).all()
    assert len({row.kind for row in rows}) == len(rows)
    return {row.kind: (row.specimen_id, row.device_code, row.state) for row in rows}


async def values(bench: Bench, order, code: str) -> list[tuple[str, ResultState, str]]:
    return [(one.value_text, one.state, one.hold_reason) for one in await bench.results(order, code)]


class TestVariants:
    @pytest.mark.parametrize("variant", ["GLU", "FBS", "PPBS"])
    async def test_the_variant_that_was_ordered_gets_the_value(self, bench: Bench, inbox: Inbox, as_before, variant):
        await map_code(bench, "GLU", "GLU", "FBS", "PPBS")
        order = await bench.received(variant)
        message = await inbox.take(chemistry(barcode(order), ("GLU", "97"), at=inbox.at()))
        assert message.state is MessageState.MATCHED
        assert await values(bench, order, variant) == [("97", ResultState.CURRENT, "")]

    async def test_two_ordered_variants_on_one_tube_are_for_a_person(self, bench: Bench, inbox: Inbox, as_before):
        await map_code(bench, "GLU", "CREA", "UREA")
        order = await bench.received("CREA", "UREA")
        assert len(order.samples) == 1
        message = await inbox.take(chemistry(barcode(order), ("GLU", "97"), at=inbox.at()))
        assert (message.state, message.reason) == (MessageState.PARTIAL, "GLU may be CREA, UREA")
        assert await queue(bench, message) == {
            ExceptionKind.AMBIGUOUS_CODE: (barcode(order), "GLU", ExceptionState.OPEN)
        }
        assert await bench.results(order, "CREA") == []

    @pytest.mark.parametrize("state", [MappingState.PROPOSED, MappingState.RETIRED])
    async def test_only_confirmed_mappings_are_used(self, bench: Bench, inbox: Inbox, as_before, state):
        await map_code(bench, "CREA", "CREA", state=state)
        order = await bench.received()
        message = await inbox.take(chemistry(barcode(order), ("CREA", "1.1"), at=inbox.at()))
        assert set(await queue(bench, message)) == {ExceptionKind.UNMAPPED_CODE}
        assert await bench.results(order, "CREA") == []


class TestUnits:
    @pytest.mark.parametrize("unit", ["mg/dl", "MG/DL", "mg/dL", "mg / dL", ""])
    async def test_the_same_unit_in_another_spelling_counts(self, bench: Bench, inbox: Inbox, unit):
        order = await bench.received()
        await inbox.take(chemistry(barcode(order), ("CREA", "1.1", unit), at=inbox.at()))
        ((value, state, _),) = await values(bench, order, "CREA")
        assert (value, state) == ("1.1", ResultState.CURRENT)

    @pytest.mark.parametrize(
        ("sent", "kept"),
        [("88.4", ("0.99892", "0.99892")), ("<8", ("<0.0904", "0.0904")), ("> 2000.00", (">22.600000", "22.6"))],
    )
    async def test_a_confirmed_factor_converts_exactly_and_keeps_the_comparator(
        self, bench: Bench, inbox: Inbox, as_before, sent, kept
    ):
        await map_code(bench, "CREA", "CREA", unit="umol/L", factor=Decimal("0.0113"))
        order = await bench.received()
        await inbox.take(chemistry(barcode(order), ("CREA", sent, "µmol/L"), at=inbox.at()))
        (result,) = await bench.results(order, "CREA")
        assert (result.value_text, result.number, result.unit) == (kept[0], Decimal(kept[1]), "mg/dL")
        assert result.state is ResultState.CURRENT

    async def test_a_limit_without_a_factor_passes_unchanged(self, bench: Bench, inbox: Inbox):
        order = await bench.received()
        await inbox.take(chemistry(barcode(order), ("CREA", ">2000.00"), at=inbox.at()))
        (result,) = await bench.results(order, "CREA")
        assert (result.value_text, result.comparator, result.number) == (">2000.00", ">", Decimal("2000.00"))

    async def test_a_device_that_was_switched_to_the_lab_s_unit_is_not_converted(
        self, bench: Bench, inbox: Inbox, as_before
    ):
        await map_code(bench, "CREA", "CREA", unit="umol/L", factor=Decimal("0.0113"))
        order = await bench.received()
        await inbox.take(chemistry(barcode(order), ("CREA", "1.1", "mg/dL"), at=inbox.at()))
        assert await values(bench, order, "CREA") == [("1.1", ResultState.CURRENT, "")]

    @pytest.mark.parametrize("target", ["", "g/L"])
    async def test_a_factor_for_another_unit_of_the_test_is_void(self, bench: Bench, inbox: Inbox, as_before, target):
        await map_code(bench, "CREA", "CREA", unit="umol/L", factor=Decimal("0.0113"), target_unit=target)
        order = await bench.received()
        await inbox.take(chemistry(barcode(order), ("CREA", "88.4", "umol/L"), at=inbox.at()))
        assert await values(bench, order, "CREA") == [("88.4", ResultState.HELD, "unit_mismatch")]

    async def test_another_unit_is_held_compared_with_nothing_and_placed_once_a_factor_is_confirmed(
        self, bench: Bench, inbox: Inbox, as_before
    ):
        order = await bench.received()
        message = await inbox.take(chemistry(barcode(order), ("CREA", "884", "umol/L"), at=inbox.at()))
        (held,) = await bench.results(order, "CREA")
        assert (held.state, held.unit, held.flag, held.is_critical) == (
            ResultState.HELD, "umol/L", "not_applicable", False,
        )  # fmt: skip
        assert (await queue(bench, message))[ExceptionKind.UNIT_MISMATCH][2] is ExceptionState.OPEN
        await map_code(bench, "CREA", "CREA", unit="umol/L", factor=Decimal("0.0113"))
        await inbox.read(message.id)
        assert await values(bench, order, "CREA") == [
            ("884", ResultState.SUPERSEDED, "unit_mismatch"), ("9.9892", ResultState.CURRENT, ""),
        ]  # fmt: skip
        assert (await queue(bench, message))[ExceptionKind.UNIT_MISMATCH][2] is ExceptionState.RESOLVED
        await inbox.read(message.id)
        assert len(await bench.results(order, "CREA")) == 2


class TestMatching:
    async def test_a_tube_that_was_collected_long_ago_is_taken_for_another(self, bench: Bench, inbox: Inbox, as_before):
        order = await bench.received()
        async with bench.database.transaction() as session:
            old = {"at": utc_now() - timedelta(days=8), "id": order.order_id}
            await session.execute(text("update samples set collected_at = :at where order_id = :id"), old)
        await set_profile(bench, specimen_max_age_days=7)
        message = await inbox.take(chemistry(barcode(order), ("CREA", "1.1"), at=inbox.at()))
        assert message.reason == f"{barcode(order)}: collected more than 7 days before"
        await set_profile(bench, specimen_max_age_days=9)
        assert (await inbox.read(message.id)).state is MessageState.MATCHED

    async def test_a_pattern_takes_off_what_the_device_adds(self, bench: Bench, inbox: Inbox, as_before):
        await set_profile(bench, specimen_pattern=r"(\d{12})-\d{2}$")
        order = await bench.order()
        message = await inbox.take(chemistry(f"{barcode(order)}-03", ("CREA", "1.1"), at=inbox.at()))
        assert message.specimen_ids == [f"{barcode(order)}-03", barcode(order)]
        await bench.collect(order)  # and so the tube claims its message
        assert (await inbox.read(message.id)).state is MessageState.MATCHED

    @pytest.mark.parametrize("field", [b"P|1|%s", b"P|1||%s"])
    async def test_a_message_that_names_another_patient_waits_for_a_person(self, bench: Bench, inbox: Inbox, field):
        order = await bench.received()
        raw = chemistry(barcode(order), ("CREA", "1.1"), at=inbox.at())
        other = bench.lab.patients[2].encode()
        message = await inbox.take(raw.replace(b"P|1", field % other))
        assert message.reason == f"{barcode(order)}: the message names another patient"
        assert set(await queue(bench, message)) == {ExceptionKind.UNMATCHED_SPECIMEN}
        assert await bench.results(order, "CREA") == []
        async with bench.database.transaction() as session:
            await exceptions.add_correction(
                session, message_id=message.id, specimen_id=barcode(order), accession_no=barcode(order),
                user_id=bench.lab.users["technician"], reason="wrong worklist on the device",
            )  # fmt: skip
        assert (await inbox.read(message.id)).state is MessageState.MATCHED

    @pytest.mark.parametrize("named", ["own", "12", "BED 4", ""])
    async def test_what_is_no_number_of_a_patient_of_ours_says_nothing(self, bench: Bench, inbox: Inbox, named):
        order = await bench.received()
        raw = chemistry(barcode(order), ("CREA", "1.1"), at=inbox.at())
        text_ = bench.patient if named == "own" else named
        message = await inbox.take(raw.replace(b"P|1", b"P|1||" + text_.encode()))
        assert message.state is MessageState.MATCHED

    async def test_a_control_under_the_number_of_a_tube_is_shown(self, bench: Bench, inbox: Inbox):
        order = await bench.received()
        message = await inbox.take(chemistry(barcode(order), ("CREA", "1.1"), at=inbox.at(), action="Q"))
        assert message.state is MessageState.CONTROL
        assert await bench.results(order, "CREA") == []
        assert await queue(bench, message) == {ExceptionKind.UNUSABLE_VALUE: (barcode(order), "", ExceptionState.OPEN)}


class TestReplicates:
    async def test_the_last_final_value_counts(self, bench: Bench, inbox: Inbox):
        order, moment = await bench.received(), inbox.at()
        await inbox.take(chemistry(barcode(order), ("CREA", "1.1"), ("CREA", "1.3"), at=moment))
        assert await values(bench, order, "CREA") == [
            ("1.1", ResultState.SUPERSEDED, ""), ("1.3", ResultState.CURRENT, ""),
        ]  # fmt: skip

    async def test_where_the_lab_wants_it_differing_replicates_wait(self, bench: Bench, inbox: Inbox, as_before):
        await set_profile(bench, replicates="hold")
        order = await bench.received()
        message = await inbox.take(chemistry(barcode(order), ("CREA", "1.1"), ("CREA", "1.3"), at=inbox.at()))
        assert await values(bench, order, "CREA") == [
            ("1.1", ResultState.HELD, "replicates_differ"), ("1.3", ResultState.HELD, "replicates_differ"),
        ]  # fmt: skip
        assert set(await queue(bench, message)) == {ExceptionKind.UNUSABLE_VALUE}
        same = await bench.received()
        await inbox.take(chemistry(barcode(same), ("CREA", "1.10"), ("CREA", "1.1"), at=inbox.at()))
        assert (await bench.line(same, "CREA")).state is LineState.RESULTED
        later = await inbox.take(chemistry(barcode(same), ("CREA", "2.2"), at=inbox.at()))
        assert set(await queue(bench, later)) == {ExceptionKind.UNUSABLE_VALUE}
        corrected = chemistry(barcode(same), ("CREA", "2.3", "mg/dL", "C"), at=inbox.at())
        await inbox.take(corrected)
        assert (await values(bench, same, "CREA"))[-1] == ("2.3", ResultState.CURRENT, "")

    async def test_a_re_send_is_dropped_and_a_correction_is_a_new_version(self, bench: Bench, inbox: Inbox):
        order, moment = await bench.received(), inbox.at()
        await inbox.take(chemistry(barcode(order), ("CREA", "1.1"), at=moment))
        await inbox.take(chemistry(barcode(order), ("CREA", "1.1", "mg/dL", "R"), at=moment))
        assert len(await bench.results(order, "CREA")) == 1
        await inbox.take(chemistry(barcode(order), ("CREA", "1.2", "mg/dL", "C"), at=moment))
        assert await values(bench, order, "CREA") == [
            ("1.1", ResultState.SUPERSEDED, ""), ("1.2", ResultState.CURRENT, ""),
        ]  # fmt: skip

    async def test_a_pending_rerun_is_held_and_ended_by_the_final_value(self, bench: Bench, inbox: Inbox):
        order = await bench.received()
        message = await inbox.take(chemistry(barcode(order), ("CREA", "1.1", "mg/dL", "P"), at=inbox.at()))
        assert await queue(bench, message) == {}
        await inbox.take(chemistry(barcode(order), ("CREA", "1.4"), at=inbox.at()))
        assert await values(bench, order, "CREA") == [
            ("1.1", ResultState.SUPERSEDED, "preliminary"), ("1.4", ResultState.CURRENT, ""),
        ]  # fmt: skip

    async def test_an_older_value_that_comes_late_waits(self, bench: Bench, inbox: Inbox):
        order, early, late = await bench.received(), inbox.at(), inbox.at()
        await inbox.take(chemistry(barcode(order), ("CREA", "1.4"), at=late))
        message = await inbox.take(chemistry(barcode(order), ("CREA", "1.1"), at=early))
        assert await values(bench, order, "CREA") == [
            ("1.4", ResultState.CURRENT, ""), ("1.1", ResultState.HELD, "older_than_current"),
        ]  # fmt: skip
        assert set(await queue(bench, message)) == {ExceptionKind.UNUSABLE_VALUE}

    async def test_without_times_the_same_value_is_the_same_measurement(self, bench: Bench, inbox: Inbox, as_before):
        await set_profile(bench, time_fields=["R.30"])
        order = await bench.received()
        for value in ("1.1", "1.1", "1.3", "1.1"):
            await inbox.take(chemistry(barcode(order), ("CREA", value), at=inbox.at()))
        assert await values(bench, order, "CREA") == [
            ("1.1", ResultState.SUPERSEDED, ""), ("1.3", ResultState.CURRENT, ""),
            ("1.1", ResultState.HELD, "superseded_before"),
        ]  # fmt: skip


class TestQueue:
    async def test_each_kind_is_a_row_once_and_is_resolved_when_it_is_placed(
        self, bench: Bench, inbox: Inbox, as_before
    ):
        order = await bench.received()
        message = await inbox.take(
            chemistry(barcode(order), ("NEW1", "1"), ("UREA", "30"), ("CREA", "", "mg/dL", "X"), at=inbox.at())
        )
        await inbox.read(message.id)
        found = await queue(bench, message)
        assert {kind: row[1] for kind, row in found.items()} == {
            ExceptionKind.UNMAPPED_CODE: "NEW1", ExceptionKind.NOT_ORDERED: "",
            ExceptionKind.UNUSABLE_VALUE: "CREA",
        }  # fmt: skip
        await map_code(bench, "NEW1", "CREA")
        await inbox.read(message.id)
        found = await queue(bench, message)
        assert found[ExceptionKind.UNMAPPED_CODE][2] is ExceptionState.RESOLVED
        assert found[ExceptionKind.NOT_ORDERED][2] is ExceptionState.OPEN
        assert (await values(bench, order, "CREA"))[-1] == ("1", ResultState.CURRENT, "")

    async def test_a_later_usable_value_resolves_what_waited_for_it(self, bench: Bench, inbox: Inbox):
        order = await bench.received()
        message = await inbox.take(chemistry(barcode(order), ("CREA", "", "mg/dL", "X"), at=inbox.at()))
        await inbox.take(chemistry(barcode(order), ("CREA", "1.1"), at=inbox.at()))
        assert (await queue(bench, message))[ExceptionKind.UNUSABLE_VALUE][2] is ExceptionState.RESOLVED

    async def test_an_unknown_tube_an_unknown_device_and_bytes_that_are_no_message(self, bench: Bench, inbox: Inbox):
        stray = await inbox.take(chemistry(UNKNOWN, ("CREA", "1"), at=inbox.at()))
        assert await queue(bench, stray) == {ExceptionKind.UNMATCHED_SPECIMEN: (UNKNOWN, "", ExceptionState.OPEN)}
        foreign = await inbox.take(chemistry(UNKNOWN, ("CREA", "2"), at=inbox.at()), None)
        assert set(await queue(bench, foreign)) == {ExceptionKind.UNKNOWN_DEVICE}
        noise = await inbox.take(b"\x00 what is this")
        assert set(await queue(bench, noise)) == {ExceptionKind.UNREADABLE}

    async def test_what_was_dismissed_stays_dismissed(self, bench: Bench, inbox: Inbox):
        message = await inbox.take(chemistry(UNKNOWN, ("CREA", "3"), at=inbox.at()))
        branches = list(bench.lab.branches.values())
        async with bench.database.transaction() as session:
            wanted = Filter(specimen=UNKNOWN, state=ExceptionState.OPEN)
            page = await exceptions.exception_page(session, wanted, branches=branches, before=None, limit=1)
            user_id = bench.lab.users["technician"]
            await exceptions.close(session, page[0], ExceptionState.DISMISSED, user_id=user_id, reason="a test tube")
        await inbox.read(message.id)
        assert (await queue(bench, message))[ExceptionKind.UNMATCHED_SPECIMEN][2] is ExceptionState.DISMISSED

    async def test_a_signed_result_and_a_patient_born_after_the_tube(self, bench: Bench, inbox: Inbox):
        signed = await bench.authorised(CREA="1.0")
        message = await inbox.take(chemistry(barcode(signed), ("CREA", "5"), at=inbox.at()))
        assert set(await queue(bench, message)) == {ExceptionKind.ALREADY_CLOSED}
        order = await bench.received(patient=bench.lab.patients[2])
        async with bench.database.transaction() as session:
            born = {"day": utc_now().date() + timedelta(days=9), "no": bench.lab.patients[2]}
            await session.execute(text("update patients set birth_date = :day where patient_no = :no"), born)
        message = await inbox.take(chemistry(barcode(order), ("CREA", "5"), at=inbox.at()))
        assert message.reason == "CREA: AGE_NEGATIVE"

    async def test_a_rehearsal_says_what_a_reading_would_do_and_changes_nothing(
        self, bench: Bench, inbox: Inbox, as_before
    ):
        order = await bench.received()
        message = await inbox.take(chemistry(barcode(order), ("NEW2", "1"), ("UREA", "30"), at=inbox.at()))
        await map_code(bench, "NEW2", "CREA")
        counts = text(
            "select (select count(*) from results), (select count(*) from audit_entries),"
            " (select count(*) from order_events), (select sum(readings) from instrument_messages)"
        )
        async with bench.database.transaction() as session:
            before = (await session.execute(counts)).one()
            found = await rehearse(session, [message.id])
        async with bench.database.transaction() as session:
            assert (await session.execute(counts)).one() == before
        assert (found.messages, found.results) == (1, 1)
        assert (found.placed, found.still_open, found.failed) == ({"unmapped_code": 1}, {"not_ordered": 1}, {})
        assert await bench.results(order, "CREA") == []
        await inbox.read(message.id)
        assert (await values(bench, order, "CREA")) == [("1", ResultState.CURRENT, "")]


class TestOtherSources:
    async def test_a_typed_value_is_not_displaced_in_silence(self, bench: Bench, inbox: Inbox):
        order = await bench.received()
        await bench.enter(order, CREA="1.0")
        message = await inbox.take(chemistry(barcode(order), ("CREA", "7.0"), at=inbox.at()))
        assert await values(bench, order, "CREA") == [
            ("1.0", ResultState.CURRENT, ""), ("7.0", ResultState.HELD, "other_source_differs"),
        ]  # fmt: skip
        assert set(await queue(bench, message)) == {ExceptionKind.UNUSABLE_VALUE}
        await bench.do(CommandKind.DECIDE_HELD, order, {"decisions": [{"test_code": "CREA", "version": 2}]})
        assert [state for _, state, _ in await values(bench, order, "CREA")] == [
            ResultState.SUPERSEDED, ResultState.CURRENT,
        ]  # fmt: skip

    async def test_the_same_value_from_a_device_confirms_it(self, bench: Bench, inbox: Inbox):
        order = await bench.received()
        await bench.enter(order, CREA="1.0")
        message = await inbox.take(chemistry(barcode(order), ("CREA", "1.00"), at=inbox.at()))
        assert await queue(bench, message) == {}
        assert (await values(bench, order, "CREA"))[-1] == ("1.00", ResultState.CURRENT, "")


class TestSameBytesAgain:
    async def test_of_a_rerun_they_wait_for_a_person_where_the_device_sends_no_time(
        self, bench: Bench, inbox: Inbox, as_before
    ):
        await set_profile(bench, time_fields=["R.30"])
        order = await bench.received()
        raw = chemistry(barcode(order), ("CREA", "1.1"))
        await inbox.take(raw)
        again = {"accession_no": barcode(order), "test_codes": ["CREA"], "reason": "delta"}
        await bench.do(CommandKind.RERUN_TESTS, order, again)
        message = await inbox.take(raw)
        assert await values(bench, order, "CREA") == [
            ("1.1", ResultState.SUPERSEDED, ""), ("1.1", ResultState.HELD, "superseded_before"),
        ]  # fmt: skip
        assert set(await queue(bench, message)) == {ExceptionKind.UNUSABLE_VALUE}
        assert (await inbox.take(raw)).state is MessageState.DUPLICATE
        assert len(await values(bench, order, "CREA")) == 2

    async def test_with_a_time_they_are_a_repeated_transmission_also_then(self, bench: Bench, inbox: Inbox):
        order = await bench.received()
        raw = chemistry(barcode(order), ("CREA", "1.1"), at=inbox.at())
        first = await inbox.take(raw)
        again = {"accession_no": barcode(order), "test_codes": ["CREA"], "reason": "delta"}
        await bench.do(CommandKind.RERUN_TESTS, order, again)
        message = await inbox.take(raw)
        assert (message.state, message.duplicate_of) == (MessageState.DUPLICATE, first.id)
        assert await queue(bench, message) == {}


class TestNotOrdered:
    async def exceptions_of(self, bench: Bench, message: InstrumentMessage) -> list[InstrumentException]:
        async with bench.database.transaction() as session:
            query = select(InstrumentException).where(InstrumentException.message_id == message.id)
            return list((await session.exec(query.order_by(InstrumentException.id))).all())

    async def found_by(self, bench: Bench, code: str, message: InstrumentMessage) -> bool:
        async with bench.database.transaction() as session:
            branches = list(bench.lab.branches.values())
            wanted = Filter(ExceptionState.OPEN, ExceptionKind.NOT_ORDERED, "BS-1", code=code)
            return message.id in await exceptions.messages_with(session, wanted, branches=branches, limit=500)

    async def test_a_message_has_one_exception_per_specimen_that_lists_the_codes(
        self, bench: Bench, inbox: Inbox, as_before
    ):
        for number in range(24):
            await map_code(bench, f"P{number}", "UREA", unit="mg/dL")
        first, second = await bench.received(), await bench.received()
        rows = [(f"P{number}", "1") for number in range(24)]
        raw = chemistry(
            "", at=inbox.at(), specimens={barcode(first): [("CREA", "1.1"), *rows], barcode(second): rows[:2]}
        )
        message = await inbox.take(raw)
        found = await self.exceptions_of(bench, message)
        assert [(one.kind, one.specimen_id, one.device_code, one.codes) for one in found] == [
            (ExceptionKind.NOT_ORDERED, barcode(first), "", [f"P{number}" for number in range(24)]),
            (ExceptionKind.NOT_ORDERED, barcode(second), "", ["P0", "P1"]),
        ]
        assert found[1].detail == "not ordered on this tube: P0, P1"
        assert await self.found_by(bench, "P23", message)
        assert not await self.found_by(bench, "P24", message)
        async with bench.database.transaction() as session:
            row = await exceptions.exception_of(session, found[1].id, list(bench.lab.branches.values()))
            profile = (await session.exec(select(Analyzer.profile).where(Analyzer.code == "BS-1"))).one()
        context = context_of(row, message.raw, DeviceProfile.model_validate({"protocol": "astm", **profile}))
        assert [one.code for one in context.rows] == ["P0", "P1"]

    async def test_codes_that_the_lab_never_orders_are_ignored_and_placed_where_they_were_ordered(
        self, bench: Bench, inbox: Inbox, as_before
    ):
        await set_profile(bench, ignored_codes=["UREA", "P-LCR"])
        order = await bench.received()
        rows = (("CREA", "1.1"), ("UREA", "30"), ("P-LCR", "22"))
        message = await inbox.take(chemistry(barcode(order), *rows, at=inbox.at()))
        assert (message.state, message.reason) == (MessageState.MATCHED, "")
        assert await self.exceptions_of(bench, message) == []
        assert message.raw.count(b"P-LCR") > 0, "the value stays in the message"
        both = await bench.received("CREA", "UREA")
        await inbox.take(chemistry(barcode(both), *rows, at=inbox.at()))
        assert await values(bench, both, "UREA") == [("30", ResultState.CURRENT, "")]

    async def test_ignoring_a_code_resolves_what_waits_once_it_is_read_again(
        self, bench: Bench, inbox: Inbox, as_before
    ):
        order = await bench.received()
        message = await inbox.take(chemistry(barcode(order), ("CREA", "1"), ("UREA", "3"), ("X1", "2"), at=inbox.at()))
        assert set(await queue(bench, message)) == {ExceptionKind.NOT_ORDERED, ExceptionKind.UNMAPPED_CODE}
        await set_profile(bench, ignored_codes=["UREA", "X1"])
        async with bench.database.transaction() as session:
            found = await rehearse(session, [message.id])
        assert (found.placed, found.still_open) == ({"not_ordered": 1, "unmapped_code": 1}, {})
        assert (await inbox.read(message.id)).state is MessageState.MATCHED
        assert {state for _, _, state in (await queue(bench, message)).values()} == {ExceptionState.RESOLVED}

    async def test_what_was_dismissed_opens_again_for_a_code_that_was_not_in_it(
        self, bench: Bench, inbox: Inbox, as_before
    ):
        order = await bench.received()
        message = await inbox.take(chemistry(barcode(order), ("UREA", "30"), ("X2", "1"), at=inbox.at()))
        found = {one.kind: one for one in await self.exceptions_of(bench, message)}
        spare = found[ExceptionKind.NOT_ORDERED]
        async with bench.database.transaction() as session:
            row = await exceptions.exception_of(session, spare.id, list(bench.lab.branches.values()))
            user_id = bench.lab.users["technician"]
            await exceptions.close(session, row, ExceptionState.DISMISSED, user_id=user_id, reason="not asked for")
        await inbox.read(message.id)
        assert (await queue(bench, message))[ExceptionKind.NOT_ORDERED][2] is ExceptionState.DISMISSED
        await map_code(bench, "X2", "UREA")
        await inbox.read(message.id)
        (again,) = [one for one in await self.exceptions_of(bench, message) if one.id == spare.id]
        assert (again.state, again.codes, again.closed_by) == (ExceptionState.OPEN, ["UREA", "X2"], None)


class TestHeld:
    async def held(self, bench: Bench, inbox: Inbox, status: str = "?"):
        order = await bench.received()
        message = await inbox.take(chemistry(barcode(order), ("CREA", "1.1", "mg/dL", status), at=inbox.at()))
        return order, message

    async def test_an_accepted_value_counts_and_is_verified_by_somebody_else(self, bench: Bench, inbox: Inbox):
        order, message = await self.held(bench, inbox)
        payload = {"decisions": [{"test_code": "CREA", "version": 1}]}
        await bench.do(CommandKind.DECIDE_HELD, order, payload)
        assert (await values(bench, order, "CREA"))[0][:2] == ("1.1", ResultState.CURRENT)
        assert (await bench.line(order, "CREA")).state is LineState.RESULTED
        assert (await queue(bench, message))[ExceptionKind.UNUSABLE_VALUE][2] is ExceptionState.RESOLVED
        with pytest.raises(RuleError) as caught:
            await bench.verify(order, by="technician")
        assert caught.value.code == "SELF_VERIFICATION"
        await bench.verify(order)
        await inbox.read(message.id)
        assert len(await bench.results(order, "CREA")) == 1
        assert "results.held_decided" in [entry.action for entry in await bench.audited(order.order_no)]

    async def test_a_rejected_value_is_out_with_a_reason(self, bench: Bench, inbox: Inbox):
        order, message = await self.held(bench, inbox)
        decision = {"test_code": "CREA", "version": 1, "is_accepted": False}
        with pytest.raises(RuleError):
            await bench.do(CommandKind.DECIDE_HELD, order, {"decisions": [decision]})
        await bench.do(CommandKind.DECIDE_HELD, order, {"decisions": [{**decision, "reason": "clot in the probe"}]})
        assert (await values(bench, order, "CREA"))[0][:2] == ("1.1", ResultState.SUPERSEDED)
        await inbox.read(message.id)
        assert (await queue(bench, message))[ExceptionKind.UNUSABLE_VALUE][2] is ExceptionState.RESOLVED

    @pytest.mark.parametrize(
        ("row", "decision", "code"),
        [
            (("CREA", "1.1", "mg/dL", "X"), {}, "HELD_NOT_USABLE"),
            (("CREA", "1.1", "umol/L", "F"), {}, "HELD_NOT_USABLE"),
            (("CREA", "lots", "mg/dL", "?"), {}, "HELD_NOT_USABLE"),
            (("CREA", "1.1", "mg/dL", "F"), {}, "RESULT_NOT_HELD"),
            (("CREA", "1.1", "mg/dL", "?"), {"version": 7}, "RESULT_UNKNOWN"),
            (("CREA", "1.1", "mg/dL", "?"), {"test_code": "UREA"}, "TEST_NOT_ORDERED"),
        ],
    )
    async def test_what_cannot_be_accepted(self, bench: Bench, inbox: Inbox, row, decision, code):
        order = await bench.received()
        await inbox.take(chemistry(barcode(order), row, at=inbox.at()))
        payload = {"decisions": [{"test_code": "CREA", "version": 1, **decision}]}
        with pytest.raises(RuleError) as caught:
            await bench.do(CommandKind.DECIDE_HELD, order, payload)
        assert caught.value.code == code


async def test_control_values_are_kept_once_and_apart(bench: Bench, inbox: Inbox):
    moment = inbox.at()
    for extra in ((), (("UREA", "40"),)):
        rows = [("CREA", "1.21"), ("NOBODYS", "??", "x"), *extra]
        message = await inbox.take(chemistry("QC-CHEM-H", *rows, at=moment))
        assert message.state is MessageState.CONTROL
        assert await queue(bench, message) == {}
    async with bench.database.transaction() as session:
        query = select(ControlResult).where(ControlResult.control_name == "QC-CHEM-H")
        rows = (await session.exec(query.order_by(ControlResult.device_code))).all()
    assert [(row.device_code, row.number, row.test_id is None) for row in rows] == [
        ("CREA", Decimal("1.21"), False), ("NOBODYS", None, True), ("UREA", Decimal(40), False),
    ]  # fmt: skip


class Shelf:
    """Object storage in memory that may be away."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, str]] = {}
        self.is_away = False

    def put(self, key: str, data: bytes, content_type: str) -> StoredObject:
        if self.is_away:
            raise UnavailableError("away", connector="files")
        self.objects[key] = (data, content_type)
        return StoredObject("labsetu", key, "v1", hashlib.sha256(data).hexdigest(), len(data))


class TestFiles:
    PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(100))
    RULES = ({"field": "R.3.1", "pattern": "IMG"},)

    async def message(self, bench: Bench, inbox: Inbox):
        await set_profile(bench, image_rows=self.RULES, skip_rows=self.RULES)
        order = await bench.received()
        picture = ("IMG1", base64.b64encode(self.PNG).decode())
        message = await inbox.take(chemistry(barcode(order), ("CREA", "1.1"), picture, at=inbox.at()))
        await inbox.read(message.id)
        async with bench.database.transaction() as session:
            query = select(InstrumentFile).where(InstrumentFile.message_id == message.id)
            return order, message, (await session.exec(query)).one()

    async def stored(self, bench: Bench, file_id) -> InstrumentFile:
        async with bench.database.transaction() as session:
            return await session.get_one(InstrumentFile, file_id)

    async def test_an_image_is_noted_with_its_message_and_brought_to_the_store_when_that_is_there(
        self, bench: Bench, inbox: Inbox, as_before
    ):
        order, message, row = await self.message(bench, inbox)
        assert message.state is MessageState.MATCHED
        assert (row.media_type, row.size_bytes, row.specimen_id, row.code, row.object_key) == (
            "image/png", len(self.PNG), barcode(order), "IMG1", "",
        )  # fmt: skip
        shelf = Shelf()
        shelf.is_away = True
        # no gateway is needed for what this lane does
        worker = Dispatcher(bench.database, None, "", {}, rest=timedelta(0), files=shelf)
        assert await worker._bring_file(row.id) is False
        shelf.is_away = False
        assert row.id in await worker._missing_files()
        assert await worker._bring_file(row.id) is True
        stored = await self.stored(bench, row.id)
        assert shelf.objects == {stored.object_key: (self.PNG, "image/png")}
        assert stored.bucket == "labsetu"
        assert row.id not in await worker._missing_files()

    async def test_an_image_that_a_changed_profile_does_not_see_any_more_is_given_up(
        self, bench: Bench, inbox: Inbox, as_before
    ):
        _, _, row = await self.message(bench, inbox)
        await set_profile(bench, image_rows=[{"field": "R.3.1", "pattern": "OTHER"}])
        assert await PictureShelf(bench.database, Shelf()).bring(row.id) is True
        assert (await self.stored(bench, row.id)).bucket == GONE
        assert await PictureShelf(bench.database, None).missing(()) == []
