"""Plays analyzers against a listener, and a host against analyzers: `labsetu simulate`, and the demo."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from connectors.analyzers.driver import MODELS
from connectors.analyzers.simulator import (
    ChemistryAnalyzerSimulator,
    DeviceSimulator,
    HaematologyAnalyzerSimulator,
    HostSimulator,
    SimulatorFaults,
)
from connectors.device_side import Delivery, LineFaults

__all__ = [
    "DEMO_ANALYZERS",
    "Run",
    "SimulatorFaults",
    "devices",
    "measure",
    "play",
    "protocol_of",
    "serve_host",
    "usual_port",
]

DEMO_ANALYZERS: Final = {"chemistry": "mindray_bs", "haematology": "mindray_bc"}
"""The two analyzers of the demonstration, with their full panels, and the models they are."""


@dataclass(frozen=True)
class Run:
    """What a simulated analyzer is to do.

    Attributes:
        specimens: Barcodes in the order of the rack.
        seed: Another seed draws other values.
        with_controls: Send both control levels first.
        with_query: Ask what to measure on each tube.
        listen_s: Afterwards wait so long for work that nobody asked for, seconds.
    """

    specimens: Sequence[str]
    seed: int = 1
    with_controls: bool = True
    with_query: bool = False
    listen_s: float = 0.0


def devices() -> list[str]:
    """Return the names that `labsetu simulate` knows."""
    return [*DEMO_ANALYZERS, *MODELS]


def protocol_of(device: str) -> str:
    """Return the protocol of a device that `devices` names."""
    return MODELS[DEMO_ANALYZERS.get(device, device)].profile.protocol


def usual_port(device: str) -> int:
    """Return the TCP port that devices of the model propose, or 0."""
    return MODELS[DEMO_ANALYZERS.get(device, device)].transport.port or 0


async def measure(
    device: str,
    specimens: Sequence[str],
    host: str,
    port: int,
    *,
    seed: int = 1,
    with_controls: bool = True,
    faults: LineFaults | None = None,
) -> list[Delivery]:
    """Measure `specimens` on a simulated `chemistry` (ASTM) or `haematology` (HL7) analyzer and send the results.

    Returns:
        What was sent and how it was answered, controls first.
    """
    kind = ChemistryAnalyzerSimulator if device == "chemistry" else HaematologyAnalyzerSimulator
    async with kind(host, port, seed=seed, faults=faults) as analyzer:
        return await analyzer.run(specimens, with_controls=with_controls)


async def play(
    model: str, host: str, port: int, run: Run, *, faults: SimulatorFaults | None = None
) -> tuple[list[Delivery], dict[str, tuple[str, ...]]]:
    """Play an analyzer of a known model.

    Returns:
        What was sent and how it was answered; the work the host gave, codes by barcode.

    Raises:
        OSError: Nobody listens there.
    """
    async with DeviceSimulator(model, host, port, seed=run.seed, faults=faults) as analyzer:
        await analyzer.connect()
        deliveries = await analyzer.run(run.specimens, with_controls=run.with_controls, with_query=run.with_query)
        if run.listen_s:
            await analyzer.take_downloads(run.listen_s)
        return deliveries, dict(analyzer.worklist)


async def serve_host(
    model: str,
    work: Mapping[str, Sequence[str]],
    host: str,
    port: int,
    *,
    on_message: Callable[[bytes], None],
    faults: SimulatorFaults | None = None,
    announce: Callable[[int], None],
    messages: int = 0,
) -> None:
    """Play the host for devices of a known model until cancelled, or until it has received `messages`.

    Args:
        model: Of the devices.
        work: Codes by barcode, to answer questions with.
        host: Address to listen on.
        port: Port, or 0 for any.
        on_message: Called with every message received.
        faults: What shall go wrong.
        announce: Called with the port once it listens.
        messages: 0 for no end.
    """
    async with HostSimulator(model, work, host=host, port=port, faults=faults, on_message=on_message) as simulator:
        announce(simulator.port)
        await simulator.until(lambda received: 0 < messages <= len(received))
