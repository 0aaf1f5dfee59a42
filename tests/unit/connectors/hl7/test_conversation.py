"""The conversation on a line without sockets; tests/contract/hl7 has it over TCP."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.hl7.codec import parse_message
from connectors.hl7.conversation import converse
from connectors.hl7.framing import Block, MllpDecoder, encode_block
from connectors.line import ConnectionState, Line, ListenerLimits
from domain.observations import StoreOutcome
from tests.unit.connectors.hl7.work import (
    MOMENT,
    cepheid_query,
    display_query,
    law_query,
    profile,
    tube,
    worklist_query,
)

RESULT = "MSH|^~\\&|A|B|||2026||ORU^R01|R1|P|2.3.1\rOBR|1||S1\rOBX|1|NM|X||1\r"
QUERIES = [law_query(), display_query(), worklist_query(), cepheid_query(), RESULT]


class Sink:
    """A writer that keeps what is written, or is gone."""

    def __init__(self, *, is_gone: bool = False) -> None:
        self.written = b""
        self.is_gone = is_gone

    def write(self, data: bytes) -> None:
        self.written += data

    async def drain(self) -> None:
        if self.is_gone:
            raise ConnectionResetError


class Desk:
    async def work_for(self, query):
        return tuple(tube(name, "1") for name in query.specimen_ids)

    async def next_download(self):
        await asyncio.Event().wait()

    async def settle(self, download, result, note=""):
        raise AssertionError("nothing was sent")


async def spoken(pieces: list[bytes], style: str, sink: Sink) -> list[bytes]:
    """Return what the store was given while the device said `pieces` and went away."""
    kept: list[bytes] = []

    async def store(received):
        kept.append(received.raw)
        return StoreOutcome(accepted=True)

    reader = asyncio.StreamReader()
    line = Line(
        reader,
        sink,
        protocol="hl7",
        state=ConnectionState(peer="1.2.3.4:5", local_port=1, since=MOMENT),
        store=store,
        store_seconds=5,
        write_seconds=5,
        desk=Desk(),
    )
    for piece in pieces:
        reader.feed_data(piece)
    reader.feed_eof()
    rules = profile(style, sends_unasked=True, answer_s=1)
    await asyncio.wait_for(converse(line, rules, ListenerLimits(max_message_bytes=5000)), 10)
    return kept


def said(sink: Sink) -> list[str]:
    blocks = MllpDecoder().feed(sink.written)
    return [parse_message(block.message).segments[1].text for block in blocks if isinstance(block, Block)]


@pytest.mark.parametrize("style", ["law", "mindray_bs", "none"])
async def test_everything_is_kept_and_answered(style):
    sink = Sink()
    kept = await spoken([encode_block(text.encode()) for text in QUERIES], style, sink)
    assert kept == [text.encode() for text in QUERIES]
    answers = [text for text in said(sink) if text.startswith("MSA")]
    assert [text.split("|")[2] for text in answers] == ["Q0001", "7", "389", "abc", "R1"]


async def test_a_device_that_is_gone_is_a_connection_error_in_every_style():
    for style in ("none", "law"):
        with pytest.raises(ConnectionError):
            await spoken([encode_block(RESULT.encode())], style, Sink(is_gone=True))


STREAM = st.lists(
    st.one_of(
        st.binary(max_size=30),
        st.sampled_from([b"\x0b", b"\x1c", b"\r", b"MSH|^~\\&|", b"\rQPD|", b"\rQRD||||", b"\rORC|RF||", b"\rMSA|AA|"]),
        st.sampled_from([encode_block(text.encode()) for text in QUERIES]),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(STREAM, st.sampled_from(["law", "roche_law", "oml", "getein", "mindray_bc", "cepheid"]))
def test_any_bytes_are_survived_and_every_answer_can_be_read(pieces, style):
    sink = Sink()
    asyncio.run(spoken([piece for piece in pieces if piece], style, sink))
    assert all(text.startswith(("MSA", "PID", "SPM")) for text in said(sink))
