"""Whole conversations and the links of small protocols, let loose on hostile streams."""

import asyncio
import random
from functools import cache
from uuid import UUID, uuid4

from connectors.astm.framing import ACK, ENQ, EOT, ETX, NAK, STX, frames_of
from connectors.astm.session import Arrived, Broken, Reply
from connectors.astm.simple import SimpleReceiver
from connectors.au.texts import framed as au_framed
from connectors.au.texts import rules as au_rules
from connectors.blocks import Answered, BlockLink, BlockRules
from connectors.blocks import Arrived as BlockArrived
from connectors.blocks import Reply as BlockReply
from connectors.conversations import speech_of
from connectors.dimension.texts import framed as dimension_framed
from connectors.dimension.texts import rules as dimension_rules
from connectors.hl7.framing import Block, MllpDecoder, encode_block
from connectors.line import ConnectionState, Line, ListenerLimits
from domain.clock import utc_now
from domain.device_orders import DeviceWork, Download, DownloadResult, WorkQuery
from domain.device_profile import DeviceProfile
from domain.observations import ReceivedMessage, StoreOutcome
from tests.fuzz import streams
from tests.fuzz.clock import Ear, FakeClockLoop

LIMIT = 8192
GOOD = b"H|\\^&\rO|1|261123000017||^^^GLU\rR|1|^^^GLU|5.1\rL|1|N\r"
GOOD_HL7 = b"MSH|^~\\&|||||||ORU^R01|GOOD|P|2.5\rOBR|1||261123000017\rOBX|1|NM|GLU||5.1\r"
GOOD_AU = "D 000305N0081              261123000017    E014  78.8  "
GOOD_DIMENSION = ("R", "0", "", "261123000017", "1", "", "0", "000000010126", "1", "1", "1", "GLU", "5.1", "mg/dL", "")
AU = DeviceProfile.model_validate({"protocol": "au"})
AU_CHECKED = DeviceProfile.model_validate({"protocol": "au", "au": {"has_check_byte": True, "specimen_width": 20}})
STYLES = {
    "hl7": ("law", "roche_law", "oml", "mindray_bs", "mindray_bc", "getein", "cepheid", "none"),
    "astm": ("astm", "roche_astm", "sysmex", "mindray_bs", "none"),
    "au": ("au",),
    "dimension": ("dimension",),
}


def simple_session(rng: random.Random) -> int:
    """A receiver of the simple link, whatever comes; then it takes a good message."""
    data, units = streams.simple_dialogue(rng) if rng.random() < 0.85 else streams.noise(rng)
    receiver = SimpleReceiver(max_message_bytes=LIMIT)
    kept: list[bytes] = []

    def play(events: list[Reply | Arrived | Broken], chance: float) -> None:
        pending = list(events)
        for event in pending:  # grows while it is walked
            if isinstance(event, Reply):
                assert event.data in {ACK, NAK}
                continue
            is_durable = rng.random() < chance
            raw = event.messages if isinstance(event, Arrived) else (event.raw,)
            assert all(0 < len(each) <= LIMIT + 1024 for each in raw)
            kept.extend(raw if is_durable and isinstance(event, Arrived) else ())
            pending += receiver.settle(is_durable=is_durable)

    for piece in streams.pieces(rng, data):
        play(receiver.feed(piece), 0.9)
        if rng.random() < 0.2 and receiver.timers:
            play(receiver.expire(), 0.9)
    for _ in range(3):
        play(receiver.expire(), 1)
    assert receiver.timers == ()
    before = len(kept)
    play(receiver.feed(ENQ + STX + GOOD + ETX + EOT), 1)
    assert GOOD in kept[before:], "a good message is not taken any more"
    play(receiver.close(), 1)
    return units


def block_link(rng: random.Random) -> int:
    """The links of AU and Dimension, whatever comes; then they take a good block."""
    rules, good = rng.choice(_links())
    data, units = streams.text_blocks(rng) if rng.random() < 0.85 else streams.noise(rng)
    link = BlockLink(rules, max_message_bytes=LIMIT)
    kept: list[bytes] = []

    def play(events: list, chance: float) -> bytes:
        said = b""
        pending = list(events)
        for event in pending:
            if isinstance(event, BlockReply):
                said += event.data
            elif not isinstance(event, Answered):
                is_durable = rng.random() < chance
                if isinstance(event, BlockArrived):
                    assert len(event.message) <= LIMIT
                    kept.extend([event.message] if is_durable else [])
                else:
                    assert 0 < len(event.raw) <= LIMIT + 8
                pending += link.settle(is_durable=is_durable)
        return said

    for piece in streams.pieces(rng, data):
        play(link.feed(piece), 0.9)
        if rng.random() < 0.1:
            play(link.send(good), 0.9)
        if rng.random() < 0.1 and link.timers:
            play(link.expire(), 0.9)
    play(link.expire(), 1)
    assert not link.is_waiting
    before = len(kept)
    assert play(link.feed(good), 1).endswith(ACK)
    assert len(kept) == before + 1, "a good block is not taken any more"
    play(link.close(), 1)
    return units


@cache
def _links() -> tuple[tuple[BlockRules, bytes], ...]:
    return (
        *((au_rules(each.au), au_framed(GOOD_AU, each.au)) for each in (AU, AU_CHECKED)),
        *((dimension_rules(check=check), dimension_framed(*GOOD_DIMENSION)) for check in (True, False)),
    )


