"""What the host does on a Dimension line: answers polls and queries with work, takes results once they are stored.

Source: Dimension Clinical Chemistry Systems Interface Specification Guide as implemented by RosieLIS (MIT), read in
specs.
"""

from __future__ import annotations

import asyncio
import logging

from connectors.block_line import play
from connectors.blocks import BlockLink
from connectors.dimension.texts import fields_of, no_request, result_answer, rules, sample_request
from connectors.line import Line, ListenerLimits
from domain.device_orders import Download, DownloadResult, WorkDesk, WorkQuery
from domain.device_profile import DeviceProfile
from domain.errors import MessageError

_log = logging.getLogger(__name__)

_UNCONFIRMED = "the analyzer did not confirm it"


async def converse(line: Line, profile: DeviceProfile, limits: ListenerLimits) -> None:
    """Answer the analyzer until it closes the connection.

    Raises:
        ConnectionError: The peer is gone.
    """
    link = BlockLink(
        rules(check=profile.checksum == "required"),
        max_message_bytes=limits.max_message_bytes,
        block_seconds=limits.message_seconds,
    )
    host = _Host(line, profile)
    lost: ConnectionError | None = None
    try:
        async with asyncio.TaskGroup() as tasks:
            fetching = tasks.create_task(host.fetch())
            try:
                await play(line, link, host)
            except ConnectionError as error:
                lost = error
            finally:
                fetching.cancel()
    finally:
        await host.release()
    if lost is not None:
        raise lost


class _Host:
    """Decides what becomes of each message, and holds the one piece of work that waits for the next poll."""

    def __init__(self, line: Line, profile: DeviceProfile) -> None:
        self._line = line
        self._profile = profile
        self._desk: WorkDesk | None = line.desk
        self._ready: Download | None = None
        self._offered: Download | None = None
        self._is_free = asyncio.Event()
        self._is_free.set()

    async def fetch(self) -> None:
        """Hold the next piece of work ready, whenever there is none in hand."""
        if self._desk is None or not self._profile.work.sends_unasked:
            return
        while True:
            await self._is_free.wait()
            self._ready = await self._desk.next_download()
            self._is_free.clear()

    async def release(self) -> None:
        """Give back what was fetched and not confirmed."""
        for download in (self._offered, self._ready):
            if download is not None:
                await self._settle(download, DownloadResult.UNDELIVERED, "the connection ended")

    def is_kept(self, message: bytes) -> bool:
        """Polls and confirmations carry nothing to keep."""
        return message[:1] not in {b"P", b"M"}

    def is_acknowledged(self, *, is_durable: bool) -> bool:  # noqa: ARG002  the interface of a host
        """The ACK says that the block is whole; whether a result is taken is said by a message of its own."""
        return True

    async def answers(self, message: bytes, *, is_durable: bool) -> bytes:
        """Return the answer to a message."""
        fields = fields_of(message.decode("latin-1"))
        match fields[0]:
            case "P":
                return await self._on_poll()
            case "I":
                return await self._on_query(fields[1] if len(fields) > 1 else "")
            case "M":
                await self._on_confirmation(fields)
            case "R" | "C":
                return result_answer(is_accepted=is_durable)
        return b""

    async def sent(self, *, is_accepted: bool) -> None:
        """Give work back that did not arrive."""
        if not is_accepted:
            await self._close_offer(DownloadResult.UNDELIVERED, "it was not acknowledged")

    async def _on_poll(self) -> bytes:
        await self._close_offer(DownloadResult.UNDELIVERED, _UNCONFIRMED)
        if self._ready is None:
            return no_request()
        self._offered, self._ready = self._ready, None
        try:
            return sample_request(self._offered.work)
        except MessageError as error:
            await self._close_offer(DownloadResult.REFUSED, error.message)
            return no_request()

    async def _on_query(self, specimen: str) -> bytes:
        if self._desk is None or not self._profile.work.answers_queries or not specimen:
            return no_request()
        await self._close_offer(DownloadResult.UNDELIVERED, _UNCONFIRMED)
        found = await self._desk.work_for(WorkQuery(specimen_ids=(specimen,)))
        if found is None or (not found and self._profile.work.no_work == "silent"):
            return b""
        try:
            return sample_request(found[0]) if found else no_request()
        except MessageError as error:
            _log.warning("a query of %s is not answered: %s", self._line.state.peer, error.code)
            return b""

    async def _on_confirmation(self, fields: list[str]) -> None:
        is_taken = fields[1:2] == ["A"]
        if self._offered is None:
            if not is_taken:
                _log.warning("%s refused the work it asked for", self._line.state.peer)
            return
        code = "".join(letter for letter in "".join(fields[2:3]) if letter.isalnum())[:10]
        result = DownloadResult.ACCEPTED if is_taken else DownloadResult.REFUSED
        await self._close_offer(result, "" if is_taken else f"refused by the analyzer, code {code or 'none'}")

    async def _close_offer(self, result: DownloadResult, note: str) -> None:
        download, self._offered = self._offered, None
        if download is not None:
            await self._settle(download, result, note)
            self._is_free.set()

    async def _settle(self, download: Download, result: DownloadResult, note: str) -> None:
        if self._desk is not None:
            await self._desk.settle(download, result, note)
