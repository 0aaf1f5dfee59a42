"""What becomes of an analyzer's message: results of ordered tests, or a reason why a person must look."""

import asyncio

import pytest
from sqlalchemy import text
from sqlmodel import select

from activities.resulting import Measurement, TestLine, intervals_of, record_result
from domain.accession import accession_no
from domain.clock import lab_day, utc_now
from domain.enums import LineState, MessageState, OrderStage, ResultSource, ResultState
from domain.errors import ConflictError, MessageError
from domain.messages import CommandKind
from inbox.instruments import read
from store import instrument_messages
from store.tables.catalogue import LabTest
from store.tables.devices import DeviceMapping
from store.tables.exchange import AuditEntry
from store.tables.orders import OrderLine, Sample
from store.tables.patients import Patient
from store.tables.results import Analyzer
from tests.fixtures.analyzers import Inbox, chemistry, simulated_chemistry, simulated_haematology
from tests.fixtures.bench import Bench

UNKNOWN = accession_no(lab_day(), 99_991)


def barcode(order) -> str:
    return order.samples[0].accession_no


async def second_device(bench: Bench) -> None:
    """Add BS-9: a chemistry analyzer like BS-1, in the same branch."""
    async with bench.database.transaction() as session:
        first = (await session.exec(select(Analyzer).where(Analyzer.code == "BS-1"))).one()
        twin = Analyzer(**{**first.model_dump(exclude={"id", "created_at"}), "code": "BS-9", "peers": []})
        session.add(twin)
        await session.flush()
        mappings = await session.exec(select(DeviceMapping).where(DeviceMapping.analyzer_id == first.id))
        for mapping in mappings.all():
            session.add(DeviceMapping(**{**mapping.model_dump(exclude={"id"}), "analyzer_id": twin.id}))


async def test_a_simulated_chemistry_run_becomes_results(bench: Bench, inbox: Inbox):
    order = await bench.received("CREA", "UREA")
    message = await inbox.take(simulated_chemistry(barcode(order), {"CREA": "1.140000", "UREA": "31.000000"}))
    assert (message.state, message.reason, message.specimen_ids) == (MessageState.MATCHED, "", [barcode(order)])
    (result,) = await bench.results(order, "CREA")
    assert (result.value_text, result.state, result.source) == (
        "1.140000", ResultState.CURRENT, ResultSource.ANALYZER,
    )  # fmt: skip
    assert (result.message_id, result.sample_id) == (message.id, (await bench.samples(order))[0].id)
    assert (await bench.line(order, "UREA")).state is LineState.RESULTED
    assert await inbox.signalled(message.id) == [order.order_id]
    (event,) = [event for event in await bench.events(order) if event.kind == "results_received"]
    assert (event.actor, event.detail["tests"]) == ("BS-1", ["CREA", "UREA"])
    async with inbox.database.transaction() as session:
        query = select(AuditEntry.actor, AuditEntry.body).where(
            AuditEntry.object_id == order.order_no, AuditEntry.action == "results.received"
        )
        ((actor, body),) = (await session.exec(query)).all()
    assert actor == "analyzer:BS-1"
    assert str(message.id) in body


async def test_a_simulated_haematology_run_becomes_results(bench: Bench, inbox: Inbox):
    order = await bench.received("CBC")
    raw = simulated_haematology(barcode(order), {"HGB": "5.9", "WBC": "7.10", "PLT": "212"})
    message = await inbox.take(raw, "BC-1", protocol="hl7")
    assert message.state is MessageState.MATCHED
    (result,) = await bench.results(order, "HGB")
    assert (result.value_text, result.is_critical) == ("5.9", True)
    assert any("Anemia" in comment for comment in result.comments)


async def test_values_that_nobody_ordered_are_left_out(bench: Bench, inbox: Inbox):
    order = await bench.received()
    message = await inbox.take(chemistry(barcode(order), ("CREA", "1.1"), ("UREA", "31")))
    assert (message.state, message.reason) == (MessageState.MATCHED, "not ordered: UREA")
    assert len(await bench.results(order, "CREA")) == 1


