"""What a device sent of late, by code: shown beside a proposal, so that a person sees what is being mapped."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from activities.instruments.reading import read
from domain.device_profile import DeviceProfile
from domain.errors import MessageError
from domain.observations import MessageKind

MESSAGES = 60
"""How many of a device's newest messages are looked at."""
VALUES = 5


@dataclass(frozen=True)
class RecentValue:
    """One value as it was sent."""

    value: str
    unit: str


def recent_values(raws: Iterable[bytes], profile: DeviceProfile) -> dict[str, list[RecentValue]]:
    """Return the newest values of each code, at most VALUES, without those of controls."""
    found: defaultdict[str, list[RecentValue]] = defaultdict(list)
    for raw in raws:
        try:
            message = read(raw, profile)
        except MessageError:
            continue
        reports = message.specimens if message.kind is MessageKind.RESULTS else ()
        for observation in (row for report in reports if not report.is_control for row in report.observations):
            values = found[observation.code]
            if len(values) < VALUES:
                values.append(RecentValue(observation.value[:60], observation.unit[:40]))
    return dict(found)
