"""The ASTM server: analyzers connect and send; a message is acknowledged once the store has it.

Source: CLSI LIS01-A2, 9 (TCP: the computer listens, the instrument connects), read in specs.
"""

from __future__ import annotations

from connectors.astm.conversation import converse
from connectors.line import Line
from connectors.listener import Listener
from domain.device_profile import DeviceProfile


class AstmServer(Listener):
    """Listens for analyzers that speak ASTM; port 6662 by default of the project."""

    protocol = "astm"
    answer_seconds = 12.0
    """A sender gives up after 15 s; an ACK that comes later could be taken for the answer to its next ENQ."""

    async def converse(self, line: Line, profile: DeviceProfile) -> None:
        """Receive until the peer closes the connection."""
        await converse(line, profile, self.limits)
