"""What shall go wrong with a simulated device or host, beyond what every line can do."""

from __future__ import annotations

from dataclasses import dataclass

from connectors.device_side import LineFaults


@dataclass(frozen=True)
class SimulatorFaults(LineFaults):
    """Faults on order; by default nothing goes wrong.

    `broken_first` is what the protocol has for a broken message: a wrong checksum (ASTM, Dimension), a wrong check byte
    (AU), a block that is begun again (HL7, AU without check byte, SNIBE).

    Attributes:
        refuse_first: So many frames, blocks or messages received are refused, whatever is in them: a storm of NAK.
        ignore_first: So many openings by the peer (ENQ, or a message) are not answered at all.
        contention: ASTM: the first ENQ of the peer is met with an ENQ of our own.
        reconnect: Hang up after every message and call again for the next.
        second_session: Open a second connection beside the first and leave it idle, as a restarted device does.
    """

    refuse_first: int = 0
    ignore_first: int = 0
    contention: bool = False
    reconnect: bool = False
    second_session: bool = False
