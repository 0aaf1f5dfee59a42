import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.astm.sender import Finished, SenderRole, SendResult
from connectors.astm.session import Reply
from connectors.astm.simple import SimpleReceiver
from connectors.astm.simple_sender import SimpleSender, steps_of

STX, ETX, EOT, ENQ, ACK, NAK = b"\x02", b"\x03", b"\x04", b"\x05", b"\x06", b"\x15"
MESSAGE = b"H|\\^&\rL|1|N\r"


def sending(*answers: bytes, role: SenderRole = SenderRole.COMPUTER, one_record_each: bool = False):
    sender = SimpleSender(steps_of(MESSAGE, one_record_each=one_record_each), role=role)
    events = sender.start()
    for answer in answers:
        events += sender.feed(answer)
    said = [event.data for event in events if isinstance(event, Reply)]
    results = [event.result for event in events if isinstance(event, Finished)]
    return said, (results[0] if results else None), sender


def test_every_step_waits_for_its_ack():
    said, result, sender = sending(ACK, ACK, ACK, ACK)
    assert said == [ENQ, STX, MESSAGE, ETX, EOT]
    assert (result, sender.timer) == (SendResult.SENT, None)
    assert sending(ACK, ACK)[0] == [ENQ, STX, MESSAGE]


def test_one_record_between_each_stx_and_etx():
    said, result, _ = sending(ACK, ACK, ACK, one_record_each=True)
    assert said == [ENQ, STX + b"H|\\^&\r" + ETX, STX + b"L|1|N\r" + ETX, EOT]
    assert result is SendResult.SENT


def test_a_refused_step_is_repeated_six_times_at_most():
    said, result, _ = sending(ACK, *[NAK] * 6)
    assert (said, result) == ([ENQ, *[STX] * 6, EOT], SendResult.RETRY_LATER)
    assert sending(ACK, *[b"U"] * 5, ACK)[0][-1] == MESSAGE


def test_a_busy_device_is_asked_again():
    said, result, sender = sending(NAK)
    assert (said, result, sender.is_paused, sender.timer.seconds) == ([ENQ], None, True, 10)
    assert sender.feed(ACK) == []
    assert sender.expire() == [Reply(ENQ)]
    assert sender.feed(b"x") == []
    for _ in range(5):
        events = sender.feed(NAK)
        sender.expire()
    assert events == [Reply(EOT), Finished(SendResult.RETRY_LATER)]


def test_silence_contention_and_interruption():
    _, _, sender = sending(ACK)
    assert sender.timer.seconds == 15
    assert sender.expire() == [Reply(EOT), Finished(SendResult.RETRY_LATER)]
    assert sender.expire() == sender.feed(ACK) == []
    assert sending(ENQ)[1] is SendResult.YIELDED
    assert sending(ENQ, role=SenderRole.INSTRUMENT)[2].timer.seconds == 1
    assert sending(ACK, EOT)[1] is SendResult.INTERRUPTED
    _, result, sender = sending(ACK, ACK, ACK, EOT)
    assert (result, sender.is_line_wanted) == (SendResult.SENT, True)
    assert sending(ACK)[2].abandon() == [Reply(EOT), Finished(SendResult.INTERRUPTED)]


@pytest.mark.parametrize("one_record_each", [False, True])
def test_our_receiver_understands_our_sender(one_record_each):
    sender, receiver = SimpleSender(steps_of(MESSAGE, one_record_each=one_record_each)), SimpleReceiver()
    messages: list[bytes] = []
    result = None
    sent = sender.start()
    while sent:
        heard = []
        for event in sent:
            if isinstance(event, Finished):
                result = event.result
            else:
                heard += receiver.feed(event.data) or receiver.expire()
        answers = b""
        while heard:
            event = heard.pop(0)
            if isinstance(event, Reply):
                answers += event.data
            else:
                messages += event.messages
                heard += receiver.settle(is_durable=True)
        sent = sender.feed(answers)
    assert (result, messages) == (SendResult.SENT, [MESSAGE])


ANSWERS = st.lists(st.one_of(st.sampled_from([ACK, NAK, ENQ, EOT, None]), st.binary(max_size=4)), max_size=60)


@given(ANSWERS, st.sampled_from(SenderRole))
def test_any_answers_are_survived(answers, role):
    sender = SimpleSender(steps_of(MESSAGE), role=role)
    events = sender.start()
    for answer in answers:
        events += sender.expire() if answer is None else sender.feed(answer)
    said = [event.data for event in events if isinstance(event, Reply)]
    assert all(said.count(step) <= 6 for step in (STX, MESSAGE, ETX))
    finished = [event for event in events if isinstance(event, Finished)]
    assert len(finished) <= 1
    assert (sender.timer is None) == bool(finished)
