"""What hostile streams are let loose on, and what must hold whatever they hold.

Nothing is raised but FrameError and MessageError; what is handed out is bounded; the same bytes give the same messages
however they are cut; and after all that a good message is still taken.
"""

import random
from collections.abc import Callable
from functools import cache

from connectors.analyzers.driver import MODELS
from connectors.astm import records
from connectors.astm.bare import BareReceiver
from connectors.astm.framing import ACK, ENQ, EOT, LARGE_FRAME_TEXT, NAK, encode_frame, frames_of
from connectors.astm.sender import AstmSender, Finished, SenderTimers
from connectors.astm.session import Arrived, AstmReceiver, Broken, Reply
from connectors.hl7 import framing
from connectors.hl7.ack import acknowledgements, reject
from connectors.hl7.framing import Block, BrokenBlock, MllpDecoder
from domain.device_profile import DeviceProfile
from domain.errors import FrameError, MessageError
from domain.observations import StoreOutcome
from inbox.instruments import read
from inbox.readable import is_surely_readable
from tests.fuzz import lines, streams

LIMIT = 8192
"""Longest message, small enough to be exceeded often."""
GOOD = b"H|\\^&\rO|1|261123000017||^^^GLU\rR|1|^^^GLU|5.1\rL|1|N\r"
GOOD_HL7 = b"MSH|^~\\&|||||||ORU^R01|1|P|2.5\rOBR|1||261123000017\rOBX|1|NM|GLU||5.1\r"


@cache
def profiles(protocol: str) -> tuple[DeviceProfile, ...]:
    plain = [
        DeviceProfile.model_validate({"protocol": protocol, "charset": charset, **how})
        for charset, how in (("auto", {}), ("latin-1", {"decimal_comma": True}), ("gb18030", {"ack_mode": "original"}))
    ]
    return (*plain, *(model.profile for model in MODELS.values() if model.profile.protocol == protocol))


def try_reading(rng: random.Random, protocol: str, raw: bytes) -> None:
    """Read a message as the door and the reader do."""
    surely = is_surely_readable(protocol, raw)
    try:
        message = read(raw, rng.choice(profiles(protocol)))
    except MessageError:
        assert not surely, "called readable and refused"
        return
    observations = [row for specimen in message.specimens for row in specimen.observations]
    assert all(type(row.value) is str and "\x00" not in row.value for row in observations)
    assert all(row.observed_at is None or row.observed_at.tzinfo for row in observations)


class _Session:
    """Plays the door against a receiver; the store fails now and then."""

    def __init__(self, receiver: AstmReceiver | BareReceiver, rng: random.Random | None) -> None:
        self.receiver = receiver
        self.messages: list[bytes] = []
        self.broken: list[bytes] = []
        self.said = bytearray()
        self._rng = rng

    def hear(self, data: bytes) -> None:
        self.play(self.receiver.feed(data))

    def play(self, events: list[Reply | Arrived | Broken]) -> None:
        pending = list(events)
        for event in pending:  # grows while it is walked
            if isinstance(event, Reply):
                assert event.data in {ACK, NAK, EOT}
                self.said += event.data
                continue
            is_durable = self._rng is None or self._rng.random() < 0.9
            if isinstance(event, Broken):
                assert event.reason
                self.broken.append(event.raw)
            elif is_durable:
                self.messages += event.messages
            pending += self.receiver.settle(is_durable=is_durable)


def _assert_bounded(session: _Session) -> None:
    for raw in (*session.messages, *session.broken):
        assert len(raw) <= LIMIT + LARGE_FRAME_TEXT + 16


def astm_session(rng: random.Random) -> int:
    """A receiver, whatever comes; then it takes a good message."""
    data, units = streams.astm_dialogue(rng) if rng.random() < 0.85 else streams.noise(rng)
    check = rng.random() < 0.9
    session = _Session(AstmReceiver(max_message_bytes=LIMIT, check=check), rng)
    for piece in streams.pieces(rng, data):
        session.hear(piece)
    _assert_bounded(session)
    assert session.receiver.is_settled
    _assert_same_however_cut(data, check)
    for _ in range(2):  # the first silence may end a frame without CR LF
        session.play(session.receiver.expire())
    assert session.receiver.timers == ()
    before = len(session.messages)
    session._rng = None
    for part in (ENQ, *frames_of(GOOD), EOT):
        session.hear(part)
    assert GOOD in session.messages[before:], "a good message is not taken any more"
    session.play(session.receiver.close())
    for raw in session.messages if rng.random() < 0.1 else session.messages[:1]:
        try_reading(rng, "astm", raw)
    return units


