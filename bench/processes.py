"""CPU time of processes and all that they have started. Linux only.

Source: Linux, proc(5): `/proc/<pid>/stat`, fields 4 (parent) and 14 to 17 (times in clock ticks).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(roots: Mapping[str, int]) -> dict[str, float]:
    """Return the seconds that each process named in `roots` (name to pid) has spent so far, with its descendants."""
    parents: dict[int, int] = {}
    spent: dict[int, float] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            fields = (folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:  # it ended while we looked
            continue
        pid = int(folder.name)
        parents[pid] = int(fields[1])
        spent[pid] = sum(map(int, fields[11:15])) / _TICKS
    names = {pid: name for name, pid in roots.items()}
    totals = dict.fromkeys(roots, 0.0)
    for pid, seconds in spent.items():
        owner: int | None = pid
        while owner is not None and owner not in names:
            owner = parents.get(owner)
        if owner is not None:
            totals[names[owner]] += seconds
    return totals
