import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.hl7.framing import Block, BrokenBlock, MllpDecoder, encode_block, split_batch, split_http_body

MESSAGE = b"MSH|^~\\&|A|B|||20260901||ORU^R01|1|P|2.3.1\rOBX|1|NM|GLU||5\r"


def decode(*pieces: bytes, limit: int = 1 << 20) -> list[Block | BrokenBlock]:
    decoder = MllpDecoder(limit)
    return [block for piece in pieces for block in decoder.feed(piece)]


def test_a_block():
    assert decode(encode_block(MESSAGE)) == [Block(MESSAGE)]


def test_a_message_is_complete_at_fs_whatever_follows():
    stream = b"\x0bone\x1c\x0btwo\x1c\n\x0bthree\x1c"
    assert [block.message for block in decode(stream)] == [b"one", b"two", b"three"]


def test_junk_between_blocks_is_skipped_and_counted():
    decoder = MllpDecoder()
    assert decoder.feed(b"\r\n junk" + encode_block(MESSAGE) + b"\r\r\x00\x0b") == [Block(MESSAGE)]
    assert decoder.skipped_bytes == 10
    assert decoder.is_open


def test_a_restart_gives_the_unfinished_bytes():
    broken, block = decode(b"\x0bMSH|half\x0b" + MESSAGE + b"\x1c\r")
    assert broken == BrokenBlock(b"MSH|half", broken.reason, is_restart=True)
    assert block == Block(MESSAGE)


def test_empty_blocks_and_commit_bytes_are_no_messages():
    assert decode(b"\x0b\x1c\r\x0b \r\n\x1c\r\x0b\x06\x1c\r\x0b\x15\x1c\r") == []


def test_an_oversized_message_is_reported_once_and_the_line_recovers():
    broken, block = decode(b"\x0b" + b"x" * 60, b"y" * 60 + b"\x1c\r", encode_block(b"ok"), limit=50)
    assert broken.is_oversized
    assert broken.raw == b"x" * 50
    assert block == Block(b"ok")


def test_a_message_exactly_at_the_limit_fits():
    assert decode(encode_block(b"x" * 50), limit=50) == [Block(b"x" * 50)]


def test_giving_up():
    decoder = MllpDecoder()
    assert decoder.give_up("gone") == []
    decoder.feed(b"\x0bMSH|")
    assert decoder.give_up("gone") == [BrokenBlock(b"MSH|", "gone")]
    assert not decoder.is_open
    assert decoder.feed(encode_block(MESSAGE)) == [Block(MESSAGE)]


STREAM = b"x\r" + encode_block(MESSAGE) * 2 + b"\x0bhalf\x0b" + b"z" * 120 + b"\x1c\r\x0bone\x1c\x0btwo\x1c\x0bend"


@given(st.lists(st.integers(1, len(STREAM) - 1), max_size=20))
def test_cut_anywhere_gives_the_same_blocks(cuts):
    edges = sorted({0, len(STREAM), *cuts})
    whole, cut = MllpDecoder(100), MllpDecoder(100)
    expected = whole.feed(STREAM)
    found = [block for start, end in itertools.pairwise(edges) for block in cut.feed(STREAM[start:end])]
    assert found == expected
    assert cut.skipped_bytes == whole.skipped_bytes
    assert len(expected) == 6


@given(
    st.lists(st.one_of(st.sampled_from([b"\x0b", b"\x1c", b"\r"]), st.binary(max_size=5)), max_size=40),
    st.integers(1, 9),
)
def test_any_bytes_are_survived_and_cuts_do_not_matter(pieces, step):
    stream = b"".join(pieces)
    one, other = MllpDecoder(8), MllpDecoder(8)
    expected = [*one.feed(stream), *one.give_up("end")]
    found = [block for start in range(0, len(stream), step) for block in other.feed(stream[start : start + step])]
    assert [*found, *other.give_up("end")] == expected
    assert all(len(getattr(block, "message", b"") or getattr(block, "raw", b"")) <= 8 for block in expected)


@given(
    st.binary(min_size=1).filter(
        lambda raw: not {0x0B, 0x1C} & set(raw) and raw.strip() and raw not in {b"\x06", b"\x15"}
    )
)
def test_what_is_encoded_is_decoded(message):
    assert decode(encode_block(message)) == [Block(message)]


def test_http_bodies():
    assert split_http_body(MESSAGE) == [MESSAGE]
    assert split_http_body(encode_block(MESSAGE)) == [MESSAGE]
    assert split_http_body(encode_block(MESSAGE) * 2) == [MESSAGE, MESSAGE]
    assert split_http_body(b"\x0b" + MESSAGE) == [MESSAGE]
    assert split_http_body(MESSAGE * 2) == [MESSAGE, MESSAGE]
    batch = b"FHS|^~\\&\rBHS|^~\\&\r" + MESSAGE + b"BTS|1\rFTS|1\r"
    assert split_http_body(batch) == [MESSAGE]
    assert split_http_body(b"hello") == [b"hello"]
    assert split_http_body(b"") == []
    assert split_http_body(MESSAGE.replace(b"\r", b"\r\n") * 2) == [MESSAGE.replace(b"\r", b"\r\n")] * 2


@given(st.binary(max_size=300))
def test_any_body_is_split(body):
    for message in split_http_body(body):
        assert message in body.replace(b"\x1c", b"") or b"HS|" in body or b"TS" in body


@pytest.mark.parametrize("event", [Block(b"SECRET"), BrokenBlock(b"SECRET", "x")])
def test_bytes_stay_out_of_reprs(event):
    assert "SECRET" not in repr(event)


def test_batches():
    second = MESSAGE.replace(b"|1|P|", b"|2|P|")
    batch = b"FHS|^~\\&|A\rBHS|^~\\&|B\r" + MESSAGE + second + b"BTS|2\rFTS|1\r"
    assert split_batch(batch) == [MESSAGE, second]
    assert split_batch(MESSAGE) == [MESSAGE]
    assert split_batch(b"BHS|^~\\&\r\nBTS|0\r\n") == []
    assert split_batch(MESSAGE + b"NTE|1||MSH and BTS in a text\r") == [MESSAGE + b"NTE|1||MSH and BTS in a text\r"]
    assert split_batch(MESSAGE + b"MSHX|1\r") == [MESSAGE + b"MSHX|1\r"]
