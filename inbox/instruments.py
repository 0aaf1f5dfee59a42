"""How the inbox reads instrument messages; the reading itself is shared with the API, which rehearses it."""

from __future__ import annotations

from activities.instruments.reading import interpret, read

__all__ = ["interpret", "read"]
