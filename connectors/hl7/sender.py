"""Our side of an MLLP line: one message of ours at a time, until the device has answered it.

The answer is found by MSA-2. A message that is sent again keeps its control id, so a late answer still counts.

Source: HL7 2.5.1, 2.9; MLLP release 1; IHE LAW, LAB-28, read in specs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from connectors.hl7.codec import Segment
from connectors.hl7.envelope import envelope_for
from connectors.hl7.orders_out import order_message
from connectors.hl7.replies import Outgoing
from connectors.hl7.verdicts import Verdict
from domain.clock import utc_now
from domain.device_orders import Download, DownloadResult
from domain.device_profile import DeviceProfile

_log = logging.getLogger(__name__)

_RETRY_SECONDS = 5.0
"""Longest pause before a message is repeated that the device asked to have again."""


class Sender:
    """Sends messages that want an answer, and matches the answers."""

    def __init__(self, write: Callable[[bytes], Awaitable[None]], profile: DeviceProfile) -> None:
        """Prepare a sender.

        Args:
            write: Sends one message in its marks.
            profile: For the time limit and the number of attempts.
        """
        self._write = write
        self._profile = profile
        self._turn = asyncio.Lock()
        self._expected: dict[str, asyncio.Future[Verdict]] = {}
        self._last_heard: Verdict | None = None

    def hear(self, verdict: Verdict) -> bool:
        """Take an answer of the device; False where it belongs to nothing we wait for."""
        answered = self._expected.get(verdict.control_id)
        if answered is None:
            return False
        if not verdict.is_commit and not answered.done():
            answered.set_result(verdict)
            self._last_heard = verdict
        return True

    def outcome_of(self, control_id: str) -> tuple[DownloadResult, str]:
        """Return what became of a message when the connection ended, perhaps right after its answer."""
        last = self._last_heard
        if last is not None and last.control_id == control_id and last.result is not None:
            return _outcome(last)
        return DownloadResult.UNDELIVERED, "the connection ended"

    async def ask(self, message: Outgoing, attempts: int = 1) -> Verdict | None:
        """Send `message` until it is answered or the attempts are used up.

        Returns:
            The last answer, or None where none came.

        Raises:
            ConnectionError: The device is gone, or does not read.
        """
        verdict = None
        try:
            for attempt in range(attempts):
                if attempt and verdict is not None:
                    await asyncio.sleep(min(self._profile.work.answer_s, _RETRY_SECONDS))
                if verdict is not None or message.control_id not in self._expected:
                    self._expected[message.control_id] = asyncio.get_running_loop().create_future()
                verdict = await self._exchange(message) or verdict
                if verdict is not None and verdict.result is not None:
                    break
        finally:
            self._expected.pop(message.control_id, None)
        return verdict

    async def _exchange(self, message: Outgoing) -> Verdict | None:
        answered = self._expected[message.control_id]
        async with self._turn:
            if not answered.done():  # a late answer to the attempt before
                await self._write(message.message)
                await asyncio.wait({answered}, timeout=self._profile.work.answer_s)
        return answered.result() if answered.done() else None

    async def deliver(self, download: Download, header: Segment | None, control_id: str) -> tuple[DownloadResult, str]:
        """Send the work of a download.

        Args:
            download: What to send.
            header: MSH of the last message of the device, if there was one.
            control_id: For MSH-10.

        Returns:
            What became of it, and why, for people.

        Raises:
            ConnectionError: The device is gone.
            MessageError: The device's own header cannot be read.
        """
        envelope = envelope_for(self._profile, header)
        message = order_message(download.work, self._profile, envelope, control_id=control_id, moment=utc_now())
        verdict = await self.ask(Outgoing(control_id, message), self._profile.work.attempts)
        if verdict is None:
            return DownloadResult.UNDELIVERED, "the device did not answer"
        return _outcome(verdict)

    async def answer(self, message: Outgoing) -> None:
        """Send work that the device asked for, once: a device that misses it asks again.

        Raises:
            ConnectionError: The device is gone.
        """
        verdict = await self.ask(message)
        if verdict is None:
            _log.warning("no answer to work that the device asked for")
        elif verdict.result is not DownloadResult.ACCEPTED:
            _log.info("work that the device asked for was not taken: %s", verdict.note)


def _outcome(verdict: Verdict) -> tuple[DownloadResult, str]:
    """A device that wants work again and again is not able to take it."""
    return verdict.result or DownloadResult.REFUSED, verdict.note