async def test_a_message_waits_for_its_barcode(bench: Bench, inbox: Inbox):
    order = await bench.order()
    message = await inbox.take(chemistry(barcode(order), ("CREA", "1.1")))
    assert message.state is MessageState.UNMATCHED
    assert message.reason == f"{barcode(order)}: sample is expected, order is registered"
    assert await bench.results(order, "CREA") == []
    await bench.collect(order)
    assert (await inbox.message(message.id)).state is MessageState.RECEIVED
    assert (await inbox.read(message.id)).state is MessageState.MATCHED
    assert len(await bench.results(order, "CREA")) == 1
    assert await inbox.signalled(message.id) == [order.order_id]


async def test_a_message_waits_for_a_label_that_is_on_no_tube_yet(bench: Bench, inbox: Inbox):
    label = accession_no(lab_day(), 80_001)
    message = await inbox.take(chemistry(label, ("CREA", "1.1")))
    assert message.reason == f"{label}: no sample with this number"
    order = await bench.order()
    drawn = {"accession_no": barcode(order), "label_no": label}
    await bench.do(CommandKind.COLLECT_SAMPLES, order, {"samples": [drawn]})
    assert (await inbox.read(message.id)).state is MessageState.MATCHED


@pytest.mark.parametrize("with_label", [False, True], ids=["planned number", "pre-printed label"])
async def test_a_message_that_is_read_while_its_tube_is_collected_is_claimed(bench: Bench, inbox: Inbox, with_label):
    """The collection is not committed when the message is read, and the message not when the waiting are sought."""
    order = await bench.order()
    label = accession_no(lab_day(), 80_100) if with_label else barcode(order)
    message_id = await inbox.keep(chemistry(label, ("CREA", "1.1")))
    drawn = {"accession_no": barcode(order), "label_no": label}
    reading = None
    async with bench.database.transaction() as session:
        from activities.people import Actor
        from activities.staff import samples
        from activities.staff.context import CommandContext
        from domain.messages import CollectSamples
        from store.progress import order_facts

        facts = await order_facts(session, order.order_no, for_update=True)
        actor = Actor(bench.lab.users["phlebotomist"], "phlebotomist")
        context = CommandContext(session, facts, actor, message_id)
        await samples.collect(context, CollectSamples.model_validate({"samples": [drawn]}))
        reading = asyncio.ensure_future(inbox.read(message_id))
        await asyncio.sleep(0.3)  # it waits for the lock, or has read what is not true any more
    await reading
    row = await inbox.message(message_id)
    if row.state is MessageState.RECEIVED:
        row = await inbox.read(message_id)
    assert row.state is MessageState.MATCHED


async def test_the_same_bytes_again_are_a_duplicate(bench: Bench, inbox: Inbox):
    order = await bench.received()
    raw = chemistry(barcode(order), ("CREA", "1.1"))
    first, second, third = await inbox.take(raw), await inbox.take(raw), await inbox.take(raw)
    assert (second.state, second.duplicate_of) == (MessageState.DUPLICATE, first.id)
    assert (third.state, third.duplicate_of) == (MessageState.DUPLICATE, first.id)
    assert len(await bench.results(order, "CREA")) == 1


async def test_the_same_bytes_from_another_device_are_no_duplicate(bench: Bench, inbox: Inbox):
    order = await bench.received()
    raw = chemistry(barcode(order), ("CREA", "1.1"))
    await inbox.take(raw)
    await second_device(bench)
    assert (await inbox.take(raw, "BS-9")).state is MessageState.MATCHED


async def test_a_device_of_another_branch_measures_no_tube_of_this_one(bench: Bench, inbox: Inbox):
    order = await bench.received()
    message = await inbox.take(chemistry(barcode(order), ("CREA", "1.1")), "BS-2")
    assert (message.state, message.reason) == (
        MessageState.UNMATCHED, f"{barcode(order)}: the order belongs to another branch",
    )  # fmt: skip
    assert await bench.results(order, "CREA") == []


async def test_bytes_that_were_cut_off_before_are_no_duplicate(bench: Bench, inbox: Inbox):
    """HL7 over MLLP: only the end mark was lost, so both messages have the same bytes."""
    order = await bench.received("CBC")
    raw = simulated_haematology(barcode(order), {"HGB": "11.9"})
    broken = await inbox.take(raw, "BC-1", protocol="hl7", framing_error="MLLP_END_MISSING")
    assert (broken.state, broken.reason) == (MessageState.UNREADABLE, "MLLP_END_MISSING")
    assert (await inbox.take(raw, "BC-1", protocol="hl7")).state is MessageState.MATCHED


