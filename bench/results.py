"""What a benchmark found, and the page that shows it: `bench/RESULTS.md`, one section per benchmark."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles

from domain.clock import utc_now

ROOT = Path(__file__).parents[1]
PAGE = Path(__file__).parent / "RESULTS.md"
_TITLE = """# Measurements

Written by `make bench`; each section says when, where and how it was measured. Numbers of different sections were not
taken at the same moment. Nothing here is asserted in tests.
"""
_QUIET_LOAD = 0.3


def is_quick() -> bool:
    """Tell whether `BENCH_QUICK=1` asks for a short run that only shows that everything works."""
    return os.environ.get("BENCH_QUICK", "") not in {"", "0"}


@dataclass
class Table:
    """Rows of text or numbers below a heading."""

    columns: Sequence[str]
    rows: list[Sequence[object]] = field(default_factory=list)
    title: str = ""

    def lines(self) -> Iterator[str]:
        """Yield the table as Markdown."""
        if self.title:
            yield f"**{self.title}**\n"
        yield f"| {' | '.join(self.columns)} |"
        yield f"|{'|'.join(['---', *['---:'] * (len(self.columns) - 1)])}|"
        for row in self.rows:
            yield f"| {' | '.join(shown(cell) for cell in row)} |"
        yield ""


@dataclass
class Section:
    """All of one benchmark.

    Attributes:
        name: Of its module; the command that repeats it is made from it.
        method: How it was measured, in one paragraph.
        notes: What a reader must know to judge the numbers.
    """

    name: str
    title: str
    method: str
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def text(self, machine: str) -> str:
        """Return the section as Markdown."""
        lines = [f"## {self.title}\n", f"{machine}\n", f"{self.method}\n"]
        for table in self.tables:
            lines += table.lines()
        lines += [f"- {note}" for note in self.notes]
        return "\n".join(lines).rstrip() + "\n"


def shown(value: object) -> str:
    """Return a cell's text: numbers with three significant digits, None as a dash."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def percentile(values: Sequence[float], share: int) -> float:
    """Return the value that `share` per cent of `values` do not exceed."""
    ordered = sorted(values)
    return ordered[0] if len(ordered) == 1 else quantiles(ordered, n=100, method="inclusive")[share - 1]


def timed(call: Callable[[], object], *, for_s: float) -> list[float]:
    """Call again and again for so long, three times at least; return seconds of each call."""
    spent: list[float] = []
    until = time.perf_counter() + for_s
    while len(spent) < 3 or time.perf_counter() < until:
        begun = time.perf_counter()
        call()
        spent.append(time.perf_counter() - begun)
    return spent


@contextmanager
def recorded(section: Section) -> Iterator[Section]:
    """Measure in the block; then write the section, with the machine's state before it, into the page."""
    before = os.getloadavg()[0]
    yield section
    machine = _machine(section.name, before)
    text = section.text(machine)
    known = PAGE.read_text(encoding="utf-8") if PAGE.exists() else _TITLE
    mark = re.compile(rf"^<!-- {section.name} -->\n.*?(?=^<!-- |\Z)", re.MULTILINE | re.DOTALL)
    block = f"<!-- {section.name} -->\n{text}\n"
    page = mark.sub(lambda _: block, known) if mark.search(known) else f"{known.rstrip()}\n\n{block}"
    PAGE.write_text(page.rstrip() + "\n", encoding="utf-8")
    print(f"\n{text}")


def _machine(name: str, load: float) -> str:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    command = f"{'BENCH_QUICK=1 ' if is_quick() else ''}make bench T={name}"
    state = "other programs were running" if load > _QUIET_LOAD * (os.cpu_count() or 1) else "otherwise idle"
    return (
        f"{utc_now():%Y-%m-%d}, commit {commit or 'unknown'}, `{command}`; {os.cpu_count()} cores"
        f" ({platform.machine()}, shared virtual machine), Python {platform.python_version()};"
        f" load before the start {load:.1f}: {state}."
    )
