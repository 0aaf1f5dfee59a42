import itertools

from domain.messaging import DeliveryState, OutboundMessage, delivery_kind, delivery_state_of


def test_the_end_does_not_depend_on_the_order_of_reports():
    for order in itertools.permutations(DeliveryState):
        state = DeliveryState.ACCEPTED
        for report in order:
            state = state.advanced(report)
        assert state is DeliveryState.READ


def test_proof_of_delivery_wins_over_failure_and_failure_over_hope():
    assert DeliveryState.SENT.advanced(DeliveryState.FAILED) is DeliveryState.FAILED
    assert DeliveryState.FAILED.advanced(DeliveryState.SENT) is DeliveryState.FAILED
    assert DeliveryState.DELIVERED.advanced(DeliveryState.FAILED) is DeliveryState.DELIVERED
    assert DeliveryState.FAILED.advanced(DeliveryState.DELIVERED) is DeliveryState.DELIVERED


def test_kinds_are_read_back():
    for state in DeliveryState:
        assert delivery_state_of(delivery_kind(state)) is state
    for other in ("message.received", "delivered", "payment_link.paid", ""):
        assert delivery_state_of(other) is None


def test_a_message_shows_no_person():
    message = OutboundMessage(
        "ntf-1", "+919810012345", "report_ready", "en", ("Asha",), "Dear Asha", "For Asha", "https://l.in/x", "Asha.pdf"
    )
    for personal in ("98100", "Asha", "l.in"):
        assert personal not in repr(message)
