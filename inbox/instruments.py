"""From a stored instrument message to results of ordered tests, by barcode; whatever does not fit waits for a person.

Matching is strict on purpose: small integers appear in rack positions and sequence numbers, so only a number with the
lab's length and check digit, of a sample in the lab's hands, of an open order, is a match. What a device calls a test
is mapped per device. Nothing is guessed.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import cast
from uuid import UUID

from sqlalchemy import ARRAY, Text, text
from sqlalchemy import cast as sql_cast
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from activities.resulting import (
    CLOSED_LINES,
    Measurement,
    TestLine,
    intervals_of,
    is_recorded,
    record_result,
)
from connectors.conversations import read_message
from domain.accession import is_accession_no
from domain.clock import utc_now
from domain.device_profile import DeviceProfile
from domain.enums import MessageState, ResultSource, SampleState
from domain.errors import MessageError
from domain.observations import InstrumentMessage as Message
from domain.observations import MessageKind, Observation, ObservationStatus, SpecimenReport
from rules.result_values import MAX_RESULT_CHARS
from store import audit
from store.claims import hold_barcode
from store.tables.catalogue import LabTest
from store.tables.orders import Order, OrderLine, Sample
from store.tables.organisation import Branch
from store.tables.patients import Patient
from store.tables.results import Analyzer, AnalyzerTest, InstrumentMessage
from store.timeline import add_event

MAX_REASON_CHARS = 500

_HELD = {
    ObservationStatus.FAILED: "not_measured",
    ObservationStatus.PRELIMINARY: "preliminary",
    ObservationStatus.UNKNOWN: "unknown_status",
}
_SKIPPED = {ObservationStatus.PENDING}
_IN_HAND = {SampleState.COLLECTED, SampleState.RECEIVED}

_ADD_SIGNAL = text(
    "insert into message_signals (message_id, order_id) values (:message_id, :order_id)"
    " on conflict (message_id, order_id) do update set delivered_at = null"
)


@dataclass
class _Findings:
    """What reading one message brought to light."""

    orders: set[UUID] = field(default_factory=set)
    matched: int = 0
    controls: int = 0
    unmatched: list[str] = field(default_factory=list)
    unplaced: list[str] = field(default_factory=list)
    not_ordered: list[str] = field(default_factory=list)
    written: list[tuple[Order, str, list[str]]] = field(default_factory=list)
    """Order, barcode and test codes of what became results."""

    def state(self, kind: MessageKind) -> MessageState:
        """Return the state the message ends in."""
        if kind is not MessageKind.RESULTS:
            return MessageState.IGNORED
        if self.unmatched or self.unplaced:
            return MessageState.PARTIAL if self.matched else MessageState.UNMATCHED
        if self.controls and not self.matched:
            return MessageState.CONTROL
        return MessageState.MATCHED

    def reason(self) -> str:
        """Return why it is not (wholly) matched, in codes."""
        parts = [*self.unmatched, *self.unplaced]
        if self.not_ordered:
            parts.append(f"not ordered: {', '.join(self.not_ordered)}")
        return "; ".join(parts)[:MAX_REASON_CHARS]


async def interpret(session: AsyncSession, row: InstrumentMessage) -> None:
    """Read one stored message in the caller's transaction and write what it brings. Never raises for its content."""
    row.read_at = utc_now()
    row.readings += 1
    session.add(row)
    analyzer = await _analyzer_of(session, row)
    if row.framing_error:
        row.state, row.reason = MessageState.UNREADABLE, row.framing_error[:MAX_REASON_CHARS]
    elif analyzer is None:
        row.state, row.reason = MessageState.UNMATCHED, "no analyzer is registered for this source"
    elif (original := await _sent_before(session, row)) is not None:
        row.state, row.duplicate_of = MessageState.DUPLICATE, original
    else:
        await _interpret_from(session, row, analyzer)


async def _analyzer_of(session: AsyncSession, row: InstrumentMessage) -> Analyzer | None:
    """Return the sender; one that was registered after its message came is found by its address."""
    if row.analyzer_id is not None:
        return await session.get(Analyzer, row.analyzer_id)
    if row.transport != "tcp":
        return None
    query = select(Analyzer).where(
        Analyzer.is_active,
        Analyzer.protocol == row.protocol,
        col(Analyzer.peers).op("@>")(sql_cast([row.peer.rsplit(":", 1)[0]], ARRAY(Text))),
    )
    listed = (await session.exec(query)).all()
    found = [one for one in listed if one.transport.get("kind", "listener") == "listener"]
    if len(found) != 1:
        return None
    row.analyzer_id = found[0].id
    return found[0]


