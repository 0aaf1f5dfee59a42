import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import ids

LABS = st.from_regex(r"[A-Z0-9]{2,12}", fullmatch=True)
ORDERS = st.from_regex(r"[A-Z]{1,4}-\d{6}-\d{4,6}", fullmatch=True)


def test_ids_are_version_7():
    for _ in range(200):
        value = ids.new_id()
        assert (value.version, value.variant) == (7, uuid.RFC_4122)


def test_ids_sort_by_the_time_they_were_made():
    made = []
    for _ in range(20):
        made.append(ids.new_id())
        time.sleep(0.0015)
    assert made == sorted(made)
    assert [str(value) for value in made] == sorted(str(value) for value in made)


def test_ids_carry_the_time():
    before = time.time_ns() // 1_000_000
    milliseconds = ids.new_id().int >> 80
    assert before <= milliseconds <= time.time_ns() // 1_000_000


def test_ids_of_one_moment_differ():
    assert len({ids.new_id() for _ in range(5_000)}) == 5_000


@given(LABS, ORDERS)
def test_an_order_number_survives_its_workflow_id(lab, order_no):
    assert ids.order_no_of(ids.order_workflow_id(lab, order_no)) == order_no


@pytest.mark.parametrize("text", ["", "order", "order:", "order:LAB1", "order:LAB1:", "order::X", "payment:LAB1:X"])
def test_what_is_no_order(text):
    with pytest.raises(ValueError, match="not an order"):
        ids.order_no_of(text)


def test_every_kind_of_run_has_ids_of_its_own():
    made = [
        ids.order_workflow_id("LAB1", "X"), ids.payment_workflow_id("X"), ids.refund_workflow_id("X"),
        ids.einvoice_workflow_id("X"), ids.reversal_workflow_id("X"), ids.delivery_workflow_id("X"),
        ids.record_push_workflow_id("X"), ids.transfer_workflow_id("X"), ids.consent_workflow_id("X", "GRANTED"),
    ]  # fmt: skip
    kinds = [value.partition(":")[0] for value in made]
    assert len(set(kinds)) == len(kinds)


def test_two_changes_of_a_consent_are_two_runs():
    assert ids.consent_workflow_id("c", "GRANTED") != ids.consent_workflow_id("c", "REVOKED")
