"""Plays an analyzer against a listener: `labsetu simulate`, and the demo."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.analyzers.simulator import ChemistryAnalyzerSimulator, HaematologyAnalyzerSimulator
from connectors.device_side import Delivery


async def measure(
    device: str, specimens: Sequence[str], host: str, port: int, *, seed: int = 1, with_controls: bool = True
) -> list[Delivery]:
    """Measure `specimens` on a simulated `chemistry` (ASTM) or `haematology` (HL7) analyzer and send the results.

    Returns:
        What was sent and how it was answered, controls first.
    """
    kind = ChemistryAnalyzerSimulator if device == "chemistry" else HaematologyAnalyzerSimulator
    async with kind(host, port, seed=seed) as analyzer:
        return await analyzer.run(specimens, with_controls=with_controls)
