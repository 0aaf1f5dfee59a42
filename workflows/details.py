"""What operators read on a run in the Temporal UI: a short Markdown table, set at every change."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta


def details(title: str, waits_for: str, facts: Mapping[str, str], waiting: Mapping[str, str]) -> str:
    """Return the current details of a run.

    Args:
        title: Where it is, in one phrase.
        waits_for: What it waits for, in one phrase.
        facts: Rows of the table.
        waiting: Steps that need attention, with their codes.
    """
    rows = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
    attention = "".join(f"\n- **{step}** needs attention: `{code}`" for step, code in waiting.items())
    table = f"\n\n| | |\n|---|---|\n{rows}" if rows else ""
    return f"**{title}**. Waits for: {waits_for}.{table}{attention}"


_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60))


def spoken(duration: timedelta) -> str:
    """Return a duration as people say it, in its largest whole unit: `2 days`, `12 hours`, `90 seconds`."""
    seconds = int(duration.total_seconds())
    for name, size in _UNITS:
        if seconds >= size and seconds % size == 0:
            count = seconds // size
            return f"{count} {name}{'' if count == 1 else 's'}"
    return f"{seconds} second{'' if seconds == 1 else 's'}"
