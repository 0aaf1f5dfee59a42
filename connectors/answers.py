"""Reading what a partner answered: into a model, or into words fit for an error."""

from __future__ import annotations

import re
from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from connectors.redact import masked_digits
from domain.errors import ConnectorError, OutcomeUnknownError, UnavailableError

ModelT = TypeVar("ModelT", bound=BaseModel)

_MAX_QUOTE_CHARS = 200
_EMAIL = re.compile(r"[^\s@<>\"']+@[^\s@<>\"']+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


def read_answer(
    model: type[ModelT], response: httpx.Response, *, connector: str, operation: str, safe_to_repeat: bool
) -> ModelT:
    """Return the JSON body of a successful answer as `model`.

    Raises:
        UnavailableError: It is not what the partner documents (a maintenance page, cut short), and the call may be
            repeated.
        OutcomeUnknownError: The same, and the call may not be repeated: the partner probably did what was asked.
    """
    try:
        return model.model_validate_json(response.content)
    except ValidationError as error:
        failure: type[ConnectorError] = UnavailableError if safe_to_repeat else OutcomeUnknownError
        # `from None`: pydantic's message quotes the input, which may hold a name or a number
        raise failure(
            f"{connector} answered {response.status_code} with something unreadable ({_where(error)})",
            code="ANSWER_UNREADABLE",
            connector=connector,
            operation=operation,
        ) from None


def quoted(text: object) -> str:
    """Return a partner's own words for use in an error: one line, bounded, without numbers or e-mail addresses."""
    if not isinstance(text, str):
        return ""
    line = _CONTROL.sub(" ", text[: 4 * _MAX_QUOTE_CHARS])
    return masked_digits(_EMAIL.sub("***", line))[:_MAX_QUOTE_CHARS].strip()


def _where(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    path = ".".join(str(part) for part in first["loc"])
    return f"{first['type']} at {path}" if path else first["type"]
