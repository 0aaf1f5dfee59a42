"""The HL7 server: analyzers connect, send MLLP blocks and wait for the acknowledgement of each.

Source: HL7 Transport Specification: MLLP, release 1, read in specs.
"""

from __future__ import annotations

from connectors.hl7.conversation import converse
from connectors.line import Line
from connectors.listener import Listener
from domain.device_profile import DeviceProfile


class Hl7Server(Listener):
    """Listens for analyzers that speak HL7 v2 over MLLP; port 6661 by default of the project."""

    protocol = "hl7"

    async def converse(self, line: Line, profile: DeviceProfile) -> None:
        """Receive until the peer closes the connection."""
        await converse(line, profile, self.limits)
