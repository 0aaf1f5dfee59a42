"""What the host does on an AU line: each block is stored, then acknowledged; requests are answered at once.

Source: AU680/AU480 Instrument Online Specification, January 2011 v9, as cited by live sites, read in specs.
"""

from __future__ import annotations

import logging

from connectors.au.texts import MARKERS, REQUESTS, answer, framed, identity_of, rules
from connectors.block_line import play
from connectors.blocks import BlockLink
from connectors.line import Line, ListenerLimits
from domain.device_orders import DeviceWork, WorkQuery
from domain.device_profile import DeviceProfile
from domain.errors import MessageError

_log = logging.getLogger(__name__)

_NO_SAMPLE = "SE"
"""Ends the host's answer without a sample."""


async def converse(line: Line, profile: DeviceProfile, limits: ListenerLimits) -> None:
    """Receive results and answer requests until the peer closes the connection."""
    link = BlockLink(
        rules(profile.au), max_message_bytes=limits.max_message_bytes, block_seconds=limits.message_seconds
    )
    await play(line, link, _Host(line, profile))


class _Host:
    """Decides what becomes of each message."""

    def __init__(self, line: Line, profile: DeviceProfile) -> None:
        self._line = line
        self._profile = profile

    def is_kept(self, message: bytes) -> bool:
        """Markers carry nothing and are acknowledged only."""
        return message[:2].decode("latin-1").ljust(2) not in MARKERS

    def is_acknowledged(self, *, is_durable: bool) -> bool:
        """What is not safe is answered by NAK, so that the device sends it again."""
        return is_durable

    async def answers(self, message: bytes, *, is_durable: bool) -> bytes:
        """Return the answer to a request; results need none but the ACK."""
        text = message.decode("latin-1")
        if text[:2].ljust(2) not in REQUESTS or not is_durable:
            return b""
        reply = await self._answer(text.rstrip("\r\n"))
        return framed(reply, self._profile.au) if reply else b""

    async def sent(self, *, is_accepted: bool) -> None:
        """Note an answer that the device did not acknowledge: it asks again by itself."""
        if not is_accepted:
            _log.warning("%s did not acknowledge the answer to its request", self._line.state.peer)

    async def _answer(self, request: str) -> str:
        work_rules = self._profile.work
        if self._line.desk is None or not work_rules.answers_queries:
            return ""
        try:
            specimen = identity_of(request).sample_id
            found: tuple[DeviceWork, ...] | None = ()
            if specimen:  # without a barcode nothing can be looked up, and an empty query would mean everything
                found = await self._line.desk.work_for(WorkQuery(specimen_ids=(specimen,)))
            if found is None:
                return ""
            if found:
                return answer(request, found[0], self._profile.au)
            return self._nothing(request)
        except MessageError as error:
            _log.warning("a request of %s is not answered: %s", self._line.state.peer, error.code)
            return ""

    def _nothing(self, request: str) -> str:
        match self._profile.work.no_work:
            case "silent":
                return ""
            case "terminator" | "no_patient":
                return _NO_SAMPLE
            case _:
                return answer(request, None, self._profile.au)
