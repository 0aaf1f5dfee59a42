"""Reads one stored message: whose it is, whether it came before, what it says, and what becomes of each part of it."""

from __future__ import annotations

import asyncio
from dataclasses import fields, is_dataclass, replace
from typing import cast
from uuid import UUID

from sqlalchemy import ARRAY, Text
from sqlalchemy import cast as sql_cast
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from activities.instruments.controls import keep_controls
from activities.instruments.matching import NoTube, barcode_in
from activities.instruments.pictures import Picture, pictures_in
from activities.instruments.placing import SUPERSEDED_AGAIN, place_report
from activities.instruments.source import MAX_REASON_CHARS, Findings, Source
from connectors.conversations import read_message
from connectors.hl7.identity import resent_digests
from domain.accession import is_accession_no
from domain.clock import utc_now
from domain.device_profile import DeviceProfile
from domain.enums import ExceptionKind, LineState, MessageState, ResultState
from domain.errors import MessageError
from domain.ids import new_id
from domain.observations import InstrumentMessage as Message
from domain.observations import MessageKind
from store import audit
from store.exceptions import corrections_of, settle
from store.instrument_files import add_files
from store.mappings import confirmed_mappings
from store.signals import signal_order
from store.tables.devices import InstrumentFile
from store.tables.orders import OrderLine
from store.tables.organisation import Branch
from store.tables.results import Analyzer, InstrumentMessage, Result

MAX_SPECIMENS = 500


async def interpret(session: AsyncSession, row: InstrumentMessage, *, is_rehearsal: bool = False) -> Findings:
    """Read one stored message in the caller's transaction and write what it brings. Never raises for its content.

    Args:
        session: The transaction.
        row: The message, locked.
        is_rehearsal: The caller rolls back: nothing is audited, because that holds a chain for everybody.
    """
    row.read_at = utc_now()
    row.readings += 1
    session.add(row)
    found = Findings()
    analyzer = await _analyzer_of(session, row)
    if row.framing_error:
        row.state, row.reason = MessageState.UNREADABLE, row.framing_error[:MAX_REASON_CHARS]
        found.note(ExceptionKind.UNREADABLE, row.reason)
    elif analyzer is None:
        row.state, row.reason = MessageState.UNMATCHED, "no analyzer is registered for this source"
        found.note(ExceptionKind.UNKNOWN_DEVICE, row.reason)
    else:
        await _interpret_unless_sent_before(session, row, analyzer, found)
    await session.flush()
    await settle(session, row.id, row.analyzer_id, found.problems)
    if analyzer is not None and not is_rehearsal:
        await _audit(session, row, analyzer, found)
    return found


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


async def _interpret_unless_sent_before(
    session: AsyncSession, row: InstrumentMessage, analyzer: Analyzer, found: Findings
) -> None:
    """Call the same bytes a duplicate, unless a rerun of what they brought was asked for and this may be it."""
    original = await _sent_before(session, row)
    may_be_rerun = original is not None and await _is_awaited_again(session, original)
    if original is None or may_be_rerun:
        await _interpret_from(session, row, analyzer, found, is_repeat=may_be_rerun)
    if original is not None and not found.written:
        row.state, row.duplicate_of = MessageState.DUPLICATE, original


async def _is_awaited_again(session: AsyncSession, message_id: UUID) -> bool:
    """Tell whether a test that a message had brought a value for is open again, and none is offered for it."""
    offered = select(Result.order_line_id).where(
        Result.state == ResultState.HELD, Result.hold_reason == SUPERSEDED_AGAIN
    )
    query = (
        select(Result.id)
        .join(OrderLine, col(OrderLine.id) == col(Result.order_line_id))
        .where(
            Result.message_id == message_id,
            Result.state == ResultState.SUPERSEDED,
            OrderLine.state == LineState.ORDERED,
            col(OrderLine.id).not_in(offered.where(Result.order_line_id == OrderLine.id).correlate(OrderLine)),
        )
        .limit(1)
    )
    return (await session.exec(query)).first() is not None


