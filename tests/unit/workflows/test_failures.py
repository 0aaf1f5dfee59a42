import pytest
from temporalio.exceptions import ActivityError, ApplicationError, RetryState, TimeoutType
from temporalio.exceptions import TimeoutError as ActivityTimeoutError

from activities.errors import as_application_error
from domain.errors import RejectedError
from workflows.failures import Failure, failure_of, refusal, refuse


def failed(cause: BaseException | None) -> ActivityError:
    error = ActivityError(
        "Activity task failed", scheduled_event_id=1, started_event_id=2, identity="w", activity_type="a",
        activity_id="1", retry_state=RetryState.NON_RETRYABLE_FAILURE,
    )  # fmt: skip
    error.__cause__ = cause
    return error


def test_our_errors_come_back_in_our_words():
    error = RejectedError("no", code="PARTNER_SAYS_NO", action="Ask them.", partner_code="2150")
    assert failure_of(failed(as_application_error(error))) == Failure(
        kind="RejectedError", code="PARTNER_SAYS_NO", partner_code="2150", message="no", action="Ask them."
    )


@pytest.mark.parametrize("details", [(), ("text",), ({},), ([1],)])
def test_foreign_details_are_no_trouble(details):
    failure = failure_of(failed(ApplicationError("odd", *details)))
    assert (failure.kind, failure.code, failure.action) == ("ApplicationError", "", "")


def test_a_timeout_has_a_name():
    timeout = ActivityTimeoutError("late", type=TimeoutType.START_TO_CLOSE, last_heartbeat_details=[])
    failure = failure_of(failed(timeout))
    assert (failure.kind, failure.code) == ("TimeoutError", "ACTIVITY_FAILED")


def test_no_cause_is_a_failure_too():
    assert failure_of(failed(None)).code == "ACTIVITY_FAILED"


def test_a_refusal_tells_its_caller_why():
    error = refusal(Failure("ConflictError", "SAMPLE_NOT_COLLECTED", "", "not collected", "Collect it."))
    assert (error.type, error.message, error.non_retryable) == ("ConflictError", "not collected", True)
    assert error.details == ({"code": "SAMPLE_NOT_COLLECTED", "action": "Collect it."},)


def test_a_validators_refusal_has_the_same_form():
    error = refuse("ORDER_ENDED", "the order is closed")
    assert set(error.details[0]) == {"code", "action"}
    assert error.non_retryable