async def _sent_before(session: AsyncSession, row: InstrumentMessage) -> UUID | None:
    """Return an earlier message with the same bytes that was, or is going to be, read.

    What was cut off or could not be read has brought nothing, so the same bytes sent again are no repetition.
    """
    query = (
        select(InstrumentMessage.id)
        .where(
            InstrumentMessage.analyzer_id == row.analyzer_id,
            InstrumentMessage.sha256 == row.sha256,
            col(InstrumentMessage.id) < row.id,
            InstrumentMessage.framing_error == "",
            col(InstrumentMessage.state).not_in([MessageState.DUPLICATE, MessageState.UNREADABLE]),
        )
        .limit(1)
    )
    return (await session.exec(query)).one_or_none()


async def _interpret_from(session: AsyncSession, row: InstrumentMessage, analyzer: Analyzer) -> None:
    profile = DeviceProfile.model_validate({"protocol": analyzer.protocol, **analyzer.profile})
    try:
        message = await asyncio.to_thread(read, row.raw, profile)
    except MessageError as error:
        row.state, row.reason = MessageState.UNREADABLE, f"{error.code}: {error.message}"[:MAX_REASON_CHARS]
        return
    row.control_id = message.message_id[:100]
    row.specimen_ids = [report.specimen_id for report in message.specimens if report.specimen_id][:500]
    found = _Findings()
    if message.kind is MessageKind.RESULTS:
        codes = await _device_codes(session, analyzer.id)
        for report in message.specimens:
            if report.is_control:
                found.controls += 1
            else:
                await _place(session, _Source(row, analyzer, profile, message), codes, report, found)
    row.state, row.reason = found.state(message.kind), found.reason()
    await session.flush()
    for order_id in sorted(found.orders):
        await session.execute(_ADD_SIGNAL, {"message_id": row.id, "order_id": order_id})
    await _audit(session, row, analyzer, found)


async def _audit(session: AsyncSession, row: InstrumentMessage, analyzer: Analyzer, found: _Findings) -> None:
    """Record what became results: last, because an audit chain's head is held until the commit."""
    for order, barcode, tests in found.written:
        branch = await session.get_one(Branch, order.branch_id)
        await audit.record(
            session,
            chain=branch.code,
            actor=f"analyzer:{analyzer.code}",
            action="results.received",
            object_kind="order",
            object_id=order.order_no,
            body={"accession_no": barcode, "tests": tests, "message_id": str(row.id)},
        )


def read(raw: bytes, profile: DeviceProfile) -> Message:
    """Read a message of any protocol.

    Raises:
        MessageError: It cannot be understood or exceeds a bound.
    """
    return cast(Message, _storable(read_message(raw, profile)))


def _storable(value: object) -> object:
    """Return `value` without NUL characters: PostgreSQL's text holds none, and what has one is no number or barcode."""
    if type(value) is str:
        return value.replace("\x00", "?")
    if isinstance(value, tuple):
        return tuple(_storable(part) for part in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{part.name: _storable(getattr(value, part.name)) for part in fields(value)})
    return value


@dataclass(frozen=True)
class _Source:
    row: InstrumentMessage
    analyzer: Analyzer
    profile: DeviceProfile
    message: Message


async def _device_codes(session: AsyncSession, analyzer_id: UUID) -> dict[str, AnalyzerTest]:
    rows = await session.exec(select(AnalyzerTest).where(AnalyzerTest.analyzer_id == analyzer_id))
    return {row.device_code: row for row in rows.all()}