async def _sent_before(session: AsyncSession, row: InstrumentMessage) -> UUID | None:
    """Return an earlier message, the same in all but its line ends, that was, or is going to be, read.

    What was cut off or could not be read has brought nothing, so the same bytes sent again are no repetition.
    """
    digests = resent_digests(row.raw) if row.protocol == "hl7" else (row.sha256,)
    query = (
        select(InstrumentMessage.id)
        .where(
            InstrumentMessage.analyzer_id == row.analyzer_id,
            col(InstrumentMessage.sha256).in_(digests),
            col(InstrumentMessage.id) < row.id,
            InstrumentMessage.framing_error == "",
            col(InstrumentMessage.state).not_in([MessageState.DUPLICATE, MessageState.UNREADABLE]),
        )
        .order_by(col(InstrumentMessage.id))
        .limit(1)
    )
    return (await session.exec(query)).one_or_none()


async def _interpret_from(
    session: AsyncSession, row: InstrumentMessage, analyzer: Analyzer, found: Findings, *, is_repeat: bool
) -> None:
    profile = DeviceProfile.model_validate({"protocol": analyzer.protocol, **analyzer.profile})
    try:
        message = await asyncio.to_thread(read, row.raw, profile)
        # the rows are walked again for their bytes only where the reader saw such a row
        pictures = await asyncio.to_thread(pictures_in, row.raw, profile) if message.images else []
    except MessageError as error:
        row.state, row.reason = MessageState.UNREADABLE, f"{error.code}: {error.message}"[:MAX_REASON_CHARS]
        found.note(ExceptionKind.UNREADABLE, error.code)
        return
    row.control_id = message.message_id[:100]
    row.specimen_ids = _named(message, profile)
    codes = await confirmed_mappings(session, analyzer.id) if message.kind is MessageKind.RESULTS else {}
    source = Source(row, analyzer, profile, message, codes, await corrections_of(session, row.id), is_repeat)
    for report in message.specimens if message.kind is MessageKind.RESULTS else ():
        if report.is_control:
            found.controls += 1
            await keep_controls(session, source, report)
            if is_accession_no(report.specimen_id):
                # a tube's number on control material: one of the two marks is wrong, and nobody would miss the values
                why = "marked as control material under the number of a tube"
                found.note(ExceptionKind.UNUSABLE_VALUE, why, report.specimen_id)
        else:
            await place_report(session, source, report, found)
    found.files = len(pictures)
    await add_files(session, [_file(row, analyzer, picture) for picture in pictures])
    row.state, row.reason = found.state(message.kind), found.reason()
    await session.flush()
    for order_id in sorted(found.orders):
        await signal_order(session, row.id, order_id)


def _named(message: Message, profile: DeviceProfile) -> list[str]:
    """Return the specimens of a message as sent and as numbers on tubes: a tube that is collected claims by either."""
    named: dict[str, None] = {}
    for report in message.specimens:
        if report.specimen_id:
            named[report.specimen_id] = None
            barcode = barcode_in(report.specimen_id, profile)
            if not isinstance(barcode, NoTube):
                named[barcode] = None
    return list(named)[:MAX_SPECIMENS]


def _file(row: InstrumentMessage, analyzer: Analyzer, picture: Picture) -> InstrumentFile:
    return InstrumentFile(
        id=new_id(),
        message_id=row.id,
        analyzer_id=analyzer.id,
        position=picture.position,
        specimen_id=_storable(picture.specimen_id),
        code=_storable(picture.code),
        media_type=picture.media_type,
        sha256=picture.sha256,
        size_bytes=len(picture.content),
    )


async def _audit(session: AsyncSession, row: InstrumentMessage, analyzer: Analyzer, found: Findings) -> None:
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
    return cast(Message, _without_nul(read_message(raw, profile)))


def _storable(value: str) -> str:
    """Return `value` without NUL characters: PostgreSQL's text holds none, and what has one is no number or barcode."""
    return value.replace("\x00", "?")


def _without_nul(value: object) -> object:
    if type(value) is str:
        return _storable(value)
    if isinstance(value, tuple):
        return tuple(_without_nul(part) for part in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{part.name: _without_nul(getattr(value, part.name)) for part in fields(value)})
    return value
