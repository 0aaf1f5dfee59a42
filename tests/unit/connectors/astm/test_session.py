import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.astm.framing import encode_frame, frames_of
from connectors.astm.session import Arrived, AstmReceiver, Broken, Reply

ENQ, ACK, NAK, EOT = b"\x05", b"\x06", b"\x15", b"\x04"
RECORDS = (b"H|\\^&|||SIM", b"P|1", b"O|1|261123000017||^^^GLU", b"R|1|^^^GLU|126.4|mg/dL", b"L|1|N")
MESSAGE = b"".join(record + b"\r" for record in RECORDS)


class Peer:
    """Plays a device against a receiver and writes down what comes back."""

    def __init__(self, receiver: AstmReceiver | None = None, *, is_durable: bool = True) -> None:
        self.receiver = receiver or AstmReceiver()
        self.is_durable = is_durable
        self.replies = b""
        self.messages: list[bytes] = []
        self.flags: list[str] = []
        self.broken: list[Broken] = []

    def say(self, *data: bytes) -> bytes:
        before = len(self.replies)
        for piece in data:
            self._take(self.receiver.feed(piece))
        return self.replies[before:]

    def wait(self) -> None:
        self._take(self.receiver.expire())

    def hang_up(self) -> None:
        self._take(self.receiver.close())

    def _take(self, events):
        for event in events:
            if isinstance(event, Reply):
                self.replies += event.data
                continue
            if isinstance(event, Arrived):
                self.messages += event.messages if self.is_durable else []
                self.flags.append(event.flag)
            else:
                self.broken.append(event)
            self._take(self.receiver.settle(is_durable=self.is_durable))


def test_a_whole_session():
    peer = Peer()
    assert peer.say(ENQ) == ACK
    for frame in frames_of(MESSAGE):
        assert peer.say(frame) == ACK
    assert peer.messages == [MESSAGE]
    assert peer.say(EOT) == b""
    assert peer.receiver.timers == ()


def test_the_last_frame_is_not_answered_before_the_message_is_durable():
    receiver = AstmReceiver()
    *earlier, last = frames_of(MESSAGE)
    receiver.feed(ENQ)
    for frame in earlier:
        assert receiver.feed(frame) == [Reply(ACK)]
    (event,) = receiver.feed(last)
    assert event == Arrived((MESSAGE,))
    assert not receiver.is_settled
    assert receiver.timers == ()
    assert receiver.feed(EOT) == []
    assert receiver.settle(is_durable=True) == [Reply(ACK)]


def test_a_message_that_could_not_be_kept_is_refused_and_taken_when_it_comes_again():
    peer = Peer(is_durable=False)
    *earlier, last = frames_of(MESSAGE)
    peer.say(ENQ, *earlier)
    assert peer.say(last) == NAK
    assert peer.say(last) == NAK
    peer.is_durable = True
    assert peer.say(last) == ACK
    assert peer.messages == [MESSAGE]


def test_two_messages_that_share_a_frame_are_refused_together():
    text = MESSAGE + MESSAGE
    first, second = text[:150], text[150:]
    peer = Peer(is_durable=False)
    frames = encode_frame(1, first, is_last=False), encode_frame(2, second, is_last=True)
    assert peer.say(ENQ, frames[0]) == ACK + NAK
    peer.is_durable = True
    assert peer.say(*frames) == ACK + ACK
    assert peer.messages == [MESSAGE, MESSAGE]
    assert peer.say(EOT) == b""
    assert not peer.broken


def test_a_message_without_end_waits_for_the_store_before_the_next_enquiry_is_accepted():
    peer = Peer(is_durable=False)
    peer.say(ENQ, *frames_of(MESSAGE[: MESSAGE.index(b"L|1")]))
    assert peer.say(EOT) == b""
    assert peer.say(ENQ) == NAK
    peer.is_durable = True
    assert peer.say(ENQ) == ACK
    assert peer.messages == [MESSAGE[: MESSAGE.index(b"L|1")]]
    assert set(peer.flags) == {"no_terminator"}
    assert peer.say(EOT, ENQ) == ACK
    assert len(peer.messages) == 1


def test_an_unkept_message_is_offered_once_more_when_the_device_hangs_up():
    peer = Peer(is_durable=False)
    peer.say(ENQ, *frames_of(b"H|\\^&\rR|1|a|1\r"), EOT)
    peer.is_durable = True
    peer.hang_up()
    assert peer.messages == [b"H|\\^&\rR|1|a|1\r"]


def test_bad_frames_are_handed_out_before_they_are_refused():
    receiver = AstmReceiver()
    receiver.feed(ENQ)
    bad = frames_of(MESSAGE)[0].replace(b"SIM", b"SAM")
    (event,) = receiver.feed(bad)
    assert isinstance(event, Broken)
    assert event.raw == bad
    assert receiver.settle(is_durable=False) == [Reply(NAK)]


