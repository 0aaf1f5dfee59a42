import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.astm.framing import frames_of
from connectors.astm.sender import AstmSender, Finished, SenderRole, SendResult
from connectors.astm.session import Reply

ENQ, ACK, NAK, EOT = b"\x05", b"\x06", b"\x15", b"\x04"
FRAMES = frames_of(b"H|\\^&\rL|1\r")


def sending(*answers: bytes, role: SenderRole = SenderRole.INSTRUMENT) -> tuple[bytes, SendResult | None, AstmSender]:
    sender = AstmSender(FRAMES, role=role)
    events = sender.start()
    for answer in answers:
        events += sender.feed(answer)
    said = b"".join(event.data for event in events if isinstance(event, Reply))
    results = [event.result for event in events if isinstance(event, Finished)]
    return said, (results[0] if results else None), sender


def test_all_goes_well():
    said, result, sender = sending(ACK, ACK, ACK)
    assert said == ENQ + FRAMES[0] + FRAMES[1] + EOT
    assert result is SendResult.SENT
    assert sender.timer is None


def test_a_busy_peer_is_asked_again_after_ten_seconds():
    said, _, sender = sending(NAK)
    assert said == ENQ
    assert sender.timer.seconds == 10
    assert sender.expire() == [Reply(ENQ)]


def test_a_peer_that_stays_busy_ends_the_attempt():
    sender = AstmSender(FRAMES)
    sender.start()
    for _ in range(5):
        assert sender.feed(NAK) == []
        sender.expire()
    assert sender.feed(NAK) == [Reply(EOT), Finished(SendResult.RETRY_LATER)]


def test_silence_ends_the_attempt():
    for answers in ((), (ACK,)):
        _, _, sender = sending(*answers)
        assert sender.timer.seconds == 15
        assert sender.expire() == [Reply(EOT), Finished(SendResult.RETRY_LATER)]
        assert sender.expire() == []


def test_six_refusals_of_one_frame_end_the_attempt():
    said, result, sender = sending(ACK, *[NAK] * 6)
    assert said == ENQ + FRAMES[0] * 6 + EOT
    assert result is SendResult.RETRY_LATER
    assert sender.refusals == 6


def test_refusals_are_counted_per_frame_and_any_other_byte_refuses():
    said, result, _ = sending(ACK, *[b"U"] * 5, ACK, *[NAK] * 5, ACK)
    assert said == ENQ + FRAMES[0] * 6 + FRAMES[1] * 6 + EOT
    assert result is SendResult.SENT


def test_eot_means_taken_and_stop():
    said, result, _ = sending(ACK, EOT)
    assert (said, result) == (ENQ + FRAMES[0] + EOT, SendResult.INTERRUPTED)
    assert sending(ACK, ACK, EOT)[1] is SendResult.SENT


def test_contention():
    _, result, sender = sending(ENQ)
    assert result is None
    assert sender.timer.seconds == 1
    assert sender.expire() == [Reply(ENQ)]
    said, result, _ = sending(ENQ, role=SenderRole.COMPUTER)
    assert (said, result) == (ENQ, SendResult.YIELDED)


def test_other_answers_to_enq_are_ignored():
    assert sending(b"xyz")[0] == ENQ


def test_nothing_to_send_is_a_mistake():
    with pytest.raises(ValueError, match="nothing"):
        AstmSender([])


def test_the_peer_may_want_the_line_with_the_last_answer():
    _, result, sender = sending(ACK, ACK, EOT)
    assert (result, sender.is_line_wanted) == (SendResult.SENT, True)
    assert not sending(ACK, ACK, ACK)[2].is_line_wanted


def test_between_two_enquiries_the_line_is_neutral():
    said, result, sender = sending(NAK, ACK)
    assert (said, result, sender.is_paused) == (ENQ, None, True)
    sender.expire()
    assert not sender.is_paused


def test_a_transmission_can_be_left_to_the_peer():
    _, _, sender = sending(ACK)
    assert sender.abandon() == [Reply(EOT), Finished(SendResult.INTERRUPTED)]
    assert sender.timer is None


ANSWERS = st.lists(st.one_of(st.sampled_from([ACK, NAK, ENQ, EOT, None]), st.binary(max_size=4)), max_size=60)


@given(ANSWERS, st.sampled_from(SenderRole))
def test_any_answers_are_survived_and_no_frame_is_sent_more_than_six_times(answers, role):
    sender = AstmSender(FRAMES, role=role)
    events = sender.start()
    for answer in answers:
        events += sender.expire() if answer is None else sender.feed(answer)
    said = [event.data for event in events if isinstance(event, Reply)]
    assert all(said.count(frame) <= 6 for frame in FRAMES)
    assert said.count(EOT) <= 1
    finished = [event for event in events if isinstance(event, Finished)]
    assert len(finished) <= 1
    assert (sender.timer is None) == bool(finished)