async def _place(
    session: AsyncSession,
    source: _Source,
    codes: dict[str, AnalyzerTest],
    report: SpecimenReport,
    found: _Findings,
) -> None:
    """Write the results of one specimen, or note why they wait."""
    barcode = report.specimen_id
    if not is_accession_no(barcode):
        found.unmatched.append(f"{barcode[:20] or 'no barcode'}: not an accession number")
        return
    located = await _locate(session, barcode)
    if located is None:
        found.unmatched.append(f"{barcode}: no sample with this number")
        return
    order, sample = located
    if sample.state not in _IN_HAND or order.closed_at or order.cancel_reason:
        found.unmatched.append(f"{barcode}: sample is {sample.state.value}, order is {order.stage.value}")
        return
    lines = await _lines_of(session, order, sample)
    written: list[str] = []
    for observation in report.observations:
        if observation.status in _SKIPPED:
            continue
        mapping = codes.get(observation.code)
        target = lines.get(mapping.test_id) if mapping else None
        if mapping is None:
            found.unplaced.append(f"unmapped code {observation.code[:30]}")
        elif target is None:
            found.not_ordered.append(observation.code[:30])
        elif target.line.state in CLOSED_LINES:
            # a signed result stands; that the device says something new about it is for a person to see
            if not await is_recorded(session, _measurement_key(source, observation, barcode)):
                found.unplaced.append(f"{observation.code[:30]} is already {target.line.state.value}")
        elif await _write(session, source, observation, target, unit=mapping.unit, report=report):
            written.append(target.test.code)
    found.matched += 1
    found.orders.add(order.id)
    if written:
        found.written.append((order, barcode, written))
        await add_event(
            session,
            order.id,
            source="analyzer",
            kind="results_received",
            actor=source.analyzer.code,
            detail={"accession_no": barcode, "tests": written, "message_id": str(source.row.id)},
        )


async def _locate(session: AsyncSession, barcode: str) -> tuple[Order, Sample] | None:
    """Find the tube and lock its order. What is returned was read after the lock was had."""
    owner = select(Sample.order_id).where(Sample.accession_no == barcode)
    order_id = (await session.exec(owner)).one_or_none()
    if order_id is None:
        await hold_barcode(session, barcode)
        order_id = (await session.exec(owner)).one_or_none()
    if order_id is None:
        return None
    fresh = {"populate_existing": True}
    order = await session.exec(select(Order).where(Order.id == order_id).with_for_update().execution_options(**fresh))
    sample = await session.exec(select(Sample).where(Sample.accession_no == barcode).execution_options(**fresh))
    found = sample.one_or_none()
    return (order.one(), found) if found is not None else None


async def _lines_of(session: AsyncSession, order: Order, sample: Sample) -> dict[UUID, TestLine]:
    query = (
        select(OrderLine, LabTest)
        .join(LabTest, col(LabTest.id) == col(OrderLine.test_id))
        .where(OrderLine.order_id == order.id, OrderLine.sample_id == sample.id)
        .execution_options(populate_existing=True)
    )
    patient = await session.get_one(Patient, order.patient_id)
    rows: Sequence[tuple[OrderLine, LabTest]] = (await session.exec(query)).all()
    return {test.id: TestLine(line, test, sample, patient, await intervals_of(session, test.id)) for line, test in rows}


async def _write(
    session: AsyncSession,
    source: _Source,
    observation: Observation,
    target: TestLine,
    *,
    unit: str,
    report: SpecimenReport,
) -> bool:
    hold = _hold_reason(observation, unit)
    observed_at = observation.observed_at or source.message.sent_at or source.row.received_at
    measured = Measurement(
        value=observation.value,
        unit=target.test.unit_display,
        source=ResultSource.ANALYZER,
        dedupe_key=_measurement_key(source, observation, report.specimen_id),
        observed_at=observed_at,
        hold_reason=hold,
        decimal_comma=source.profile.decimal_comma,
        device_flags=observation.abnormal_flags,
        comments=(*observation.comments, *report.comments),
        analyzer_id=source.analyzer.id,
        message_id=source.row.id,
    )
    return await record_result(session, target, measured) is not None


def _hold_reason(observation: Observation, unit: str) -> str:
    """Return why a person must look at a value before it counts, or ""."""
    if observation.status in _HELD:
        return _HELD[observation.status]
    if not observation.value.strip():
        return "no_value"
    if len(observation.value) > MAX_RESULT_CHARS:
        return "too_long"
    return "unit_mismatch" if unit and observation.unit and observation.unit != unit else ""


def _measurement_key(source: _Source, observation: Observation, barcode: str) -> str:
    """Return the same key for the same measurement in whatever message it comes."""
    moment = observation.observed_at.isoformat() if observation.observed_at else source.message.message_id
    parts = (
        str(source.analyzer.id), barcode, observation.code, observation.replicate, moment, observation.value,
        observation.status.value,
    )  # fmt: skip
    return "analyzer:" + hashlib.sha256("\x1f".join(parts).encode()).hexdigest()