def test_a_duplicate_is_acknowledged_and_not_taken_twice():
    peer = Peer()
    frames = frames_of(MESSAGE)
    assert peer.say(ENQ, *frames, frames[-1]) == ACK * 7
    assert peer.messages == [MESSAGE]
    assert peer.receiver.duplicates == 1


def test_a_restart_hands_out_what_was_unfinished():
    peer = Peer()
    frames = frames_of(MESSAGE)
    assert peer.say(ENQ, frames[0], frames[1], ENQ, *frames) == ACK * 9
    assert [broken.raw for broken in peer.broken] == [MESSAGE[: MESSAGE.index(b"O|1")]]
    assert peer.messages == [MESSAGE]


def test_keep_alive_without_frames_is_nothing():
    peer = Peer()
    assert peer.say(ENQ, EOT, ENQ, ENQ, EOT) == ACK * 3
    assert not peer.messages
    assert not peer.broken


def test_silence_discards_but_keeps_the_bytes():
    peer = Peer()
    frames = frames_of(MESSAGE)
    peer.say(ENQ, frames[0], frames[1][:5])
    assert len(peer.receiver.timers) == 2
    peer.wait()
    assert peer.broken[0].raw == RECORDS[0] + b"\r" + frames[1][:5]
    assert peer.receiver.timers == ()
    assert peer.say(ENQ, *frames) == ACK * 6
    assert peer.messages == [MESSAGE]


def test_the_frame_timer_starts_again_with_each_frame_and_not_with_each_byte():
    receiver = AstmReceiver()
    receiver.feed(ENQ)
    (first,) = receiver.timers
    frame = frames_of(MESSAGE)[0]
    receiver.feed(frame[:4])
    assert receiver.timers == (first,)
    receiver.feed(frame[4:])
    assert receiver.timers[0].serial > first.serial
    assert [timer.seconds for timer in receiver.timers] == [30.0, 1800.0]


def test_an_enquiry_inside_a_frame_is_never_taken_for_a_new_session():
    peer = Peer()
    frame = frames_of(MESSAGE)[0]
    disturbed = frame[:5] + ENQ + frame[6:]
    assert peer.say(ENQ) == ACK
    assert peer.say(disturbed) == NAK
    assert peer.say(frame) == ACK


def test_a_message_beyond_the_limit_is_refused_and_the_line_recovers():
    peer = Peer(AstmReceiver(max_message_bytes=400))
    frames = frames_of(b"H|\\^&\r" + b"C|1|I|" + b"x" * 900 + b"\rL|1\r")
    assert peer.say(ENQ, *frames[:2]) == ACK * 3
    assert peer.say(frames[2]) == NAK
    assert peer.say(frames[2], frames[3]) == NAK * 2
    assert len(peer.broken) == 1
    assert len(peer.broken[0].raw) < 600
    assert peer.say(EOT, ENQ, *frames_of(MESSAGE)) == ACK * 6
    assert peer.messages == [MESSAGE]


def test_a_transmission_that_ends_inside_a_record_is_evidence_and_no_message():
    peer = Peer()
    peer.say(ENQ, encode_frame(1, b"H|\\^&\rR|1|^^^GLU|12", is_last=False), EOT)
    assert not peer.messages
    assert peer.broken[0].raw == b"H|\\^&\rR|1|^^^GLU|12\r"


def test_a_device_that_gives_up_after_refusals_has_sent_no_message():
    peer = Peer(is_durable=False)
    *earlier, last = frames_of(MESSAGE)
    assert peer.say(ENQ, *earlier, *[last] * 6) == ACK * 5 + NAK * 6
    peer.is_durable = True
    assert peer.say(EOT) == b""
    assert not peer.messages
    assert peer.broken[0].raw == MESSAGE[: MESSAGE.index(b"L|1")]
    assert peer.say(ENQ, *earlier, last) == ACK * 6
    assert peer.messages == [MESSAGE]


def test_records_without_cr_end_with_their_frame():
    peer = Peer()
    frames = [encode_frame(n, record, is_last=True) for n, record in enumerate(RECORDS, start=1)]
    assert peer.say(ENQ, *frames, EOT) == ACK * 6
    assert peer.messages == [MESSAGE]


def test_not_accepting_answers_nak():
    peer = Peer()
    peer.receiver.is_accepting = False
    assert peer.say(ENQ) == NAK


def test_settle_without_anything_to_settle_is_a_mistake():
    with pytest.raises(RuntimeError, match="settled"):
        AstmReceiver().settle(is_durable=True)


def test_a_device_restarted_inside_a_frame_is_served_after_three_seconds():
    peer = Peer()
    peer.say(ENQ, b"\x021H|\\^&\r")
    assert peer.say(ENQ) == b""
    assert 3 in [timer.seconds for timer in peer.receiver.timers]
    peer.wait()
    assert peer.replies == ACK + ACK
    assert peer.broken[0].raw == b"\x021H|\\^&\r"
    assert peer.say(*frames_of(MESSAGE)) == ACK * 5
    assert peer.messages == [MESSAGE]


