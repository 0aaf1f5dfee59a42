"""A tape never waits, holds so much and no more, and says what it left out."""

from datetime import timedelta

from connectors.line import ConnectionState
from domain.clock import utc_now
from domain.line_recordings import MAX_PIECES
from inbox.recorder import Tape, TapPoints

LATER = utc_now() + timedelta(hours=1)


def connection(peer: str = "10.0.0.5:1") -> ConnectionState:
    return ConnectionState(peer=peer, local_port=1, since=utc_now())


def taken(tape: Tape) -> tuple[list[tuple[bytes, bool]], int]:
    pieces, left_out = tape.take()
    return [(one.piece.data, one.piece.is_sent) for one in pieces], left_out


def test_bytes_that_follow_closely_are_one_piece():
    tape, one, other = Tape(LATER), connection(), connection("10.0.0.5:2")
    for byte in b"\x05\x06":
        tape.keep(one, bytes((byte,)), is_sent=False)
    tape.keep(one, b"x", is_sent=True)
    tape.keep(other, b"y", is_sent=True)
    tape.keep(other, b"", is_sent=False)
    assert taken(tape) == ([(b"\x05\x06", False), (b"x", True), (b"y", True)], 0)
    assert taken(tape) == ([], 0)


def test_what_finds_no_room_is_counted():
    tape, one = Tape(LATER, most=10), connection()
    tape.keep(one, b"12345678", is_sent=False)
    tape.keep(one, b"abc", is_sent=False)
    tape.keep(one, b"90", is_sent=False)
    assert taken(tape) == ([(b"1234567890", False)], 3)
    tape.keep(one, b"abc", is_sent=False)
    assert taken(tape) == ([(b"abc", False)], 0)


def test_pieces_that_could_not_be_written_wait_first_and_take_room():
    tape, one = Tape(LATER, most=10), connection()
    tape.keep(one, b"12345678", is_sent=False)
    pieces, left_out = tape.take()
    tape.give_back(pieces, left_out + 1)
    tape.keep(one, b"abc", is_sent=False)
    tape.keep(one, b"9", is_sent=True)
    assert taken(tape) == ([(b"12345678", False), (b"9", True)], 4)


def test_nothing_is_heard_after_the_end():
    tape = Tape(utc_now())
    tape.keep(connection(), b"x", is_sent=False)
    assert taken(tape) == ([], 0)


def test_so_many_pieces_and_no_more():
    tape, one = Tape(LATER), connection()
    for number in range(MAX_PIECES):
        tape.keep(one, b"x", is_sent=bool(number % 2))
    for _ in range(2):
        tape.keep(one, b"x", is_sent=False)
    pieces, left_out = tape.take()
    assert (len(pieces), left_out) == (MAX_PIECES, 2)


def test_a_piece_shows_no_bytes():
    tape = Tape(LATER)
    tape.keep(connection(), b"O|1|secret", is_sent=False)
    assert "secret" not in repr(tape._heard)
    assert "secret" not in repr(tape.take())


def test_a_device_has_one_point_and_nobody_another():
    points = TapPoints()
    assert points.of("A") is points.of("A")
    assert points.of("A") is not points.of("")
