"""Every error of ours as Temporal sees it: retried or not, how soon, and whether operators are alarmed."""

from datetime import timedelta

import pytest
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ExecuteActivityInput

from activities.errors import ErrorInterceptor, as_application_error
from domain import errors
from domain.errors import (
    AuthError,
    ConflictError,
    ConnectorError,
    FrameError,
    LabError,
    MessageError,
    NotFoundError,
    NotPermittedError,
    OutcomeUnknownError,
    RateLimitedError,
    RejectedError,
    RequestError,
    RuleError,
    UnavailableError,
)
from store.session import StoreUnavailableError

BENIGN, ALARMING = ApplicationErrorCategory.BENIGN, ApplicationErrorCategory.UNSPECIFIED
TABLE = {
    LabError: (False, ALARMING),
    RuleError: (False, BENIGN),
    NotFoundError: (False, BENIGN),
    ConflictError: (False, BENIGN),
    NotPermittedError: (False, BENIGN),
    ConnectorError: (False, ALARMING),
    RequestError: (False, ALARMING),
    AuthError: (False, ALARMING),
    RejectedError: (False, BENIGN),
    RateLimitedError: (True, ALARMING),
    UnavailableError: (True, ALARMING),
    OutcomeUnknownError: (True, ALARMING),
    FrameError: (False, ALARMING),
    MessageError: (False, ALARMING),
    StoreUnavailableError: (True, ALARMING),
}


@pytest.mark.parametrize(("kind", "expected"), TABLE.items(), ids=[kind.__name__ for kind in TABLE])
def test_every_error_is_retried_or_not(kind, expected):
    error = as_application_error(kind("what happened", code="SOME_CODE", action="Do this."))
    assert (not error.non_retryable, error.category) == expected
    assert (error.type, error.message) == (kind.__name__, "what happened")
    assert error.details == ({"code": "SOME_CODE", "action": "Do this.", "partner_code": ""},)


def test_the_table_is_complete():
    defined = {thing for thing in vars(errors).values() if isinstance(thing, type) and issubclass(thing, LabError)}
    assert defined <= set(TABLE)


def test_a_partner_says_when_to_come_back():
    error = as_application_error(RateLimitedError("slow down", retry_after=timedelta(seconds=40)))
    assert error.next_retry_delay == timedelta(seconds=40)
    assert as_application_error(UnavailableError("away")).next_retry_delay is None


def test_a_partners_own_code_is_kept():
    error = as_application_error(RejectedError("no", partner_code="2150"))
    assert error.details[0]["partner_code"] == "2150"


def test_default_codes_and_actions_are_told():
    error = as_application_error(ConflictError("already there"))
    assert error.details[0]["code"] == "CONFLICT"
    assert error.details[0]["action"]


class _Last:
    """The end of the interceptor chain: runs the activity."""

    def __init__(self, raised: Exception | None) -> None:
        self.raised = raised

    async def execute_activity(self, input: ExecuteActivityInput) -> str:  # noqa: A002
        if self.raised:
            raise self.raised
        return "done"


async def _run(raised: Exception | None) -> object:
    interceptor = ErrorInterceptor().intercept_activity(_Last(raised))

    @activity.defn(name="tests.run")
    async def run() -> object:
        return await interceptor.execute_activity(ExecuteActivityInput(run, [], None, {}))

    return await ActivityEnvironment().run(run)


async def test_the_interceptor_translates_ours():
    with pytest.raises(ApplicationError) as caught:
        await _run(RejectedError("no", code="PARTNER_SAYS_NO"))
    assert caught.value.details[0]["code"] == "PARTNER_SAYS_NO"
    assert isinstance(caught.value.__cause__, RejectedError)


async def test_the_interceptor_leaves_bugs_to_be_retried():
    with pytest.raises(ZeroDivisionError):
        await _run(ZeroDivisionError())


async def test_the_interceptor_leaves_results_alone():
    assert await _run(None) == "done"
