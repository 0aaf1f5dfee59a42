import itertools

from hypothesis import given
from hypothesis import strategies as st

from connectors.astm.bare import BareReceiver, BareSender
from connectors.astm.sender import Finished, SendResult
from connectors.astm.session import Arrived, Broken, Reply

MESSAGE = b"H|\\^&\rR|1|^^^GLU|5\rL|1\r"


def test_a_message_is_complete_with_its_l_record():
    receiver = BareReceiver()
    assert receiver.feed(MESSAGE[:-1].replace(b"\r", b"\r\n")) == []
    assert len(receiver.timers) == 1
    assert receiver.feed(b"\r\n") == [Arrived((MESSAGE,))]
    assert receiver.settle(is_durable=True) == []
    assert receiver.timers == ()


def test_what_could_not_be_kept_comes_with_the_next_message():
    receiver = BareReceiver()
    receiver.feed(MESSAGE)
    receiver.settle(is_durable=False)
    assert receiver.feed(MESSAGE) == [Arrived((MESSAGE, MESSAGE))]
    receiver.settle(is_durable=True)
    assert receiver.close() == []


def test_silence_ends_a_message_without_l():
    receiver = BareReceiver()
    receiver.feed(b"\x05H|\\^&\rR|1|a|5")
    assert receiver.expire() == [Arrived((b"H|\\^&\rR|1|a|5\r",), flag="no_terminator")]


def test_too_long_is_evidence():
    receiver = BareReceiver(max_message_bytes=10)
    (event,) = receiver.feed(b"x" * 50)
    assert isinstance(event, Broken)


@given(st.lists(st.integers(1, 2 * len(MESSAGE) - 1), max_size=8))
def test_cut_anywhere(cuts):
    stream = MESSAGE * 2
    receiver = BareReceiver()
    edges = sorted({0, len(stream), *cuts})
    messages = []
    for start, end in itertools.pairwise(edges):
        for event in receiver.feed(stream[start:end]):
            messages += event.messages
            receiver.settle(is_durable=True)
    assert messages == [MESSAGE, MESSAGE]


def test_an_l_record_without_cr_ends_the_message_after_a_second():
    receiver = BareReceiver()
    receiver.feed(MESSAGE[:-4])
    assert [timer.seconds for timer in receiver.timers] == [30]
    receiver.feed(b"L|1|N")
    assert [timer.seconds for timer in receiver.timers] == [1]
    assert receiver.expire() == [Arrived((MESSAGE[:-4] + b"L|1|N\r",))]
    receiver.settle(is_durable=True)
    assert receiver.is_neutral


def test_sending_is_writing():
    sender = BareSender(MESSAGE)
    assert sender.start() == [Reply(MESSAGE), Finished(SendResult.SENT)]
    assert sender.feed(b"\x06") == sender.expire() == sender.abandon() == []
    assert not sender.is_paused