async def test_a_message_sent_again_with_other_line_ends_is_a_duplicate(bench: Bench, inbox: Inbox):
    order = await bench.received("CBC")
    raw = simulated_haematology(barcode(order), {"HGB": "11.9"})
    first = await inbox.take(raw, "BC-1", protocol="hl7")
    forms = (raw.rstrip(b"\r"), raw.replace(b"\r", b"\r\n"), raw.replace(b"\r", b"\n"))
    for form in forms:
        again = await inbox.take(form, "BC-1", protocol="hl7")
        assert (again.state, again.duplicate_of) == (MessageState.DUPLICATE, first.id)
    assert len(await bench.results(order, "HGB")) == 1


async def test_a_control_id_used_again_with_other_content_is_a_new_message(bench: Bench, inbox: Inbox):
    """Devices begin at 1 again with every power-up, or never count at all."""
    order = await bench.received("CBC")
    raw = simulated_haematology(barcode(order), {"HGB": "11.9"})
    header = raw.split(b"\r", 1)[0]
    await inbox.take(raw, "BC-1", protocol="hl7")
    other = header + b"\r" + simulated_haematology(barcode(order), {"HGB": "12.4"}).split(b"\r", 1)[1]
    assert (await inbox.take(other, "BC-1", protocol="hl7")).state is MessageState.MATCHED
    assert [result.value_text for result in await bench.results(order, "HGB")] == ["11.9", "12.4"]


async def test_a_message_written_anew_with_another_time_brings_nothing_twice(bench: Bench, inbox: Inbox):
    order = await bench.received("CBC")
    raw = simulated_haematology(barcode(order), {"HGB": "11.9"})
    fields = raw.split(b"|")
    await inbox.take(raw, "BC-1", protocol="hl7")
    later = b"|".join([*fields[:6], b"20991231235959", *fields[7:]])
    assert (await inbox.take(later, "BC-1", protocol="hl7")).state is MessageState.MATCHED
    assert [result.value_text for result in await bench.results(order, "HGB")] == ["11.9"]


async def test_a_message_that_is_read_again_on_purpose_is_not_its_own_duplicate(bench: Bench, inbox: Inbox):
    order = await bench.received()
    raw = chemistry(barcode(order), ("CREA", "1.1"), ("NEW", "3"))
    first = await inbox.take(raw)
    assert (first.state, first.reason) == (MessageState.PARTIAL, "unmapped code NEW")
    again = await inbox.take(raw)
    assert again.state is MessageState.DUPLICATE
    async with bench.database.transaction() as session:
        listed = await instrument_messages.message_of(session, first.id, list(bench.lab.branches.values()))
        await instrument_messages.reopen(session, listed)
    reread = await inbox.read(first.id)
    assert (reread.state, reread.readings) == (MessageState.PARTIAL, 2)
    assert len(await bench.results(order, "CREA")) == 1


async def test_the_same_measurement_in_another_message_is_written_once(bench: Bench, inbox: Inbox):
    order, moment = await bench.received("CREA", "UREA"), inbox.at()
    await inbox.take(chemistry(barcode(order), ("CREA", "1.1"), at=moment))
    batch = await inbox.take(chemistry(barcode(order), ("CREA", "1.1"), ("UREA", "30"), at=moment))
    assert batch.state is MessageState.MATCHED
    assert len(await bench.results(order, "CREA")) == 1
    assert len(await bench.results(order, "UREA")) == 1


async def test_another_value_supersedes_and_goes_back_to_verification(bench: Bench, inbox: Inbox):
    order = await bench.received()
    await inbox.take(chemistry(barcode(order), ("CREA", "9.9"), at=inbox.at()))
    await bench.verify(order)
    await inbox.take(chemistry(barcode(order), ("CREA", "1.1"), at=inbox.at()))
    assert [(result.value_text, result.state) for result in await bench.results(order, "CREA")] == [
        ("9.9", ResultState.SUPERSEDED), ("1.1", ResultState.CURRENT),
    ]  # fmt: skip
    assert (await bench.line(order, "CREA")).state is LineState.RESULTED


