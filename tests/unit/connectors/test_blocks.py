"""The block link as a transcript: bytes in, events out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.blocks import (
    ACK,
    ANSWER_SECONDS,
    BLOCK_SECONDS,
    ETB,
    ETX,
    MAX_TRIES,
    NAK,
    Answered,
    Arrived,
    BlockLink,
    BlockRules,
    Broken,
    Reply,
    bare_message,
)
from domain.errors import FrameError, MessageError


def _open(text: bytes, mark: int, trailer: bytes) -> bytes:
    if trailer != bytes([(sum(text) + mark) % 256]):
        raise FrameError("wrong sum")
    return text


PLAIN = BlockRules(open=lambda text, _mark, _trailer: text, continues=True, repeats=lambda text: text[:1] == b"D")
CHECKED = BlockRules(open=_open, trailer_bytes=1, continues=True)


def block(text: bytes, mark: int = ETX) -> bytes:
    return b"\x02" + text + bytes([mark])


def checked(text: bytes, mark: int = ETX) -> bytes:
    return block(text, mark) + bytes([(sum(text) + mark) % 256])


def link(rules: BlockRules = PLAIN, limit: int = 1000) -> BlockLink:
    return BlockLink(rules, max_message_bytes=limit)


def test_a_message_is_acknowledged_when_it_is_safe():
    one = link()
    assert one.feed(b"noise" + block(b"D 1")) == [Arrived(b"D 1")]
    assert one.timers == ()
    assert one.settle(is_durable=True) == [Reply(ACK)]
    assert one.ignored_bytes == 5


def test_a_message_that_is_not_safe_is_sent_again_and_taken():
    one = link()
    assert one.feed(block(b"D 1")) == [Arrived(b"D 1")]
    assert one.settle(is_durable=False) == [Reply(NAK)]
    assert one.feed(block(b"D 1")) == [Arrived(b"D 1")]
    assert one.settle(is_durable=True) == [Reply(ACK)]


def test_blocks_are_joined_and_each_is_acknowledged():
    one = link()
    assert one.feed(block(b"D 1", ETB)) == [Reply(ACK)]
    assert one.timers[0].seconds == BLOCK_SECONDS
    assert one.feed(block(b"D 2")) == [Arrived(b"D 1\x17D 2")]
    assert one.settle(is_durable=False) == [Reply(NAK)]
    assert one.feed(block(b"D 2")) == [Arrived(b"D 1\x17D 2")]
    assert one.settle(is_durable=True) == [Reply(ACK)]


def test_a_block_whose_ack_was_lost_is_taken_once():
    one = link()
    one.feed(block(b"D 1", ETB))
    assert one.feed(block(b"D 1", ETB)) == [Reply(ACK)]
    assert one.feed(block(b"D 2")) == [Arrived(b"D 1\x17D 2")]
    one.settle(is_durable=True)
    assert one.feed(block(b"D 2")) == [Arrived(b"D 1\x17D 2", is_repeat=True)]
    assert one.settle(is_durable=True) == [Reply(ACK)]
    assert one.repeats == 1


def test_repeats_are_counted_in_a_row():
    one = link()
    for _ in range(4):
        one.feed(block(b"D same"))
        one.settle(is_durable=True)
    assert one.repeats == 3
    assert one.feed(block(b"D other")) == [Arrived(b"D other")]
    assert one.repeats == 0


def test_what_the_rules_say_is_no_repeat_comes_every_time():
    one = link()
    for _ in range(2):
        assert one.feed(block(b"R 1")) == [Arrived(b"R 1")]
        one.settle(is_durable=True)


def test_a_wrong_trailer_is_evidence_and_refused():
    one = link(CHECKED)
    bad = checked(b"D 1")[:-1] + b"\x00"
    assert one.feed(bad) == [Broken(b"D 1\x03\x00", "wrong sum")]
    assert one.settle(is_durable=True) == [Reply(NAK)]
    assert one.feed(checked(b"D 1")) == [Arrived(b"D 1")]


def test_a_bad_block_in_the_middle_keeps_those_before():
    one = link(CHECKED)
    one.feed(checked(b"D 1", ETB))
    one.feed(checked(b"D 2")[:-1] + b"\x00")
    one.settle(is_durable=True)
    assert one.feed(checked(b"D 2")) == [Arrived(b"D 1\x17D 2")]


def test_a_trailer_may_be_any_byte():
    text = bytes([0x02 + 256 - ETX - 0x44, 0x44])
    one = link(CHECKED)
    assert checked(text)[-1] == 0x02
    assert one.feed(checked(text) + checked(b"D 9")) == [Arrived(text)]
    assert one.settle(is_durable=True) == [Reply(ACK), Arrived(b"D 9")]


def test_a_new_block_inside_a_block_hands_out_the_old():
    one = link()
    assert one.feed(b"\x02D half\x02D whole\x03") == [
        Broken(b"D half", "the device began again before the block ended")
    ]
    assert one.settle(is_durable=False) == [Arrived(b"D whole")]


def test_a_message_that_is_too_long_is_refused_and_the_next_is_read():
    one = link(limit=10)
    assert one.feed(block(b"D" * 50)) == [Broken(b"D" * 10, "message longer than 10 bytes")]
    assert one.settle(is_durable=True) == [Reply(NAK)]
    assert one.feed(block(b"D 1")) == [Arrived(b"D 1")]


def test_many_blocks_count_together():
    one = link(limit=10)
    assert one.feed(block(b"D1234", ETB)) == [Reply(ACK)]
    (broken,) = one.feed(block(b"D6789"))
    assert broken.reason == "message longer than 10 bytes"


def test_silence_gives_up_what_is_unfinished():
    one = link()
    one.feed(block(b"D 1", ETB) + b"\x02D")
    assert one.expire() == [Broken(b"D 1\x17D", "not completed in time")]
    assert one.settle(is_durable=True) == []
    assert one.timers == ()


def test_the_end_of_the_connection_gives_up_what_is_unfinished():
    one = link()
    one.feed(b"\x02D")
    assert one.close() == [Broken(b"D", "connection closed before the message was complete")]
    assert link().close() == []


def test_an_answer_is_acknowledged():
    one = link()
    assert one.send(b"x") == [Reply(b"x")]
    assert one.is_waiting
    assert one.timers[0].seconds == ANSWER_SECONDS
    assert one.feed(ACK) == [Answered(is_accepted=True)]
    assert (one.is_waiting, one.timers) == (False, ())


def test_an_answer_is_sent_again_so_often():
    one = link()
    one.send(b"x")
    for _ in range(MAX_TRIES - 1):
        assert one.feed(NAK) == [Reply(b"x")]
    assert one.feed(NAK) == [Answered(is_accepted=False)]
    assert one.feed(NAK + ACK) == []


def test_a_new_block_ends_the_wait_for_an_ack():
    one = link()
    one.send(b"x")
    assert one.feed(block(b"R 2")) == [Answered(is_accepted=False), Arrived(b"R 2")]
    assert one.settle(is_durable=True) == [Reply(ACK)]


def test_an_answer_without_ack_is_given_up():
    one = link()
    one.send(b"x")
    assert one.expire() == [Answered(is_accepted=False)]
    assert one.timers == ()


def test_nothing_is_sent_into_a_block_that_is_coming():
    one = link()
    one.feed(b"\x02R")
    assert one.send(b"x") == [Answered(is_accepted=False)]
    assert one.feed(b" 1\x03") == [Arrived(b"R 1")]


def test_settling_nothing_is_a_mistake():
    with pytest.raises(RuntimeError):
        link().settle(is_durable=True)


def played(rules: BlockRules, pieces: list[bytes]) -> tuple[list, bytes]:
    one = BlockLink(rules, max_message_bytes=200)
    messages, answers = [], b""
    for piece in pieces:
        pending = one.feed(piece)
        while pending:
            match pending.pop(0):
                case Reply(data):
                    answers += data
                case Arrived() | Broken() as event:
                    messages.append(event)
                    pending += one.settle(is_durable=True)
                case _:
                    pass
    return messages, answers


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places} | {len(data)})
    return [data[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]


STREAM = (
    checked(b"DB") + checked(b"D first", ETB) + checked(b"D second") + checked(b"R 1") + b"\x06" + b"\x02torn"
    + checked(b"D third") + checked(b"D bad")[:-1] + b"\xff" + checked(b"DE")
)  # fmt: skip


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_the_pieces_do_not_matter(places: list[int]):
    assert played(CHECKED, cut(STREAM, places)) == played(CHECKED, [STREAM])


@given(st.lists(st.binary(max_size=30) | st.sampled_from([b"\x02", b"\x03", b"\x17", b"\x06", b"\x15"]), max_size=40))
def test_any_bytes_are_taken(pieces: list[bytes]):
    messages, answers = played(CHECKED, pieces)
    assert set(answers) <= {0x06, 0x15}
    assert all(len(event.raw) <= 202 for event in messages if isinstance(event, Broken))


def test_frames_around_a_stored_message_are_taken_off():
    assert bare_message(b"D 1", PLAIN) == b"D 1"
    assert bare_message(block(b"D 1"), PLAIN) == b"D 1"
    assert bare_message(block(b"DB") + block(b"D 1", ETB) + block(b"D 2") + block(b"DE"), PLAIN, ("DB", "DE")) == (
        b"D 1\x17D 2"
    )


@pytest.mark.parametrize(
    "raw",
    [b"\x02D 1", block(b"D 1") + block(b"D 2"), b"\x02\xff\x03"[:2], checked(b"D 1")[:-1] + b"\x00"],
    ids=["open", "two", "cut", "wrong"],
)
def test_frames_that_are_not_those_of_one_message(raw: bytes):
    with pytest.raises(MessageError) as caught:
        bare_message(raw, CHECKED if raw[-1:] == b"\x00" else PLAIN)
    assert caught.value.code == "BLOCK_FRAMES"
