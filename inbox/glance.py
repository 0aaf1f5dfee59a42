"""Whether a stored message can be read, told from a few bytes; only where these do not settle it is it read at once.

The device waits for its answer, and reading a message in full costs more than storing it. What a reader refuses is
a missing head and what exceeds a bound: a message with a sound head and far from every bound is not refused.
"""

from __future__ import annotations

from domain.device_profile import DeviceProfile

_FAR_BYTES = 512 << 10
_FAR_LINES = 10_000
_FAR_REPETITIONS = 1_000
"""Half of the readers' smallest bounds, or less."""

_MARKS = frozenset(b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
_HL7_HEAD = b"MSH"


def is_surely_readable(raw: bytes, profile: DeviceProfile) -> bool:
    """Tell whether no reader refuses `raw`; False where only reading it can tell."""
    if len(raw) > _FAR_BYTES or raw.count(b"\r") + raw.count(b"\n") > _FAR_LINES:
        return False
    if profile.protocol == "hl7":
        head = raw[: len(_HL7_HEAD) + 3]
        return head[:3] == _HL7_HEAD and _has_marks(head[3:], raw)
    if profile.protocol == "astm":
        return raw[:1] == b"H" and _has_marks(raw[1:4], raw)
    return False


def _has_marks(marks: bytes, raw: bytes) -> bool:
    """Look at the field mark and the two that follow it, one of which separates repetitions in each protocol."""
    return (
        len(marks) == 3  # noqa: PLR2004
        and all(mark in _MARKS for mark in marks)
        and all(raw.count(mark) < _FAR_REPETITIONS for mark in marks[1:])
    )
