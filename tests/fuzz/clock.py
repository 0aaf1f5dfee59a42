"""A loop in which waiting takes no time, and what hears without a socket."""

import asyncio
import selectors


class FakeClockLoop(asyncio.SelectorEventLoop):
    """A loop in which waiting takes no time: where nothing can happen, the clock goes on to the next timer."""

    def __init__(self) -> None:
        super().__init__(_FakeClockSelector())

    def time(self) -> float:
        return self._selector.now


class _FakeClockSelector(selectors.SelectSelector):
    now = 0.0

    def select(self, timeout: float | None = None) -> list:
        ready = super().select(0)
        if not ready and timeout is None:
            raise AssertionError("nothing will ever happen")
        if not ready:
            self.now += timeout or 0
        return ready


class Ear:
    """What a device hears: in the place of a StreamWriter, which needs a socket."""

    def __init__(self) -> None:
        self.heard = b""
        self.transport = self

    async def drain(self) -> None:
        """Everything is taken at once."""

    def write(self, data: bytes) -> None:
        self.heard += data

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False
