"""Simulated analyzers and hosts for every known model, over the model's own link, with faults on order.

`DeviceSimulator` plays the analyzer, `HostSimulator` the laboratory's system. Messages are written from the facts the
models' files cite and not with the readers they are meant to try. The two analyzers of the demonstration, with their
full panels, are `ChemistryAnalyzerSimulator` and `HaematologyAnalyzerSimulator`.
"""

from connectors.analyzers.simulator.demo import (
    AnalyzerSimulator,
    ChemistryAnalyzerSimulator,
    HaematologyAnalyzerSimulator,
)
from connectors.analyzers.simulator.device import DeviceSimulator
from connectors.analyzers.simulator.faults import SimulatorFaults
from connectors.analyzers.simulator.host import HostSimulator
from connectors.analyzers.simulator.link import LinkTimes, Sent
from connectors.analyzers.simulator.registry import DIALECTS, dialect_of, link_for

__all__ = [
    "DIALECTS",
    "AnalyzerSimulator",
    "ChemistryAnalyzerSimulator",
    "DeviceSimulator",
    "HaematologyAnalyzerSimulator",
    "HostSimulator",
    "LinkTimes",
    "Sent",
    "SimulatorFaults",
    "dialect_of",
    "link_for",
]
