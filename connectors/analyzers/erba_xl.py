"""Erba (Transasia) XL-640 and XL-1000: clinical chemistry over ASTM.

The repeat delimiter is a backtick, declared in H. The header names no sender: the connection identifies the device.
Each test comes in a transmission of its own, all records packed into one frame. Queries name several specimens at
once. A failed test has the value `NA`. Test codes are set per site, so no table is proposed.

Source: messages of XL-640 and XL-1000 devices at a teaching hospital in India, 2020, read in specs.
"""

from __future__ import annotations

from typing import Final

from connectors.analyzers.model import DeviceModel
from domain.device_profile import DeviceProfile

MODEL: Final = DeviceModel(key="erba_xl", title="Erba XL-640 / XL-1000 (ASTM)", profile=DeviceProfile(protocol="astm"))