async def test_a_signed_result_stands_and_a_person_is_told(bench: Bench, inbox: Inbox):
    order, moment = await bench.received(), inbox.at()
    raw = chemistry(barcode(order), ("CREA", "1.1"), at=moment)
    await inbox.take(raw)
    await bench.verify(order)
    await bench.authorise(order)
    message = await inbox.take(chemistry(barcode(order), ("CREA", "7.7"), at=inbox.at()))
    assert (message.state, message.reason) == (MessageState.PARTIAL, "CREA is already authorised")
    assert [result.value_text for result in await bench.results(order, "CREA")] == ["1.1"]
    assert (await bench.line(order, "CREA")).state is LineState.AUTHORISED
    repeated = await inbox.take(chemistry(barcode(order), ("CREA", "1.1"), ("UREA", "30"), at=moment))
    assert (repeated.state, repeated.reason) == (MessageState.MATCHED, "not ordered: UREA")


async def test_a_signed_result_is_overwritten_by_nobody(bench: Bench):
    order = await bench.authorised(CREA="1.0")
    measured = Measurement(
        value="5", unit="mg/dL", source=ResultSource.ANALYZER, dedupe_key="straight in", observed_at=utc_now()
    )
    async with bench.database.transaction() as session:
        query = select(OrderLine, LabTest, Sample).join(LabTest, LabTest.id == OrderLine.test_id)
        query = query.join(Sample, Sample.id == OrderLine.sample_id).where(OrderLine.order_id == order.order_id)
        line, test, sample = (await session.exec(query)).one()
        patient = (await session.exec(select(Patient).where(Patient.patient_no == bench.patient))).one()
        target = TestLine(line, test, sample, patient, await intervals_of(session, test.id))
        with pytest.raises(ConflictError):
            await record_result(session, target, measured)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (("CREA", "100", "umol/L"), "unit_mismatch"),
        (("CREA", "1.1", "mg/dL", "P"), "preliminary"),
        (("CREA", "1.1", "mg/dL", "X"), "not_measured"),
        (("CREA", "1.1", "mg/dL", "?"), "unknown_status"),
        (("CREA", "", "mg/dL", "F"), "not_measured"),
        (("CREA", "overflow", "mg/dL", "F"), "not_a_number"),
        (("CREA", "1.\x001", "mg/dL", "F"), "not_a_number"),
        (("CREA", "9" * 5000, "mg/dL", "F"), "too_long"),
    ],
)
async def test_what_may_not_count_is_held(bench: Bench, inbox: Inbox, row, reason):
    order = await bench.received("CREA", "UREA")
    message = await inbox.take(chemistry(barcode(order), row, ("UREA", "30"), at=inbox.at()))
    assert message.state is MessageState.MATCHED
    assert (await bench.line(order, "UREA")).state is LineState.RESULTED
    (result,) = await bench.results(order, "CREA")
    assert (result.state, result.hold_reason) == (ResultState.HELD, reason)
    assert (await bench.line(order, "CREA")).state is LineState.ORDERED
    assert (await bench.enter(order, CREA="1.2")).stage is OrderStage.RESULTED


async def test_a_held_value_leaves_the_one_in_force(bench: Bench, inbox: Inbox):
    order = await bench.received()
    await inbox.take(chemistry(barcode(order), ("CREA", "1.1"), at=inbox.at()))
    await bench.verify(order)
    await inbox.take(chemistry(barcode(order), ("CREA", "", "mg/dL", "X"), at=inbox.at()))
    assert [result.state for result in await bench.results(order, "CREA")] == [ResultState.CURRENT, ResultState.HELD]
    assert (await bench.line(order, "CREA")).state is LineState.VERIFIED


async def test_controls_are_no_patients(bench: Bench, inbox: Inbox):
    order = await bench.received()
    for name, action in ((barcode(order), "Q"), ("QC-CHEM-L", "")):
        message = await inbox.take(chemistry(name, ("CREA", "1.1"), action=action, at=inbox.at()))
        assert message.state is MessageState.CONTROL
    assert await bench.results(order, "CREA") == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("0005", "0005: not an accession number"),
        ("", "no barcode: not an accession number"),
        ("26\x00", "26?: not an accession number"),
        (UNKNOWN, f"{UNKNOWN}: no sample with this number"),
        (UNKNOWN[:-1] + str((int(UNKNOWN[-1]) + 1) % 10), "not an accession number"),
    ],
)
async def test_a_tube_that_nobody_knows(inbox: Inbox, name, reason):
    message = await inbox.take(chemistry(name, ("CREA", "1.1"), at=inbox.at()))
    assert message.state is MessageState.UNMATCHED
    assert reason in message.reason


