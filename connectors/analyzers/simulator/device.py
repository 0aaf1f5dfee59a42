"""A simulated analyzer of any known model: asks for work, measures, sends results and controls, takes downloads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Self

from connectors.analyzers.driver import MODELS
from connectors.analyzers.simulator.astm_links import BareLink, FramedLink
from connectors.analyzers.simulator.content import CONTROL_LEVELS, Sample, SimulatedTest, WorkAnswer
from connectors.analyzers.simulator.faults import SimulatorFaults
from connectors.analyzers.simulator.link import BoundLine, LinkTimes, SimulatedLink
from connectors.analyzers.simulator.registry import dialect_of, link_for
from connectors.device_side import Delivery, DeviceLine
from domain.clock import IST, utc_now

_UNLISTED = (0.0, 1000.0)
_DOWNLOAD_SECONDS = 0.05
"""How long to listen for work nobody asked for, where there may be more behind the first."""


class DeviceSimulator:
    """One analyzer, calling a host.

    Attributes:
        model: What it plays.
        journal: Every result message in the order sent, controls included.
        worklist: Codes by barcode, as the host gave them.
    """

    def __init__(
        self,
        model_key: str,
        host: str,
        port: int,
        *,
        seed: int = 1,
        faults: SimulatorFaults | None = None,
        times: LinkTimes | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """Prepare the analyzer; it connects when it first has something to say.

        Raises:
            KeyError: No such model.
        """
        self.model = MODELS[model_key]
        self.journal: list[Delivery] = []
        self.worklist: dict[str, tuple[str, ...]] = {}
        self._dialect = dialect_of(model_key)
        self._faults = faults or SimulatorFaults()
        self._times = times or LinkTimes()
        self._line = DeviceLine(host, port, self._faults)
        self._idle = DeviceLine(host, port)
        self._link = self._linked(self._line)
        self._seed = seed
        self._clock = clock
        self._serial = 0

    @property
    def asks(self) -> bool:
        """True for devices that ask for work."""
        return self._dialect.asks

    @property
    def tests(self) -> tuple[SimulatedTest, ...]:
        """What it measures where nobody says what to."""
        return self._dialect.tests

    def answer_calls(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Use a connection that the host has opened, for devices that listen."""
        self._link = self._linked(BoundLine(reader, writer, self._faults))

    async def run(
        self,
        specimen_ids: Sequence[str],
        *,
        values: Mapping[str, Mapping[str, str]] | None = None,
        with_controls: bool = True,
        with_query: bool = False,
    ) -> list[Delivery]:
        """Measure controls, then specimens, and send each.

        Args:
            specimen_ids: Barcodes in the order of the rack.
            values: Values to report instead of the drawn ones, by barcode and code.
            with_controls: Send both control levels first.
            with_query: Ask what to measure on each tube and measure that; tubes without work are passed over.

        Returns:
            This run's part of the journal.
        """
        start = len(self.journal)
        if self._faults.second_session:
            await self._idle.write(b"")
        names = [self._dialect.control_name(level) for level, _ in enumerate(CONTROL_LEVELS)] if with_controls else []
        for level, name in enumerate(names):
            await self._measure(name, self.tests, level, (values or {}).get(name, {}))
        for specimen_id in specimen_ids:
            tests = self.tests
            if with_query and self.asks:
                tests = self._ordered((await self.ask(specimen_id)).get(specimen_id, ()))
            if tests:
                await self._measure(specimen_id, tests, None, (values or {}).get(specimen_id, {}))
        return self.journal[start:]

    async def ask(self, *specimen_ids: str) -> dict[str, tuple[str, ...]]:
        """Ask the host what to measure; return codes by barcode, nothing for tubes without work.

        An answer the device cannot read (more than one record in a frame, VITROS) makes it take the question back.
        """
        self._serial += 1
        sent = await self._link.send(self._dialect.query(specimen_ids, self._serial, self._now()))
        answer = self._dialect.work_in(sent.raw) if sent.raw else None
        found: dict[str, tuple[str, ...]] = dict(answer.orders) if answer else {}
        while answer is None or not answer.is_last:
            raw = await self._receive(self._times.answer)
            if raw is None:
                break
            if not self._is_understood(raw):
                await self._link.send(self._dialect.cancel_query(specimen_ids, self._serial, self._now()))
                break
            answer = await self._taken(raw) or answer
            found.update(answer.orders if answer else {})
        self.worklist.update({key: codes for key, codes in found.items() if codes})
        return {key: codes for key, codes in found.items() if codes}

    async def take_downloads(self, seconds: float) -> dict[str, tuple[str, ...]]:
        """Wait for work that nobody asked for; return codes by barcode."""
        found: dict[str, tuple[str, ...]] = {}
        while (raw := await self._receive(seconds)) is not None:
            answer = await self._taken(raw)
            found.update(answer.orders if answer else {})
            seconds = min(seconds, max(_DOWNLOAD_SECONDS, self._times.retry))
        self.worklist.update(found)
        return found

    async def connect(self) -> None:
        """Call the host without saying anything."""
        await self._link.line.write(b"")

    async def close(self) -> None:
        """Hang up."""
        await self._link.line.close()
        await self._idle.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def sample(
        self, specimen_id: str, tests: Sequence[SimulatedTest], level: int | None, values: Mapping[str, str]
    ) -> Sample:
        """Return a tube measured: drawn values, those given instead, and given ones the panel does not have."""
        self._serial += 1
        known = {test.code for test in tests}
        extra = [SimulatedTest(code, code, "", *_UNLISTED) for code in values if code not in known]
        measured = [
            (test, values.get(test.code) or test.value_for(self._seed, specimen_id)) for test in (*tests, *extra)
        ]
        return Sample(specimen_id, measured, level, self._serial, self._now())

    def messages(self, sample: Sample) -> list[bytes]:
        """Return what the device sends for a measured tube."""
        return self._dialect.results(sample)

    async def _measure(
        self, specimen_id: str, tests: Sequence[SimulatedTest], level: int | None, values: Mapping[str, str]
    ) -> None:
        sample = self.sample(specimen_id, tests, level, values)
        measured = {test.code: value for test, value in sample.values}
        for raw in self.messages(sample):
            sent = await self._link.send(raw)
            answer = await self._verdict(sent.answer)
            self.journal.append(Delivery(specimen_id, sample.is_control, raw, measured, sent.attempts, answer))
        if isinstance(self._link, BareLink):
            await self._link.line.close()

    async def _verdict(self, answer: str) -> str:
        """Return the answer; a Dimension is told in a message of its own whether its result is accepted."""
        if self.model.profile.protocol != "dimension" or answer != "ACK":
            return answer
        raw = await self._receive(self._times.answer)
        return "ACK" if raw is not None and raw.startswith(b"M\x1cA") else "refused"

    async def _receive(self, seconds: float) -> bytes | None:
        try:
            return await self._link.receive(seconds)
        except OSError:
            return None

    async def _taken(self, raw: bytes) -> WorkAnswer | None:
        self._serial += 1
        reply = self._dialect.reply(raw, self._serial, self._now())
        if reply:
            await self._link.reply(reply)
        return self._dialect.work_in(raw)

    def _is_understood(self, raw: bytes) -> bool:
        if not self._dialect.one_record_per_frame or not isinstance(self._link, FramedLink):
            return True
        return self._link.received_frames >= raw.count(b"\r")

    def _ordered(self, codes: Sequence[str]) -> tuple[SimulatedTest, ...]:
        known = {test.code: test for test in self.tests}
        return tuple(known.get(code) or SimulatedTest(code, code, "", *_UNLISTED) for code in codes)

    def _linked(self, line: DeviceLine) -> SimulatedLink:
        return link_for(self.model.profile, line, faults=self._faults, times=self._times)

    def _now(self) -> datetime:
        return self._clock().astimezone(IST)
