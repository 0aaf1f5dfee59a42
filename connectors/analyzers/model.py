"""What is known of an analyzer model before a device of it is connected."""

from __future__ import annotations

from dataclasses import dataclass

from domain.device_profile import DeviceProfile


@dataclass(frozen=True)
class DeviceTest:
    """One analyte of a model.

    Attributes:
        code: What the device calls it in a message.
        name: What it calls it for people.
        lab_code: The laboratory's test code it is proposed for.
        unit: The unit text the device sends for it.
    """

    code: str
    name: str
    lab_code: str
    unit: str


@dataclass(frozen=True)
class DeviceModel:
    """An analyzer model.

    Attributes:
        key: Stable name, e.g. `mindray_bc`.
        title: For people.
        profile: How its devices speak, as far as it does not depend on their settings.
        tests: Proposed mapping; empty where codes are set by the site and no table can be right.
    """

    key: str
    title: str
    profile: DeviceProfile
    tests: tuple[DeviceTest, ...] = ()

    def lab_code_of(self, code: str) -> str:
        """Return the proposed laboratory code for a device code, or ""."""
        return next((test.lab_code for test in self.tests if test.code == code), "")