class Desk:
    """Work for whoever asks, now and then slowly or not at all; counts that each order is settled once."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._orders = rng.randint(0, 3)
        self.fetched: list[UUID] = []
        self.settled: list[UUID] = []

    async def work_for(self, query: WorkQuery) -> tuple[DeviceWork, ...] | None:
        await asyncio.sleep(self._rng.choice((0, 0, 0.1, 60)))
        if self._rng.random() < 0.2:
            return None
        return tuple(DeviceWork(name, ("14", "97")) for name in query.specimen_ids[:50])

    async def next_download(self) -> Download:
        if not self._orders:
            await asyncio.get_running_loop().create_future()
        self._orders -= 1
        work = DeviceWork("261123000017", self._rng.choice((("14",), ("014", "97"), ("GLU^x",), ())))
        self.fetched.append(uuid4())
        return Download(self.fetched[-1], work)

    async def settle(self, download: Download, result: DownloadResult, note: str = "") -> None:
        assert isinstance(result, DownloadResult)
        assert len(note) < 200
        await asyncio.sleep(self._rng.choice((0, 0.1)))
        self.settled.append(download.id)


def conversation(rng: random.Random) -> int:
    """A whole conversation: what comes is kept or refused, work is settled once, and the line goes on."""
    protocol = rng.choice(("hl7", "hl7", "astm", "astm", "au", "dimension"))
    data, units = _stream(rng, protocol)
    loop = FakeClockLoop()
    try:
        loop.run_until_complete(_converse(rng, _profile(rng, protocol), streams.pieces(rng, data)))
    finally:
        loop.close()
    return units


def _stream(rng: random.Random, protocol: str) -> tuple[bytes, int]:
    own = {"hl7": streams.mllp_blocks, "astm": streams.astm_dialogue}.get(protocol, streams.text_blocks)
    source = rng.choices((own, streams.simple_dialogue, streams.noise), weights=(0.8, 0.1, 0.1))[0]
    return source(rng)


def _profile(rng: random.Random, protocol: str) -> DeviceProfile:
    how: dict[str, object] = {
        "style": rng.choice(STYLES[protocol]),
        "answers_queries": rng.random() < 0.9,
        "sends_unasked": rng.random() < 0.6,
        "connections": rng.choice(("shared", "shared", "two")),
    }
    extra: dict[str, object] = {}
    if protocol == "astm":
        extra = {"frame_style": rng.choice(("standard", "standard", "simple", "bare"))}
    elif protocol == "au":
        extra = {"au": AU_CHECKED.au if rng.random() < 0.5 else AU.au}
    return DeviceProfile.model_validate({"protocol": protocol, "work": how, **extra})


async def _converse(rng: random.Random, profile: DeviceProfile, pieces: list[bytes]) -> None:
    reader, ear, desk = asyncio.StreamReader(), Ear(), Desk(rng)
    kept: list[ReceivedMessage] = []
    is_calm = False

    async def store(message: ReceivedMessage) -> StoreOutcome:
        await asyncio.sleep(0 if is_calm else rng.choice((0, 0, 0.01, 100)))
        is_kept = is_calm or rng.random() < 0.9
        if is_kept:
            kept.append(message)
        return StoreOutcome(accepted=is_kept, readable=is_kept and rng.random() < 0.9)

    state = ConnectionState(peer="192.0.2.1:1", local_port=1, since=utc_now())
    line = Line(
        reader, ear, protocol=profile.protocol, state=state, store=store, store_seconds=5, write_seconds=5, desk=desk
    )
    talking = asyncio.ensure_future(
        speech_of(profile).conversation()(line, profile, ListenerLimits(max_message_bytes=LIMIT))
    )
    for piece in pieces:
        reader.feed_data(piece)
        await asyncio.sleep(rng.choice((0, 0.001, 0.5, 20)))
    await asyncio.sleep(4000)  # every timer ends, every attempt is made
    is_calm = True
    before, heard = len(kept), len(ear.heard)
    for piece in _good(profile):
        reader.feed_data(piece)
        await asyncio.sleep(0.5)
    assert not talking.done(), "the conversation ended by itself"
    assert any(_is_good(message) for message in kept[before:]), "a good message is not taken any more"
    if profile.protocol == "hl7":
        blocks = MllpDecoder(1 << 24).feed(ear.heard)
        assert all(isinstance(block, Block) for block in blocks)
        assert any(b"|GOOD" in block.message for block in blocks)
    elif profile.frame_style != "bare":
        assert ACK in ear.heard[heard:]
    reader.feed_eof()
    await talking
    assert sorted(desk.settled) == sorted(desk.fetched), "an order is settled once"


def _good(profile: DeviceProfile) -> list[bytes]:
    match profile.protocol, profile.frame_style:
        case "hl7", _:
            return [encode_block(GOOD_HL7)]
        case "astm", "standard":
            return [ENQ, *frames_of(GOOD), EOT]
        case "astm", "simple":
            return [ENQ, STX, GOOD, ETX, EOT]
        case "astm", _:
            return [GOOD]
        case "au", _:
            return [au_framed(GOOD_AU, profile.au)]
        case _:
            return [dimension_framed(*GOOD_DIMENSION)]


def _is_good(message: ReceivedMessage) -> bool:
    return not message.framing_error and b"261123000017" in message.raw
