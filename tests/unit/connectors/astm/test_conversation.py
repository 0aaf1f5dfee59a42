"""The conversation without sockets: whatever bytes come, it ends with the line and loses nothing it took."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.astm.conversation import converse
from connectors.astm.errands import HostTimers
from connectors.astm.framing import frames_of
from connectors.line import ConnectionState, Line, ListenerLimits
from domain.clock import utc_now
from domain.device_profile import DeviceProfile
from domain.observations import ReceivedMessage, StoreOutcome

ENQ, ACK, EOT = b"\x05", b"\x06", b"\x04"
RESULT = b"H|\\^&\rR|1|^^^GLU|5\rL|1\r"
QUERY = b"H|\\^&\rQ|1|^7\rL|1\r"
PROFILES = [
    DeviceProfile(
        protocol="astm", frame_style=style, work={"style": "astm", "answers_queries": True, "sends_unasked": True}
    )
    for style in ("standard", "bare", "simple")
]


class Pipe:
    """A line to a device that has already said everything, and may be deaf."""

    def __init__(self, pieces: list[bytes], *, is_deaf: bool = False) -> None:
        self.said: list[bytes] = []
        self.kept: list[ReceivedMessage] = []
        self.is_deaf = is_deaf
        self.reader = asyncio.StreamReader()
        for piece in pieces:
            self.reader.feed_data(piece)
        self.reader.feed_eof()

    def write(self, data: bytes) -> None:
        self.said.append(data)

    async def drain(self) -> None:
        if self.is_deaf:
            raise ConnectionResetError("gone")

    async def keep(self, message: ReceivedMessage) -> StoreOutcome:
        self.kept.append(message)
        return StoreOutcome(accepted=True)

    async def work_for(self, query):
        return ()

    async def next_download(self):
        await asyncio.Event().wait()

    async def settle(self, download, result, note=""):
        raise AssertionError("nothing was given")

    async def converse(self, profile: DeviceProfile) -> None:
        state = ConnectionState(peer="192.0.2.1:9", local_port=6662, since=utc_now())
        line = Line(
            self.reader,
            self,
            protocol="astm",
            state=state,
            store=self.keep,
            store_seconds=1,
            write_seconds=1,
            desk=self,
        )
        async with asyncio.timeout(10):
            await converse(line, profile, ListenerLimits(max_message_bytes=500), HostTimers(desk=0.1))

    @property
    def messages(self) -> list[bytes]:
        return [message.raw for message in self.kept if not message.framing_error]


MARKS = st.sampled_from([ENQ, ACK, EOT, b"\x02", b"\x03", b"\x15", b"\r", RESULT, QUERY, *frames_of(QUERY)])


@settings(deadline=None, max_examples=60)
@given(st.lists(st.one_of(MARKS, st.binary(max_size=8)), max_size=25), st.sampled_from(PROFILES))
def test_any_bytes_are_survived(pieces, profile):
    async def play() -> None:
        await Pipe(pieces).converse(profile)

    with asyncio.Runner() as runner:
        runner.run(play())


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from([RESULT, QUERY]), max_size=6), st.integers(1, 40))
def test_what_was_taken_is_kept_however_it_is_cut(messages, size):
    stream = b"".join(ENQ + b"".join(frames_of(message)) + EOT for message in messages)
    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]

    async def play() -> list[bytes]:
        pipe = Pipe(pieces)
        await pipe.converse(PROFILES[0])
        return pipe.messages

    with asyncio.Runner() as runner:
        assert runner.run(play()) == messages


async def test_a_device_that_does_not_read_leaves_what_it_said():
    pipe = Pipe([ENQ + b"".join(frames_of(RESULT)) + ENQ], is_deaf=True)
    with pytest.raises(ConnectionError, match="gone"):
        await pipe.converse(PROFILES[0])
    assert pipe.messages == [RESULT]
    assert len(pipe.said) == 1
