"""Which error becomes which status, and that a problem never repeats what was sent."""

import inspect

import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from api import errors
from api.commanding import refusal_status
from domain import errors as domain_errors
from domain.errors import ConnectorError, LabError

EXPECTED = {
    "RuleError": 422, "NotFoundError": 404, "ConflictError": 409, "NotPermittedError": 403, "ConnectorError": 502,
    "RequestError": 502, "AuthError": 401, "RejectedError": 502, "RateLimitedError": 502, "UnavailableError": 503,
    "OutcomeUnknownError": 502, "FrameError": 422, "MessageError": 422, "LabError": 500,
}  # fmt: skip
KINDS = [kind for _, kind in inspect.getmembers(domain_errors, inspect.isclass) if issubclass(kind, LabError)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_of_the_tree_has_its_status(kind):
    error = kind("x", connector="files") if issubclass(kind, ConnectorError) else kind("x")
    assert errors.status_of(error) == EXPECTED[kind.__name__]
    answer = errors.problem_of(error, "request-1")
    assert ("retry-after" in answer.headers) == (answer.status_code == 503)
    assert ("www-authenticate" in answer.headers) == (answer.status_code == 401)


class _Form(BaseModel):
    name: str
    secret: SecretStr
    number: int


def test_findings_name_the_rule_and_not_the_value():
    with pytest.raises(ValidationError) as caught:
        _Form.model_validate({"name": 5, "secret": ["hidden"], "number": "hidden"})
    words = [errors._words(finding) for finding in caught.value.errors()]
    assert words == ["string_type", "string_type", "int_parsing"]


@pytest.mark.parametrize(
    ("code", "status"),
    [("NOT_FOUND", 404), ("NOT_PERMITTED", 403), ("TEST_NOT_ORDERED", 409), ("SAMPLE_NOT_FOUND", 422), ("", 409)],
)
def test_refusals_are_409_unless_the_request_itself_is_wrong(code, status):
    assert refusal_status(code) == status