async def test_one_known_tube_of_two(bench: Bench, inbox: Inbox):
    order = await bench.received()
    rows = [("CREA", "1.1")]
    message = await inbox.take(chemistry("", specimens={barcode(order): rows, UNKNOWN: rows}))
    assert message.state is MessageState.PARTIAL
    assert len(await bench.results(order, "CREA")) == 1


async def test_tubes_of_two_orders_in_one_message(bench: Bench, inbox: Inbox):
    orders = await bench.received(), await bench.received()
    message = await inbox.take(chemistry("", specimens={barcode(order): [("CREA", "1.1")] for order in orders}))
    assert message.state is MessageState.MATCHED
    assert set(await inbox.signalled(message.id)) == {order.order_id for order in orders}


async def test_a_rejected_tube(bench: Bench, inbox: Inbox):
    order = await bench.received()
    payload = {"accession_no": barcode(order), "reason_code": "haemolysed"}
    await bench.do(CommandKind.REJECT_SAMPLE, order, payload)
    message = await inbox.take(chemistry(barcode(order), ("CREA", "1.1")))
    assert message.state is MessageState.UNMATCHED
    assert "sample is rejected" in message.reason
    assert await bench.results(order, "CREA") == []


async def test_a_tube_of_a_cancelled_order(bench: Bench, inbox: Inbox):
    order = await bench.received()
    await bench.do(CommandKind.CANCEL_ORDER, order, {"reason": "patient left"})
    message = await inbox.take(chemistry(barcode(order), ("CREA", "1.1")))
    assert (message.state, "cancelled" in message.reason) == (MessageState.UNMATCHED, True)


async def test_a_tube_of_a_closed_order(bench: Bench, inbox: Inbox):
    order = await bench.received()
    async with bench.database.transaction() as session:
        await session.execute(text("update orders set closed_at = now() where id = :id"), {"id": order.order_id})
    assert (await inbox.take(chemistry(barcode(order), ("CREA", "1.1")))).state is MessageState.UNMATCHED


async def test_bytes_that_are_no_message(inbox: Inbox):
    message = await inbox.take(b"\x00\xff what is this")
    assert message.state is MessageState.UNREADABLE
    assert message.reason


async def test_an_unknown_device_is_attributed_when_it_is_registered(bench: Bench, inbox: Inbox):
    order = await bench.received()
    raw = chemistry(barcode(order), ("CREA", "1.1"))
    message = await inbox.take(raw, None, peer="192.0.2.77:4711")
    assert (message.state, message.reason) == (
        MessageState.UNMATCHED, "no analyzer is registered for this source",
    )  # fmt: skip
    async with bench.database.transaction() as session:
        (await session.exec(select(Analyzer).where(Analyzer.code == "BS-1"))).one().peers = ["192.0.2.77"]
    async with bench.database.transaction() as session:
        listed = await instrument_messages.message_of(session, message.id, list(bench.lab.branches.values()))
        await instrument_messages.reopen(session, listed)
    assert (await inbox.read(message.id)).state is MessageState.MATCHED


async def test_nothing_in_a_reason_names_a_patient(bench: Bench, inbox: Inbox):
    order = await bench.order()
    message = await inbox.take(chemistry(barcode(order), ("CREA", "1.1")))
    assert "Asha" not in message.reason


async def test_reading_does_not_change_the_bytes(bench: Bench, inbox: Inbox):
    order = await bench.received()
    raw = chemistry(barcode(order), ("CREA", "1.1"))
    message = await inbox.take(raw)
    assert (await inbox.message(message.id)).raw == raw


def test_both_protocols_are_read_by_their_profile(bench: Bench):
    from connectors.analyzers.driver import MODELS

    with pytest.raises(MessageError):
        read(b"MSH|", MODELS["mindray_bs"].profile)
    with pytest.raises(MessageError):
        read(b"H|", MODELS["mindray_bc"].profile)