def _assert_same_however_cut(data: bytes, check: bool) -> None:
    if len(data) > 600:
        return
    whole, cut = (_Session(AstmReceiver(max_message_bytes=LIMIT, check=check), None) for _ in range(2))
    whole.hear(data)
    for index in range(0, len(data), 3):
        cut.hear(data[index : index + 3])
    assert (whole.messages, whole.broken, whole.said) == (cut.messages, cut.broken, cut.said)


def bare_session(rng: random.Random) -> int:
    """The same without frames."""
    data, units = streams.bare_astm(rng)
    session = _Session(BareReceiver(max_message_bytes=LIMIT), rng)
    for piece in streams.pieces(rng, data):
        session.hear(piece)
    session.play(session.receiver.close())
    assert session.said == b""
    for raw in session.messages[:1]:
        try_reading(rng, "astm", raw)
    return units


def mllp_stream(rng: random.Random) -> int:
    """Blocks, whatever comes; each gets an answer that can be framed; then a good one is found."""
    data, units = streams.mllp_blocks(rng) if rng.random() < 0.85 else streams.noise(rng)
    decoder, whole = MllpDecoder(LIMIT), MllpDecoder(LIMIT)
    found = [block for piece in streams.pieces(rng, data) for block in decoder.feed(piece)]
    assert found == whole.feed(data)
    assert decoder.skipped_bytes == whole.skipped_bytes
    found += decoder.give_up("silence")
    assert not decoder.is_open
    profile = rng.choice(profiles("hl7"))
    for block in found:
        raw = block.raw if isinstance(block, BrokenBlock) else block.message
        assert len(raw) <= LIMIT
        outcome = StoreOutcome(accepted=rng.random() < 0.9, readable=rng.random() < 0.9, note="a note | with ^ marks\r")
        for answer in (*acknowledgements(raw, outcome, profile), reject(raw, "too long")):
            assert MllpDecoder().feed(framing.encode_block(answer)) == [Block(answer)]
            assert len(answer) < 8000
    if found and isinstance(found[0], Block):
        try_reading(rng, "hl7", found[0].message)
    assert decoder.feed(framing.encode_block(GOOD_HL7)) == [Block(GOOD_HL7)]
    return units


def http_bodies(rng: random.Random) -> int:
    """What comes over HTTP instead of a line."""
    source = rng.choice((streams.astm_dialogue, streams.mllp_blocks, streams.bare_astm, streams.noise))
    data, units = source(rng)
    for raw in framing.split_http_body(data)[:1]:
        try_reading(rng, "hl7", raw)
    try:
        found = records.split_http_body(data)
    except FrameError:
        found = []
    for raw in found[:1]:
        try_reading(rng, "astm", raw)
    return units


def raw_readers(rng: random.Random) -> int:
    """Readers on what no decoder would let through."""
    protocol = rng.choice(("astm", "hl7", "au", "dimension"))
    source = rng.choice((
        streams.astm_dialogue, streams.mllp_blocks, streams.bare_astm, streams.text_blocks, streams.noise,
    ))  # fmt: skip
    try_reading(rng, protocol, source(rng)[0])
    return 1


def astm_sender(rng: random.Random) -> int:
    """Our own sending side against a peer that answers anything: it ends."""
    sender = AstmSender([encode_frame(1, b"H|\\^&\r", is_last=True), encode_frame(2, b"L|1\r", is_last=True)],
                        timers=SenderTimers(1, 1, 1))  # fmt: skip
    events = sender.start()
    said = 0
    for _ in range(200):
        if any(isinstance(event, Finished) for event in events):
            assert sender.timer is None
            return 1
        said += len(events)
        events = sender.expire() if rng.random() < 0.2 else sender.feed(rng.choice((ACK, NAK, ENQ, EOT, b"x", b"\x00")))
    raise AssertionError("the sender never ends")


TARGETS: tuple[tuple[Callable[[random.Random], int], float], ...] = (
    (astm_session, 0.37),
    (mllp_stream, 0.28),
    (lines.simple_session, 0.05),
    (lines.block_link, 0.05),
    (lines.conversation, 0.05),
    (bare_session, 0.04),
    (http_bodies, 0.04),
    (raw_readers, 0.08),
    (astm_sender, 0.04),
)
"""What is tried, and how often."""


def run_case(seed: int, number: int) -> tuple[str, int]:
    """Run one case, the same for the same numbers; return its target's name and how much it held."""
    rng = random.Random(f"{seed}:{number}")  # noqa: S311  it must be the same each time
    (target,) = rng.choices([each for each, _ in TARGETS], weights=[share for _, share in TARGETS])
    return target.__name__, target(rng)