def test_an_enquiry_inside_a_frame_that_goes_on_is_a_disturbed_byte():
    peer = Peer()
    frame = frames_of(MESSAGE)[0]
    peer.say(ENQ, frame[:5] + ENQ)
    assert peer.say(frame[6:]) == NAK
    assert [timer.seconds for timer in peer.receiver.timers] == [30]


def test_neutral_is_between_transmissions():
    receiver = AstmReceiver()
    assert receiver.is_neutral
    receiver.feed(ENQ)
    assert not receiver.is_neutral
    receiver.feed(b"".join(frames_of(b"H|\\^&\r")) + EOT)
    assert not receiver.is_neutral
    receiver.settle(is_durable=True)
    assert receiver.is_neutral


STREAM = ENQ + b"".join(frames_of(MESSAGE * 2, max_text=60)) + EOT + ENQ + frames_of(MESSAGE)[0] + b"junk" + EOT


@given(st.lists(st.integers(1, len(STREAM) - 1), max_size=20))
def test_cut_anywhere_gives_the_same_conversation(cuts):
    whole, cut = Peer(), Peer()
    whole.say(STREAM)
    edges = sorted({0, len(STREAM), *cuts})
    cut.say(*(STREAM[start:end] for start, end in itertools.pairwise(edges)))
    assert (cut.replies, cut.messages, cut.broken) == (whole.replies, whole.messages, whole.broken)
    assert whole.messages[:2] == [MESSAGE, MESSAGE]


@given(st.lists(st.integers(1, len(STREAM) - 1), max_size=8), st.lists(st.booleans(), min_size=1, max_size=8))
def test_bytes_may_come_before_or_after_the_store_has_answered(cuts, is_late):
    """Any interleaving of bytes and settlements gives the same conversation."""
    whole, late = Peer(), AstmReceiver()
    whole.say(STREAM)
    edges = sorted({0, len(STREAM), *cuts})
    said, kept, events = b"", [], []
    pieces = [STREAM[start:end] for start, end in itertools.pairwise(edges)]
    while pieces or events or not late.is_settled:
        if events:
            event = events.pop(0)
            said += event.data if isinstance(event, Reply) else b""
            kept += event.messages if isinstance(event, Arrived) else ()
        elif pieces and (late.is_settled or is_late[len(pieces) % len(is_late)]):
            events += late.feed(pieces.pop(0))
        else:
            events += late.settle(is_durable=True)
    assert (said, kept) == (whole.replies, whole.messages)


MARKS = st.sampled_from([ENQ, EOT, b"\x02", b"\x03", b"\x17", b"\r\n", b"1H|", b"L|1\r", *frames_of(MESSAGE)])


@given(st.lists(st.one_of(MARKS, st.binary(max_size=6)), max_size=30), st.booleans())
def test_any_bytes_are_survived(pieces, is_durable):
    peer = Peer(AstmReceiver(max_message_bytes=200), is_durable=is_durable)
    peer.say(*pieces)
    peer.wait()
    peer.hang_up()
    assert peer.receiver.is_settled
    peer.is_durable = True
    assert peer.say(EOT + ENQ)[-1:] == ACK


def test_a_device_that_leaves_cr_lf_out_is_answered_after_a_short_silence():
    peer = Peer()
    assert peer.say(ENQ) == ACK
    for frame in frames_of(MESSAGE):
        assert peer.say(frame[:-2]) == b""
        assert peer.receiver.timers[-1].seconds < 10
        peer.wait()
    assert peer.replies == ACK * 6
    assert peer.messages == [MESSAGE]


def test_a_device_without_checksums_is_answered_whatever_it_leaves_out():
    for left in (0, -2, -4):
        peer = Peer(AstmReceiver(check=False))
        peer.say(ENQ)
        for frame in frames_of(MESSAGE):
            peer.say(frame[:-4] + frame[len(frame) + left :])
            if len(peer.receiver.timers) == 3:
                peer.wait()
        assert peer.replies == ACK * 6
        assert peer.messages == [MESSAGE]


def test_a_device_that_ends_records_with_cr_lf_is_taken_when_it_sends_the_same_again():
    peer = Peer()
    text = MESSAGE.replace(b"\r", b"\r\n")
    frame = encode_frame(1, text, is_last=True)
    assert peer.say(ENQ, frame) == ACK + NAK
    assert peer.say(frame) == ACK
    assert peer.say(EOT, ENQ, frame, EOT) == ACK * 2
    assert peer.messages == [MESSAGE] * 2


def test_a_message_may_take_far_longer_than_one_frame():
    """At 9600 baud a batch of many tubes takes minutes; only silence ends it."""
    receiver = AstmReceiver()
    receiver.feed(ENQ)
    for frame in frames_of(MESSAGE)[:2]:
        receiver.feed(frame)
    silence, whole = receiver.timers
    assert (silence.seconds, whole.seconds > 600) == (30.0, True)
