import json

import pytest

from connectors.abdm.errors import Failure, error_of, failure_of, outcome_of, read_failure
from domain.errors import RateLimitedError, RejectedError, RequestError, UnavailableError
from domain.health_records import AnswerOutcome

SHAPES = [
    (b'{"error":{"code":"ABDM-1024","message":"Dependent service unavailable"}}', "ABDM-1024", "Dependent"),
    (b'[{"code":"ABDM-1006: ","message":"Invalid mobile number"}]', "ABDM-1006", "Invalid mobile"),
    (b'{"error":{"code":"ABDM-9999: ","message":"415"}}', "ABDM-9999", "415"),
    (b'{"code":"ABDM-1017","message":"Invalid Transaction Id","timestamp":"x"}', "ABDM-1017", "Invalid"),
    (b'{"message":"X-token expired","timestamp":"x"}', "", "X-token expired"),
    (b'{"loginId":"Invalid LoginId","timestamp":"2026-09-16 10:12:48"}', "", "loginId: Invalid LoginId"),
    (b'{"code":"900901","message":"Invalid Credentials","description":"d"}', "900901", "Invalid Cred"),
    (b'{"timestamp":"t","path":"/p","status":500,"error":"Internal Server Error","requestId":"r"}', "", "Internal"),
    (b'{"code":900908,"message":"Resource forbidden"}', "900908", "Resource"),
    (b'{"code":null,"message":null,"description":"only this"}', "", "only this"),
    (b"", "", ""),
    (b"<html>Bad Gateway</html>", "", ""),
    (b"[]", "", ""),
    (b"[1]", "", ""),
    (b"3", "", ""),
    (b'{"error":[]}', "", ""),
    (b'{"code":{"a":1},"message":["x"]}', "", ""),
    (b'{"error":' * 4000, "", ""),
    (b"\xff\xfe", "", ""),
]


@pytest.mark.parametrize(("body", "code", "message"), SHAPES)
def test_every_error_shape_is_read(body, code, message):
    failure = read_failure(body)
    assert failure.code == code
    assert failure.message.startswith(message)


def test_long_numbers_do_not_pass_into_messages():
    said = read_failure(json.dumps({"message": "no match for 91000000000000 " + "x" * 900}).encode()).message
    assert "91000000000000" not in said
    assert len(said) <= 200


@pytest.mark.parametrize(
    ("code", "message", "outcome"),
    [
        ("ABDM-1056", "This care contexts has been already linked", AnswerOutcome.ALREADY_DONE),
        ("ABDM-1056", "Invalid Link Reference Number", AnswerOutcome.REFUSED),
        ("ABDM-1064", "request with this request id already exists", AnswerOutcome.ALREADY_DONE),
        ("ABDM-1064", "Request body was missing", AnswerOutcome.REFUSED),
        ("ABDM-1092", "Duplicate Link token request", AnswerOutcome.ALREADY_DONE),
        ("ABDM-1113", "Duplicate health information provider data flow response", AnswerOutcome.ALREADY_DONE),
        ("ABDM-1094", "Access to this feature is restricted.", AnswerOutcome.REFUSED),
        ("ABDM-1108", "Notification DB service unavailable", AnswerOutcome.REFUSED),
        ("ABDM-1006", "No care context linked with given reference number", AnswerOutcome.NOT_LINKED_YET),
        ("ABDM-1006", "Invalid count, must be 2 digit and ranges between 1 to 20", AnswerOutcome.REFUSED),
        ("ABDM-1026", "Invalid Link Token", AnswerOutcome.TOKEN_INVALID),
        ("ABDM-1062", "ABHA number mismatch with Link token", AnswerOutcome.TOKEN_INVALID),
        ("ABDM-1062", "Consent Not granted", AnswerOutcome.REFUSED),
        ("ABDM-1063", "HIP Id mismatch with Link token", AnswerOutcome.TOKEN_INVALID),
        ("ABDM-1063", "Date Range given is invalid", AnswerOutcome.REFUSED),
        ("ABDM-1027", "You are blocked.", AnswerOutcome.BLOCKED),
        ("ABDM-1022", "Too many requests", AnswerOutcome.SLOW_DOWN),
        ("ABDM-9999", "User not found", AnswerOutcome.REFUSED),
        ("ABDM-9999", "Unknown exception", AnswerOutcome.TRY_LATER),
        ("ABDM-1024", "Dependent service unavailable", AnswerOutcome.TRY_LATER),
        ("ABDM-1035", "Invalid HIP ID", AnswerOutcome.ONBOARDING),
        ("ABDM-1036", "Data does not matched", AnswerOutcome.REFUSED),
        ("", "anything", AnswerOutcome.REFUSED),
    ],
)
def test_meaning_needs_code_and_words(code, message, outcome):
    assert outcome_of(failure_of(code, message)) is outcome


@pytest.mark.parametrize(
    ("failure", "error", "code"),
    [
        (Failure("ABDM-1027", "blocked"), RateLimitedError, "ABHA_BLOCKED"),
        (Failure("ABDM-2429", "Too many"), RateLimitedError, "PARTNER_RATE_LIMITED"),
        (Failure("ABDM-1024", ""), UnavailableError, "ABDM_TRANSIENT"),
        (Failure("ABDM-1006", "No care context linked with x"), RejectedError, "CARE_CONTEXT_NOT_LINKED_YET"),
        (Failure("ABDM-1026", ""), RejectedError, "LINK_TOKEN_INVALID"),
        (Failure("900908", ""), RequestError, "ABDM_NOT_ONBOARDED"),
        (Failure("ABDM-2402", ""), RequestError, "ABDM_CLOCK"),
        (Failure(), RequestError, "ABDM_REQUEST_MALFORMED"),
        (Failure("ABDM-1036", ""), RejectedError, "PARTNER_REJECTED"),
    ],
)
def test_each_refusal_has_its_class_and_says_what_to_do(failure, error, code):
    raised = error_of(failure, operation="link_care_context", request_id="r-1", status=400)
    assert type(raised) is error
    assert (raised.code, raised.request_id, raised.operation) == (code, "r-1", "link_care_context")
    assert raised.action


def test_a_blocked_patient_waits_a_day():
    raised = error_of(Failure("ABDM-1027"), operation="x", request_id="r", status=400)
    assert raised.retry_after is not None
    assert raised.retry_after.total_seconds() == 86400
