"""What the host does on an MLLP line, in both directions at once.

Each message of the device is stored, then answered, in the order they came; a query is answered with the work from
the desk. Meanwhile our own messages go out: work that was asked for, and work that is sent unasked.

Source: HL7 Transport Specification: MLLP, release 1; HL7 2.5.1, 2.9.2; IHE LAW, LAB-27 to LAB-29, read in specs.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Coroutine
from typing import Any

from connectors.hl7.ack import acknowledgements, commit_acknowledgements, reject
from connectors.hl7.answering import UNASKED_STYLES, answer_query
from connectors.hl7.charsets import wide_charset
from connectors.hl7.codec import Hl7Message, Segment, parse_message
from connectors.hl7.device_lines import DeviceLines
from connectors.hl7.envelope import envelope_for
from connectors.hl7.framing import Block, BrokenBlock, MllpDecoder, encode_block, split_batch
from connectors.hl7.queries import DeviceQuery, read_query
from connectors.hl7.replies import Inquiry, Reply
from connectors.hl7.sender import Sender
from connectors.hl7.verdicts import read_verdict
from connectors.line import Line, ListenerLimits
from domain.clock import utc_now
from domain.device_orders import DeviceWork, Download, DownloadResult, WorkDesk
from domain.device_profile import DeviceProfile
from domain.errors import MessageError
from domain.ids import new_id
from domain.observations import StoreOutcome

_log = logging.getLogger(__name__)

_CONCERNS_WORK = re.compile(rb"[\r\n] {0,8}(?:MSA|QPD|QRD|QID|ORC)", re.IGNORECASE)
"""Messages without these segments are no queries and no answers: they need not be read here."""
_MOST_IN_A_BATCH = 2000
_CONTROL_ID_LENGTH = 20
_SLOWEST = 200.0
"""Bytes a second; a serial line at 2400 baud carries 240."""


async def converse(
    line: Line, profile: DeviceProfile, limits: ListenerLimits, lines: DeviceLines | None = None
) -> None:
    """Speak until the peer closes the connection.

    Args:
        line: The connection.
        profile: Of the device.
        limits: Bounds.
        lines: What this line shares with the other ones of its device; only devices that take their work over a line
            of its own (`work.connections`) need it.

    Raises:
        ConnectionError: The peer is gone, or does not read.
    """
    await _Conversation(line, profile, limits, lines or DeviceLines()).run()


class _Conversation:
    def __init__(self, line: Line, profile: DeviceProfile, limits: ListenerLimits, lines: DeviceLines) -> None:
        self._line = line
        self._profile = profile
        self._limits = limits
        self._has_own_line_for_work = profile.work.connections == "two"
        self._shared = lines if self._has_own_line_for_work else DeviceLines()
        self._place = self._shared.join(is_opened_for_work=line.is_for_work or not self._has_own_line_for_work)
        self._sender = Sender(self._write, profile)
        self._writing = asyncio.Lock()

    async def run(self) -> None:
        try:
            if self._profile.work.style == "none":
                await self._receive()
            else:
                await self._speak_both_ways()
        finally:
            self._shared.leave(self._place)

    async def _speak_both_ways(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(self._send_where_work_goes())
                await self._receive()
                sending.cancel()
        except ExceptionGroup as failures:
            lost, others = failures.split(ConnectionError)
            if others is None and lost is not None:
                raise ConnectionError("the device is gone, or does not read") from failures
            raise

    async def _send_where_work_goes(self) -> None:
        """Send as long as work goes over this line, and again when it comes back to it."""
        while True:
            await self._place.until_for_work()
            async with asyncio.TaskGroup() as group:
                sending = [group.create_task(self._send_answers())]
                if self._profile.work.sends_unasked and self._line.desk is not None:
                    sending.append(group.create_task(self._send_downloads(self._line.desk)))
                await self._place.until_not_for_work()
                for task in sending:
                    task.cancel()

    # the device speaks

    async def _receive(self) -> None:
        decoder = MllpDecoder(max_message_bytes=self._limits.max_message_bytes)
        begun: float | None = None
        loop = asyncio.get_running_loop()
        data: bytes | None = None
        while data != b"":
            left = None if begun is None else begun + self._time_for(decoder.open_bytes) - loop.time()
            data = await self._line.read(left) if left is None or left > 0 else None
            if data is None:
                await self._take_all(decoder.give_up("not completed in time"))
            else:
                blocks = decoder.feed(data)
                await self._take_all(blocks)
                # a message that began with these bytes gets its own time
                begun = None if blocks else begun
            if not decoder.is_open:
                begun = None
            elif begun is None:
                begun = loop.time()
        for block in decoder.give_up("connection closed before the message was complete"):
            if isinstance(block, BrokenBlock):
                await self._line.keep(block.raw, block.reason)

    def _time_for(self, size: int) -> float:
        """Return the seconds that a message of which so many bytes have come may take: images go over serial lines."""
        return self._limits.message_seconds + size / _SLOWEST

    async def _take_all(self, blocks: list[Block | BrokenBlock]) -> None:
        for block in blocks:
            if isinstance(block, BrokenBlock):
                await self._take_broken(block)
                continue
            messages = split_batch(block.message) or [block.message]
            if len(messages) > _MOST_IN_A_BATCH:
                reason = f"more than {_MOST_IN_A_BATCH} messages in one block"
                await self._take_broken(BrokenBlock(block.message, reason, is_oversized=True))
                continue
            for raw in messages:
                await self._take(raw)

    async def _take(self, raw: bytes) -> None:
        message = self._read(raw)
        verdict = read_verdict(message) if message is not None else None
        if verdict is not None and not self._sender.hear(verdict):
            _log.info("an answer from %s belongs to nothing we sent", self._line.state.peer)
        outcome = await self._line.keep(raw)
        if verdict is None:
            self._hear(raw)
            query = self._query(message, outcome)
            reply = await self._reply(query) if query is not None else None
            if query is not None and reply is not None:
                await self._answer([*commit_acknowledgements(raw, outcome, self._profile), *reply.at_once], outcome)
                self._shared.queue(reply.then, self._profile.work.answer_s)
                return
        await self._answer(acknowledgements(raw, outcome, self._profile), outcome)

    def _read(self, raw: bytes) -> Hl7Message | None:
        if self._profile.work.style == "none" or not (_CONCERNS_WORK.search(raw) or wide_charset(raw)):
            return None
        try:
            return parse_message(raw, self._profile.charset)
        except MessageError:
            return None  # it is kept, and answered like everything that cannot be read

    def _hear(self, raw: bytes) -> None:
        """Note that the device has spoken here: a device with two lines is given work on the other one."""
        if self._profile.work.style == "none":
            return
        self._shared.hear(self._place, self._header(raw) if self._shared.header is None else None)

    def _header(self, raw: bytes) -> Segment | None:
        try:
            header = parse_message(re.split(rb"[\r\n]", raw.lstrip(), maxsplit=1)[0], self._profile.charset).header
            envelope_for(self._profile, header)
        except MessageError:
            return None
        return header

    def _query(self, message: Hl7Message | None, outcome: StoreOutcome) -> DeviceQuery | None:
        """Return the query to be answered; one that is not stored is refused like any message."""
        if message is None or not outcome.accepted or not self._profile.work.answers_queries:
            return None
        try:
            return read_query(message, self._profile)
        except MessageError:
            return None

    async def _reply(self, query: DeviceQuery) -> Reply | None:
        if query.asked.is_cancelled:
            self._shared.forget()
        works = () if query.asked.is_cancelled or query.is_by_place else await self._work_for(query)
        if works is not None and not self._shared.has_room_for(len(works) + len(query.asked.specimen_ids) + 1):
            works = None
        try:
            envelope = envelope_for(self._profile, query.message.header)
            return answer_query(Inquiry(query, works, self._profile, envelope, utc_now(), self._next_id))
        except MessageError:
            return None

    async def _work_for(self, query: DeviceQuery) -> tuple[DeviceWork, ...] | None:
        desk = self._line.desk
        if desk is None:
            return None
        try:
            async with asyncio.timeout(self._profile.work.answer_s):
                return await desk.work_for(query.asked)
        except TimeoutError:
            _log.warning("no work found in time for a query from %s", self._line.state.peer)
            return None

    async def _take_broken(self, block: BrokenBlock) -> None:
        kept = await self._line.keep(block.raw, block.reason)
        outcome = StoreOutcome(accepted=False, readable=False, note=block.reason)
        if block.is_oversized and kept.accepted:
            await self._answer([reject(block.raw, block.reason)], outcome)
        elif not block.is_restart:
            await self._answer(acknowledgements(block.raw, outcome, self._profile), outcome)

    async def _answer(self, answers: list[bytes], outcome: StoreOutcome) -> None:
        if outcome.accepted and outcome.readable:
            self._line.state.acknowledged += 1
        else:
            self._line.state.refused += 1
        for answer in answers:
            await self._write(answer)

    # we speak

    async def _write(self, message: bytes) -> None:
        async with self._writing:
            await self._line.write(encode_block(message))

    @staticmethod
    def _next_id() -> str:
        return new_id().hex[:_CONTROL_ID_LENGTH]

    async def _send_answers(self) -> None:
        while True:
            await self._sender.answer(await self._shared.next())

    async def _send_downloads(self, desk: WorkDesk) -> None:
        while True:
            download = await desk.next_download()
            control_id = self._next_id()
            outcome: tuple[DownloadResult, str] | None = None
            try:
                outcome = await self._deliver(download, control_id)
            finally:
                result, note = outcome or self._sender.outcome_of(control_id)
                await _finished(desk.settle(download, result, note))
            if result is DownloadResult.UNDELIVERED:
                await asyncio.sleep(self._profile.work.answer_s)

    async def _deliver(self, download: Download, control_id: str) -> tuple[DownloadResult, str]:
        if self._profile.work.style not in UNASKED_STYLES:
            return DownloadResult.REFUSED, "this device takes only work that it asks for"
        if not download.work.codes:
            return DownloadResult.REFUSED, "no tests to send"
        return await self._sender.deliver(download, self._shared.header, control_id)


async def _finished(work: Coroutine[Any, Any, None]) -> None:
    """Await `work` to its end also when we are cancelled meanwhile: what was sent must not stay open in the queue."""
    running = asyncio.ensure_future(work)
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        await running
        raise
