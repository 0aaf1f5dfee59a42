"""A recording of a device's lines: pieces of bytes in both directions with their times, and its bounds.

The bytes hold patients and results.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

MAX_MINUTES: Final = 60
MAX_BYTES: Final = 4 << 20
DEFAULT_BYTES: Final = 1 << 20
"""As much as an examination looks at."""
MAX_PIECES: Final = 20_000


@dataclass(frozen=True)
class LinePiece:
    """Bytes that went over a line in one go.

    Attributes:
        at: When the first of them was read or given to the line, aware UTC.
        is_sent: By us, to the device.
        peer: The other end of the connection, `ip:port` or a path.
        connected_at: When that connection was opened, aware UTC; with `peer` it tells connections apart.
    """

    at: datetime
    is_sent: bool
    data: bytes = field(repr=False)
    peer: str
    connected_at: datetime
