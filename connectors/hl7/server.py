"""The HL7 server: analyzers connect, send MLLP blocks, wait for the answer to each, and are given work.

Source: HL7 Transport Specification: MLLP, release 1, read in specs.
"""

from __future__ import annotations

from functools import cached_property

from connectors.hl7.conversation import converse
from connectors.hl7.device_lines import LineRegistry
from connectors.line import Line
from connectors.listener import Listener
from domain.device_profile import DeviceProfile


class Hl7Server(Listener):
    """Listens for analyzers that speak HL7 v2 over MLLP; port 6661 by default of the project."""

    protocol = "hl7"

    @cached_property
    def registry(self) -> LineRegistry:
        """The lines by device; may be set to one that other listeners or outgoing lines share."""
        return LineRegistry()

    async def converse(self, line: Line, profile: DeviceProfile) -> None:
        """Speak until the peer closes the connection."""
        await converse(line, profile, self.limits, self.registry.of(line.state.peer))
