"""The link vectors once more: byte by byte, through our own encoder, and over a real socket."""

import asyncio
import contextlib
import json
import os
from pathlib import Path

import pytest

from connectors.astm.framing import encode_frame, frames_of
from connectors.astm.sender import AstmSender, Finished, SenderRole, SendResult
from connectors.astm.server import AstmServer
from connectors.astm.session import Arrived, AstmReceiver, Reply
from domain.observations import ReceivedMessage, StoreOutcome

CORPUS = Path(os.environ.get("LABSETU_CORPUS", Path(__file__).parents[2] / ".." / "shared" / "data"))
VECTORS = CORPUS / "instruments" / "astm" / "link_vectors.json"
LINK = json.loads(VECTORS.read_text(encoding="utf-8")) if VECTORS.exists() else {}

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not LINK, reason="no link vectors under LABSETU_CORPUS"),
]


def named(kind: str, *, without: str = "\0"):
    cases = [case for case in LINK.get(kind, []) if without not in json.dumps(case.get("steps", ""))]
    return {"argvalues": cases, "ids": [case["name"] for case in cases]}


@pytest.mark.parametrize("case", **named("frames"))
def test_our_frames_are_the_vectors_byte_for_byte(case):
    frames = [bytes.fromhex(raw) for raw in (case["hex"] if isinstance(case["hex"], list) else [case["hex"]])]
    for frame in frames:
        assert encode_frame(frame[1] - ord("0"), frame[2:-5], is_last=frame[-5:-4] == b"\x03") == frame
    if len(frames) > 1:
        text = b"".join(frame[2:-5] for frame in frames)
        assert [frame[2:-4] for frame in frames_of(text)] == [frame[2:-4] for frame in frames]


@pytest.mark.parametrize("case", **named("receiver"))
def test_receiver_vectors_byte_by_byte(case):
    session = AstmReceiver()
    session.is_accepting = not case["name"].startswith("receiver not ready")
    said, delivered = b"", []

    def take(events) -> None:
        nonlocal said
        for event in events:
            if isinstance(event, Reply):
                said += event.data
                continue
            delivered.extend(event.messages if isinstance(event, Arrived) else ())
            take(session.settle(is_durable=True))

    for step in case["steps"]:
        for byte in bytes.fromhex(step.get("in", "")):
            take(session.feed(bytes((byte,))))
        if "timer" in step:
            take(session.expire())
        if "out" in step:
            assert said.hex() == step["out"]
            said = b""
        if "deliver" in step:
            records = [each.decode("latin-1").removesuffix("\r").split("\r") for each in delivered]
            assert records == step["deliver"]
            delivered.clear()


class Shelf:
    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.news = asyncio.Condition()

    async def __call__(self, message: ReceivedMessage) -> StoreOutcome:
        async with self.news:
            self.messages += [] if message.framing_error else [message.raw]
            self.news.notify_all()
        return StoreOutcome(accepted=True)

    async def arrived(self, count: int) -> None:
        async with self.news, asyncio.timeout(5):
            await self.news.wait_for(lambda: len(self.messages) >= count)

    def take(self) -> list[list[str]]:
        taken, self.messages = self.messages, []
        return [each.decode("latin-1").removesuffix("\r").split("\r") for each in taken]


@pytest.mark.parametrize("case", **named("receiver", without='"timer"'))
async def test_receiver_vectors_over_a_socket(case):
    shelf = Shelf()
    async with AstmServer("127.0.0.1", 0, shelf) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for step in case["steps"]:
            if "in" in step:
                writer.write(bytes.fromhex(step["in"]))
                await writer.drain()
            if "out" in step:
                async with asyncio.timeout(5):
                    assert (await reader.readexactly(len(step["out"]) // 2)).hex() == step["out"]
            if "deliver" in step:
                await shelf.arrived(len(step["deliver"]))
                assert shelf.take() == step["deliver"]
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@pytest.mark.parametrize("case", **named("sender"))
def test_our_receiver_takes_what_the_sender_of_a_vector_says(case):
    """Both of our machines against each other: what a vector's dialogue leaves open they finish."""
    frames = [bytes.fromhex(step["out"]) for step in LINK["sender"][0]["steps"] if len(step.get("out", "")) > 2]
    role = SenderRole(case.get("role", "instrument"))
    receiver, sender = AstmReceiver(), AstmSender(frames, role=role)
    delivered: list[bytes] = []
    results: list[SendResult] = []
    said = sender.start()
    while said:
        answers = b""
        for event in said:
            if isinstance(event, Finished):
                results.append(event.result)
                continue
            heard = receiver.feed(event.data)
            while heard:
                each = heard.pop(0)
                answers += each.data if isinstance(each, Reply) else b""
                delivered += each.messages if isinstance(each, Arrived) else ()
                heard += [] if receiver.is_settled else receiver.settle(is_durable=True)
        said = sender.feed(answers)
    assert results == [SendResult.SENT]
    assert len(delivered) == 1
    assert receiver.is_neutral
