import httpx
import pytest

from connectors.razorpay.errors import explained
from domain.errors import AuthError, RejectedError, RequestError, UnavailableError


def refusal(description="", status=400, **detail):
    return explained(
        httpx.Response(status, json={"error": {"code": "BAD_REQUEST_ERROR", "description": description} | detail})
    )


@pytest.mark.parametrize(
    ("description", "kind", "code"),
    [
        ("The amount must be at least INR 1.00.", RequestError, "AMOUNT_TOO_SMALL"),
        ("Amount exceeds maximum amount allowed.", RequestError, "AMOUNT_TOO_LARGE"),
        ("wrong input fields sent.", RequestError, "WRONG_FIELDS"),
        ("x is/are not required and should not be sent", RequestError, "WRONG_FIELDS"),
        ("The amount is required", RequestError, "FIELD_MISSING"),
        ("pay_1 is not a valid id.", RejectedError, "NOT_FOUND"),
        ("The api key provided is invalid", AuthError, "AUTHENTICATION_FAILED"),
        ("Invalid access: Cannot create a payment link, as Merchant is Suspended.", AuthError, "ACCOUNT_SUSPENDED"),
    ],
)
def test_descriptions_decide(description, kind, code):
    error = refusal(description)
    assert type(error) is kind
    assert error.partner_code == code


def test_in_progress_is_tried_again_soon():
    error = refusal("Another request with the same idempotency key is still in progress.", 409)
    assert type(error) is UnavailableError
    assert error.retry_after.total_seconds() == 5


@pytest.mark.parametrize(
    ("detail", "code"),
    [
        ({"reason": "input_validation_failed"}, "input_validation_failed"),
        ({"reason": "NA"}, "BAD_REQUEST_ERROR"),
        ({"reason": None, "code": None}, "418"),
    ],
)
def test_the_unknown_is_a_refusal_with_the_most_telling_code(detail, code):
    error = refusal("Something new", 418, **detail)
    assert type(error) is RejectedError
    assert error.partner_code == code


@pytest.mark.parametrize("status", [401, 403, 429, 500, 502, 503])
def test_where_the_status_speaks_it_decides(status):
    assert refusal("The id provided does not exist", status) is None


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"message": "no Route"}', b'{"error": "no"}', b'{"error": {"code": 1}}']
)
def test_unreadable_bodies_leave_it_to_the_status(body):
    assert explained(httpx.Response(400, content=body)) is None


def test_what_the_customer_typed_is_not_quoted():
    error = refusal("contact 919810012345 of asha@example.in is wrong\nreally")
    assert "9810012345" not in error.message
    assert "asha@example.in" not in error.message
    assert "\n" not in error.message
