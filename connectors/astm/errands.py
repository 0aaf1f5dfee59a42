"""What waits to be sent to a device: answers to its queries, and orders it did not ask for.

Answers go first and only while the device still waits for them. An order is settled with the desk once, whatever
happens to the connection. Knows pauses and attempts, but no bytes.

Source: ASTM E1381-95, 6.2.7, 6.3.5 and 6.5 (pauses); CLSI LIS02-A2, 12 (one query at a time), read in specs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from connectors.astm.sender import SenderTimers, SendResult
from domain.device_orders import Download, DownloadResult, WorkDesk

_log = logging.getLogger(__name__)

MAX_ANSWER_ATTEMPTS = 3
MAX_ORDER_ATTEMPTS = 6
"""Interruptions of one order before it goes back to the desk."""
MAX_ANSWERS = 64
"""Queries of one device that may be open at once; the standard allows one."""


@dataclass(frozen=True)
class HostTimers(SenderTimers):
    """Waiting times of the host in seconds; those the standard names are its."""

    yielded: float = 20.0
    """After contention, for the device's next ENQ."""
    interrupted: float = 15.0
    """After the device asked for the line, unless it has sent before."""
    desk: float = 5.0
    """For the desk to say what work there is: the tube is under the probe."""
    answer_life: float = 60.0
    """For which an answer is still worth sending."""
    again: float = 10.0
    """After a transmission that failed; doubles for orders up to `again_most`."""
    again_most: float = 300.0


@dataclass
class Errand:
    """One message to send.

    Attributes:
        specimen_ids: Of the query it answers.
        download: The order it is, or None for an answer.
        expires_at: Time of the event loop after which an answer is not sent any more.
        attempts: Attempts that failed or were interrupted.
    """

    message: bytes = field(repr=False)
    specimen_ids: tuple[str, ...] = ()
    download: Download | None = None
    expires_at: float = float("inf")
    attempts: int = 0


class Errands:
    """The errands of one connection."""

    def __init__(self, desk: WorkDesk | None, timers: HostTimers) -> None:
        self._desk = desk
        self._timers = timers
        self._answers: list[Errand] = []
        self._order: Errand | None = None
        self._held: Download | None = None
        self._may_fetch = asyncio.Event()
        self._may_fetch.set()
        self._fetch_pause = 0.0
        self._not_before = 0.0

    async def fetch(self, put: Callable[[Download], Awaitable[None]]) -> None:
        """Get orders from the desk for ever, one at a time: the next once the one before is settled."""
        desk = self._desk
        while desk is not None:
            await self._may_fetch.wait()
            await asyncio.sleep(self._fetch_pause)
            self._held = await desk.next_download()
            self._may_fetch.clear()
            await put(self._held)

    def add_answer(self, specimen_ids: tuple[str, ...], message: bytes) -> None:
        """Queue an answer; one to the same question that has not gone out yet is replaced."""
        self.cancel_answers(specimen_ids)
        expires_at = _now() + self._timers.answer_life
        self._answers = [*self._answers, Errand(message, specimen_ids, expires_at=expires_at)][-MAX_ANSWERS:]

    def cancel_answers(self, specimen_ids: tuple[str, ...]) -> None:
        """Forget the answer to a question; all of them where the device names no tube."""
        self._answers = [each for each in self._answers if specimen_ids and each.specimen_ids != specimen_ids]

    def add_download(self, download: Download, message: bytes) -> None:
        """Queue an order."""
        self._order = Errand(message, download=download)

    def holds(self, errand: Errand) -> bool:
        """Tell whether an errand is still to be done."""
        return errand is self._order or any(each is errand for each in self._answers)

    def seconds_left(self) -> float | None:
        """Return the seconds until an errand may begin; None where none waits."""
        if not self._answers and self._order is None:
            return None
        return max(self._not_before - _now(), 0.0)

    def due(self) -> Errand | None:
        """Return the errand to do now, if any."""
        now = _now()
        self._answers = [each for each in self._answers if each.expires_at > now]
        if now < self._not_before:
            return None
        return self._answers[0] if self._answers else self._order

    def resume(self) -> None:
        """The device has sent and left the line: nothing more to wait for."""
        self._not_before = 0.0

    async def finished(self, errand: Errand, result: SendResult, *, is_line_wanted: bool = False) -> None:
        """Note how an attempt ended, and make the pause that follows from it."""
        pauses = {
            SendResult.SENT: self._timers.interrupted if is_line_wanted else 0.0,
            SendResult.INTERRUPTED: self._timers.interrupted,
            SendResult.YIELDED: self._timers.yielded,
            SendResult.RETRY_LATER: self._timers.again,
        }
        self._not_before = _now() + pauses[result]
        # giving way is no failure: a busy device gets its answers and orders in time
        errand.attempts += result in {SendResult.RETRY_LATER, SendResult.INTERRUPTED}
        if errand.download is not None:
            await self._finish_order(errand.download, result, errand.attempts)
        elif result is SendResult.SENT or errand.attempts >= MAX_ANSWER_ATTEMPTS:
            self._answers = [each for each in self._answers if each is not errand]

    async def close(self) -> None:
        """The connection is gone: give back what was not sent."""
        if self._held is not None:
            await self._settle(self._held, DownloadResult.UNDELIVERED, "the connection ended before it was sent")

    async def _finish_order(self, download: Download, result: SendResult, attempts: int) -> None:
        if result is SendResult.SENT:
            self._fetch_pause = 0.0
            await self._settle(download, DownloadResult.ACCEPTED, "")
        elif result is SendResult.RETRY_LATER or attempts >= MAX_ORDER_ATTEMPTS:
            self._fetch_pause = min(max(self._fetch_pause * 2, self._timers.again), self._timers.again_most)
            await self._settle(download, DownloadResult.UNDELIVERED, "the device did not take it")

    async def _settle(self, download: Download, result: DownloadResult, note: str) -> None:
        self._held = self._order = None
        if self._desk is not None:
            try:
                async with asyncio.timeout(self._timers.desk):
                    await self._desk.settle(download, result, note)
            except TimeoutError:
                _log.warning("an order could not be settled within %s s", self._timers.desk)
        self._may_fetch.set()


def _now() -> float:
    return asyncio.get_running_loop().time()
