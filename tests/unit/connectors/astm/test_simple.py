import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.astm.session import Arrived, Reply
from connectors.astm.simple import SimpleReceiver

STX, ETX, EOT, ENQ, ACK, NAK = b"\x02", b"\x03", b"\x04", b"\x05", b"\x06", b"\x15"
RECORDS = (b"H|\\^&||PSWD|MAGLUMI X3", b"P|1", b"O|1|261123000017||^^^TSH", b"R|1|^^^TSH|2.5|uIU/mL", b"L|1|N")
MESSAGE = b"".join(record + b"\r" for record in RECORDS)


class Peer:
    def __init__(self, *, is_durable: bool = True, **limits) -> None:
        self.receiver = SimpleReceiver(**limits)
        self.is_durable = is_durable
        self.replies = b""
        self.messages: list[bytes] = []
        self.broken: list[tuple[bytes, str]] = []

    def say(self, *data: bytes) -> bytes:
        before = len(self.replies)
        for piece in data:
            self.take(self.receiver.feed(piece))
        return self.replies[before:]

    def wait(self) -> bytes:
        before = len(self.replies)
        self.take(self.receiver.expire())
        return self.replies[before:]

    def take(self, events) -> None:
        for event in events:
            if isinstance(event, Reply):
                self.replies += event.data
                continue
            if isinstance(event, Arrived):
                self.messages += event.messages if self.is_durable else []
            else:
                self.broken.append((event.raw, event.reason))
            self.take(self.receiver.settle(is_durable=self.is_durable))


def test_a_device_that_waits_after_every_step():
    peer = Peer()
    assert peer.say(ENQ) == ACK
    assert (peer.say(STX), peer.wait()) == (b"", ACK)
    assert (peer.say(MESSAGE), peer.wait()) == (b"", ACK)
    assert peer.messages == [MESSAGE]
    assert peer.say(ETX) == ACK
    assert peer.say(EOT) == b""
    assert peer.receiver.is_neutral
    assert peer.receiver.timers == ()
    assert peer.messages == [MESSAGE]


def test_a_device_that_sends_its_records_one_by_one_inside_one_block():
    peer = Peer()
    peer.say(ENQ, STX)
    peer.wait()
    for record in RECORDS:
        peer.say(record + b"\r")
        assert peer.wait() == ACK
    assert peer.say(ETX, EOT) == ACK
    assert peer.messages == [MESSAGE]


def test_a_device_that_ends_every_record_with_etx():
    peer = Peer()
    peer.say(ENQ)
    for record in RECORDS:
        assert peer.say(STX + record + b"\r" + ETX) == ACK
    assert peer.messages == [MESSAGE]
    assert peer.say(EOT) == b""


def test_a_device_that_sends_all_at_once():
    peer = Peer()
    assert peer.say(ENQ + STX + MESSAGE + ETX + EOT) == ACK * 2
    assert peer.messages == [MESSAGE]


def test_records_may_lack_their_last_cr_and_lf_is_as_good():
    peer = Peer()
    assert peer.say(ENQ + STX + MESSAGE[:-1].replace(b"\r", b"\r\n") + ETX) == ACK * 2
    assert peer.messages == [MESSAGE]


def test_silence_in_the_middle_of_a_record_is_no_step():
    peer = Peer()
    peer.say(ENQ, STX + MESSAGE[:30])
    assert peer.wait() == b""
    assert peer.say(MESSAGE[30:] + ETX) == ACK
    assert peer.messages == [MESSAGE]


def test_silence_after_the_last_step_gives_the_message_up():
    peer = Peer()
    peer.say(ENQ, STX + MESSAGE[:30])
    peer.wait()
    peer.wait()
    assert peer.broken == [(MESSAGE[:30], "not completed in time")]
    assert peer.receiver.is_neutral


def test_a_message_that_could_not_be_kept_is_refused_and_taken_when_it_comes_again():
    peer = Peer(is_durable=False)
    assert peer.say(ENQ, STX + MESSAGE + ETX) == ACK + NAK
    peer.is_durable = True
    assert peer.say(STX + MESSAGE + ETX) == ACK
    assert peer.messages == [MESSAGE]


def test_nothing_is_acknowledged_before_it_is_durable():
    receiver = SimpleReceiver()
    assert receiver.feed(ENQ + STX + MESSAGE + ETX) == [Reply(ACK), Arrived((MESSAGE,))]
    assert receiver.timers == ()
    assert receiver.settle(is_durable=True) == [Reply(ACK)]
    with pytest.raises(RuntimeError, match="settled"):
        receiver.settle(is_durable=True)


def test_a_message_without_end_waits_for_the_store():
    peer = Peer(is_durable=False)
    assert peer.say(ENQ, STX + MESSAGE[:40] + b"\r" + ETX, EOT) == ACK + ACK
    assert peer.say(ENQ) == NAK
    peer.is_durable = True
    assert peer.say(ENQ) == ACK
    assert peer.messages == [MESSAGE[:40] + b"\r"]


def test_a_device_that_begins_anew():
    peer = Peer()
    assert peer.say(ENQ, STX + MESSAGE[:30], ENQ) == ACK + ACK
    assert "again" in peer.broken[0][1]
    assert peer.say(STX + MESSAGE + ETX + EOT) == ACK
    assert peer.messages == [MESSAGE]


def test_a_message_beyond_the_limit():
    peer = Peer(max_message_bytes=100)
    assert peer.say(ENQ, STX + b"H|\\^&\r" + b"x" * 200) == ACK + NAK
    assert "longer than 100" in peer.broken[0][1]


def test_not_accepting_answers_nak():
    peer = Peer()
    peer.receiver.is_accepting = False
    assert peer.say(ENQ) == NAK


def test_hanging_up_leaves_the_bytes():
    peer = Peer()
    peer.say(ENQ, STX + MESSAGE[:30])
    peer.take(peer.receiver.close())
    assert peer.broken[0][0] == MESSAGE[:30]


STREAM = ENQ + STX + MESSAGE * 2 + ETX + EOT + ENQ + b"".join(STX + r + b"\r" + ETX for r in RECORDS) + EOT + ENQ + STX


@given(st.lists(st.integers(1, len(STREAM) - 1), max_size=20))
def test_cut_anywhere_gives_the_same_conversation(cuts):
    whole, cut = Peer(), Peer()
    whole.say(STREAM)
    edges = sorted({0, len(STREAM), *cuts})
    cut.say(*(STREAM[start:end] for start, end in itertools.pairwise(edges)))
    assert (cut.replies, cut.messages, cut.broken) == (whole.replies, whole.messages, whole.broken)
    assert whole.messages == [MESSAGE] * 3


PIECES = st.sampled_from([ENQ, EOT, STX, ETX, b"\r", b"H|\\^&\r", b"L|1\r", b"silence"])


@given(st.lists(st.one_of(PIECES, st.binary(max_size=6)), max_size=30), st.booleans())
def test_any_bytes_and_any_silence_are_survived(pieces, is_durable):
    peer = Peer(max_message_bytes=100, is_durable=is_durable)
    for piece in pieces:
        if piece == b"silence":
            peer.wait()
        else:
            peer.say(piece)
    peer.take(peer.receiver.close())
    peer.is_durable = True
    assert peer.say(EOT + ENQ)[-1:] == ACK
