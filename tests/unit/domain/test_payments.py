import itertools

import pytest

from domain.enums import RefundState
from domain.payments import PaymentLinkRequest, PaymentLinkState, PaymentState, advanced_refund


@pytest.mark.parametrize("states", [PaymentLinkState, PaymentState])
def test_the_end_does_not_depend_on_the_order_of_reports(states):
    for reports in itertools.combinations(states, 3):
        if len({state.rank for state in reports}) < 3:
            continue
        ends = set()
        for order in itertools.permutations(reports):
            state = next(iter(states))
            for report in order:
                state = state.advanced(report)
            ends.add(state)
        assert len(ends) == 1


def test_paid_never_becomes_unpaid():
    for later in PaymentLinkState:
        assert PaymentLinkState.PAID.advanced(later) is PaymentLinkState.PAID


def test_a_closed_link_can_still_be_paid_late():
    assert PaymentLinkState.EXPIRED.advanced(PaymentLinkState.LATE_PAID).is_paid
    assert PaymentLinkState.CANCELLED.advanced(PaymentLinkState.PENDING) is PaymentLinkState.CANCELLED


def test_a_failed_payment_may_be_authorised_later():
    assert PaymentState.FAILED.advanced(PaymentState.AUTHORIZED) is PaymentState.AUTHORIZED
    assert PaymentState.CAPTURED.advanced(PaymentState.FAILED) is PaymentState.CAPTURED


def test_open_and_paid_are_different_things():
    assert [state for state in PaymentLinkState if state.is_open] == ["pending", "partially_paid"]
    assert [state for state in PaymentLinkState if state.is_paid] == ["paid", "late_paid"]


def test_a_processed_refund_can_still_bounce():
    assert advanced_refund(RefundState.PROCESSED, RefundState.FAILED) is RefundState.FAILED
    assert advanced_refund(RefundState.PROCESSED, RefundState.PENDING) is RefundState.PROCESSED
    assert advanced_refund(RefundState.REQUESTED, RefundState.PENDING) is RefundState.PENDING


def test_a_request_shows_no_customer():
    request = PaymentLinkRequest("INV-1", 100, "Bill", "Asha Rao", "+919810012345", "asha@example.in")
    for personal in ("Asha", "98100", "example.in"):
        assert personal not in repr(request)
