"""What the host does on an ASTM line: it receives, and when the line is neutral it sends.

A message is acknowledged once the store has it. A query in it is answered in a transmission of our own after the
device's EOT; orders nobody asked for are sent when nothing else is under way. The device always goes first: its ENQ
ends our waiting, and where both sides ask for the line the host gives way.

Source: ASTM E1381-95, 6; CLSI LIS01-A2, 8; CLSI LIS02-A2, 12 (queries), read in specs.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from connectors.astm.bare import BareReceiver, BareSender
from connectors.astm.codec import Record
from connectors.astm.errands import MAX_ANSWERS, Errand, Errands, HostTimers
from connectors.astm.framing import ENQ, NAK, frames_of
from connectors.astm.queries import HostQuery, header_of, query_of
from connectors.astm.sender import AstmSender, Finished, SenderRole
from connectors.astm.session import Arrived, AstmReceiver, Broken, Event, Reply, Timer
from connectors.astm.simple import SimpleReceiver
from connectors.astm.simple_sender import SimpleSender, steps_of
from connectors.astm.work import answer_message, order_message
from connectors.line import Line, ListenerLimits
from domain.clock import utc_now
from domain.device_orders import DeviceWork, Download, WorkDesk
from domain.device_profile import DeviceProfile
from domain.errors import MessageError

_log = logging.getLogger(__name__)

_WAITING_PIECES = 4
"""Pieces read ahead while the store works."""

Receiver = AstmReceiver | BareReceiver | SimpleReceiver
Sender = AstmSender | BareSender | SimpleSender


@dataclass(frozen=True)
class _Answered:
    """What the desk said to a query."""

    query: HostQuery
    work: tuple[DeviceWork, ...] | None


class _Deadlines:
    """Turns timers, which are values, into times of the event loop."""

    def __init__(self) -> None:
        self._times: dict[int, float] = {}

    def left(self, timers: tuple[Timer, ...]) -> float | None:
        """Return the seconds until the first timer ends, not below 0; None where none runs."""
        now = asyncio.get_running_loop().time()
        self._times = {timer.serial: self._times.get(timer.serial, now + timer.seconds) for timer in timers}
        return max(min(self._times.values()) - now, 0.0) if self._times else None


async def converse(
    line: Line, profile: DeviceProfile, limits: ListenerLimits, timers: HostTimers | None = None
) -> None:
    """Receive and send until the peer closes the connection.

    Raises:
        ConnectionError: The peer is gone, or does not read; what it had sent is kept.
    """
    await HostConversation(line, profile, limits, timers or HostTimers()).run()


class HostConversation:
    """One connection. Everything that happens comes through one mailbox and is dealt with one thing at a time."""

    def __init__(self, line: Line, profile: DeviceProfile, limits: ListenerLimits, timers: HostTimers) -> None:
        self._line = line
        self._profile = profile
        self._timers = timers
        self._receiver = _receiver_for(profile, limits)
        self._receiver_deadlines = _Deadlines()
        self._sender: Sender | None = None
        self._sender_deadlines = _Deadlines()
        self._sending: Errand | None = None
        self._errands = Errands(line.desk, timers)
        self._mail: asyncio.Queue[bytes | _Answered | Download] = asyncio.Queue(_WAITING_PIECES)
        self._tasks = asyncio.TaskGroup()
        self._background: set[asyncio.Task[None]] = set()
        self._open_queries: list[HostQuery] = []
        self._is_enquiring = False
        self._was_busy = False
        self._header: Record | None = None
        self._failure: ConnectionError | None = None
        self._is_closed = False

    async def run(self) -> None:
        """Serve the line until the peer closes it."""
        try:
            async with self._tasks:
                self._start(self._listen())
                if self._line.desk is not None and self._profile.work.sends_unasked:
                    self._start(self._errands.fetch(self._mail.put))
                await self._serve()
                for task in self._background:
                    task.cancel()
        finally:
            await self._errands.close()
        if self._failure is not None:
            raise self._failure

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._tasks.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _listen(self) -> None:
        data: bytes | None = None
        while data != b"":
            try:
                data = await self._line.read(None)
            except OSError as error:
                _log.info("line of %s broke: %s", self._line.state.peer, type(error).__name__)
                data = b""
            if data is not None:
                await self._mail.put(data)

    async def _serve(self) -> None:
        is_open = True
        while is_open and self._failure is None:
            match await self._next():
                case None:
                    await self._expire()
                case b"":
                    is_open = False
                case bytes(data):
                    await self._hear(data)
                case _Answered(query, work):
                    self._take_answer(query, work)
                case Download() as download:
                    self._errands.add_download(download, self._order_text(download.work))
            if is_open:
                await self._send_if_free()
        self._is_closed = True
        await self._play(self._receiver.close())

    async def _next(self) -> bytes | _Answered | Download | None:
        """Return the next thing that happens; None when a timer ends."""
        timers = [
            self._receiver_deadlines.left(self._receiver.timers),
            self._sender_deadlines.left(self._sender_timers()),
        ]
        if 0 in timers:
            return None
        if not self._mail.empty():
            return self._mail.get_nowait()
        pause = self._errands.seconds_left() if self._is_free() else None
        seconds = min((each for each in (*timers, pause) if each is not None), default=None)
        try:
            async with asyncio.timeout(seconds):
                return await self._mail.get()
        except TimeoutError:
            return None

    async def _expire(self) -> None:
        """A timer ended: the receiver's, the sender's, or the pause before the next errand, which needs nothing."""
        if self._receiver_deadlines.left(self._receiver.timers) == 0:
            await self._play(self._receiver.expire())
            self._note_neutral()
        sender = self._sender
        if sender is not None and self._sender_deadlines.left(self._sender_timers()) == 0:
            await self._perform(sender.expire())

    async def _hear(self, data: bytes) -> None:
        """Give bytes to whoever waits for them: our transmission its answers, the receiver everything else."""
        position = 0
        while position < len(data):
            sender = self._sender
            if sender is None or sender.is_paused:
                await self._play(self._receiver.feed(data[position:]))
                self._note_neutral()
                return
            byte = data[position : position + 1]
            if byte == ENQ and not self._is_enquiring:
                # the device has begun anew: it will not answer our frame any more
                await self._perform(sender.abandon())
                continue
            position += 1
            events = sender.feed(byte)
            await self._perform(events)
            if events and self._sender is not None:
                # what came with the answer was sent before our next frame and cannot answer it
                rest = data.find(ENQ, position)
                position = rest if rest >= 0 else len(data)

    async def _play(self, events: list[Event]) -> None:
        """Carry out the receiver's events; those that `settle` brings come after the ones already there."""
        line, pending = self._line, deque(events)
        while pending:
            match pending.popleft():
                case Reply(data):
                    line.state.refused += data == NAK
                    await self._write(data)
                case Arrived(messages):
                    outcomes = [await line.keep(message) for message in messages]
                    is_durable = all(outcome.accepted for outcome in outcomes)
                    if is_durable:
                        line.state.acknowledged += len(messages)
                        self._read_queries(messages)
                    pending += self._receiver.settle(is_durable=is_durable)
                case Broken(raw, reason):
                    outcome = await line.keep(raw, reason)
                    pending += self._receiver.settle(is_durable=outcome.accepted)

    async def _perform(self, events: list[Reply | Finished]) -> None:
        """Carry out the sender's events."""
        for event in events:
            if isinstance(event, Reply):
                self._is_enquiring = event.data == ENQ
                await self._write(event.data)
                continue
            sender, errand = self._sender, self._sending
            self._sender = self._sending = None
            if sender is not None and errand is not None:
                await self._errands.finished(errand, event.result, is_line_wanted=sender.is_line_wanted)

    async def _write(self, data: bytes) -> None:
        """Send; once the line is cut nothing is sent any more, but what has arrived is still kept."""
        if self._failure is not None or self._is_closed:
            return
        try:
            await self._line.write(data)
        except ConnectionError as error:
            self._failure = error

    def _read_queries(self, messages: tuple[bytes, ...]) -> None:
        desk, work = self._line.desk, self._profile.work
        if desk is None or work.style == "none" or self._is_closed:
            return
        for message in messages:
            self._header = header_of(message) or self._header
            try:
                query = query_of(message, self._profile)
            except MessageError:
                continue  # it is kept; reading it will say why it cannot be read
            if query is None:
                continue
            if query.is_cancelled:
                self._take_back(query.wanted.specimen_ids)
            elif work.answers_queries and len(self._open_queries) < MAX_ANSWERS:
                self._open_queries.append(query)
                self._start(self._ask(desk, query))

    async def _ask(self, desk: WorkDesk, query: HostQuery) -> None:
        work: tuple[DeviceWork, ...] | None = None
        try:
            async with asyncio.timeout(self._timers.desk):
                work = await desk.work_for(query.wanted) if query.is_answerable else ()
        except TimeoutError:
            _log.warning("no work for a query of %s within %s s", self._line.state.peer, self._timers.desk)
        await self._mail.put(_Answered(query, work))

    def _take_back(self, specimen_ids: tuple[str, ...]) -> None:
        """Forget a query, or all of them where no tube is named."""
        self._open_queries = [
            query for query in self._open_queries if specimen_ids and query.wanted.specimen_ids != specimen_ids
        ]
        self._errands.cancel_answers(specimen_ids)

    def _take_answer(self, query: HostQuery, work: tuple[DeviceWork, ...] | None) -> None:
        if not any(each is query for each in self._open_queries):
            return
        self._open_queries = [each for each in self._open_queries if each is not query]
        try:
            message = answer_message(query, work, self._profile, utc_now())
        except MessageError as error:
            _log.warning("no answer for %s: %s", self._line.state.peer, error)
            return
        if message is not None:
            self._errands.add_answer(query.wanted.specimen_ids, message)

    def _order_text(self, work: DeviceWork) -> bytes:
        now = utc_now()
        try:
            return order_message(work, self._profile, now, self._header)
        except MessageError:
            return order_message(work, self._profile, now)  # its header cannot be followed

    def _is_free(self) -> bool:
        """Tell whether an errand may be begun: the line is neutral and no query waits for the desk."""
        return self._sender is None and self._receiver.is_neutral and not self._open_queries

    def _note_neutral(self) -> None:
        """The device has had the line and left it: pauses made for its sake are over."""
        is_neutral = self._receiver.is_neutral
        if is_neutral and self._was_busy:
            self._errands.resume()
        self._was_busy = not is_neutral

    async def _send_if_free(self) -> None:
        sender, errand = self._sender, self._sending
        if sender is not None and sender.is_paused and errand is not None and not self._errands.holds(errand):
            self._sender = self._sending = None  # taken back, or replaced, between two ENQ
        if not self._is_free() or not self._mail.empty():
            return
        errand = self._errands.due()
        if errand is None:
            return
        self._sending = errand
        self._sender = self._sender_for(errand.message)
        self._sender_deadlines = _Deadlines()
        await self._perform(self._sender.start())

    def _sender_for(self, message: bytes) -> Sender:
        rules, style = self._profile.transmission, self._profile.frame_style
        if style == "bare":
            return BareSender(message)
        if style == "simple":
            steps = steps_of(message, one_record_each=rules.ends_every_frame)
            return SimpleSender(steps, timers=self._timers)
        frames = frames_of(
            message,
            max_text=rules.frame_text,
            packed=rules.packing == "packed",
            ends_every_frame=rules.ends_every_frame,
        )
        return AstmSender(frames, role=SenderRole.COMPUTER, timers=self._timers)

    def _sender_timers(self) -> tuple[Timer, ...]:
        """Return the sender's timer; one between two ENQ stands still while the device has the line."""
        sender = self._sender
        if sender is None or sender.timer is None or (sender.is_paused and not self._receiver.is_neutral):
            return ()
        return (sender.timer,)


def _receiver_for(profile: DeviceProfile, limits: ListenerLimits) -> Receiver:
    if profile.frame_style == "bare":
        return BareReceiver(max_message_bytes=limits.max_message_bytes)
    if profile.frame_style == "simple":
        return SimpleReceiver(
            max_message_bytes=limits.max_message_bytes,
            message_seconds=limits.message_seconds,
        )
    return AstmReceiver(
        max_message_bytes=limits.max_message_bytes,
        check=profile.checksum == "required",
        joins_until_cr=profile.transmission.ends_every_frame,
    )
