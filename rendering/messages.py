"""Texts of the messages to patients, in English and Hindi. None of them holds a test, a result or a reason.

Each text is the twin of a template registered at WhatsApp and on the DLT portal for SMS: it must match the registered
one, so its variables are named, ordered and counted here, and what is not a variable of the template is refused.
Source: Meta WhatsApp Cloud API, message templates (positional parameters; no variable at the start or end of a body);
TRAI Distributed Ledger Technology rules for commercial SMS, content templates; both read from specs.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from domain.errors import RuleError
from domain.report import ReportLanguage
from rendering.templating import environment

MAX_PARAMETER_CHARS: Final = 200


class MessageTemplate(StrEnum):
    """What a message is about; also the name of the template at WhatsApp."""

    REPORT_READY = "report_ready"
    PAYMENT_REQUEST = "payment_request"
    PAYMENT_RECEIVED = "payment_received"
    SAMPLE_REJECTED = "sample_rejected"


PARAMETERS: Final[Mapping[MessageTemplate, tuple[str, ...]]] = MappingProxyType(
    {
        MessageTemplate.REPORT_READY: ("patient_name", "lab_name", "order_no", "link"),
        MessageTemplate.PAYMENT_REQUEST: ("patient_name", "amount", "lab_name", "order_no", "link"),
        MessageTemplate.PAYMENT_RECEIVED: ("patient_name", "amount", "lab_name", "receipt_no"),
        MessageTemplate.SAMPLE_REJECTED: ("patient_name", "lab_name", "order_no", "lab_phone"),
    },
)
"""The facts of each template, in the order of its WhatsApp parameters."""


@dataclass(frozen=True)
class MessageText:
    """One message, for whichever channel carries it.

    Attributes:
        subject: Of an e-mail.
        text: Of an e-mail or SMS, one paragraph.
        parameters: For WhatsApp, in the order of the registered template.
    """

    subject: str
    text: str
    parameters: tuple[str, ...]


def render_message(
    template: MessageTemplate | str, language: ReportLanguage | str, facts: Mapping[str, str]
) -> MessageText:
    """Return the message in the language given.

    Args:
        template: Which message.
        language: `en` or `hi`.
        facts: Exactly the facts named in PARAMETERS; amounts and times as they are to be read.

    Raises:
        RuleError: Template or language is unknown, or a fact is missing, empty, too long or not of this template.
    """
    try:
        kind, spoken = MessageTemplate(template), ReportLanguage(language)
    except ValueError as error:
        raise RuleError(str(error), code="MESSAGE_TEMPLATE_UNKNOWN") from None
    names = PARAMETERS[kind]
    if set(facts) != set(names):
        wrong = sorted(set(facts) ^ set(names))
        raise RuleError(
            f"{kind} has missing or foreign facts: {', '.join(wrong)[:200]}",
            code="MESSAGE_FACTS_WRONG",
            action=f"Give exactly: {', '.join(names)}.",
        )
    values = {name: _one_line(facts[name]) for name in names}
    for name, value in values.items():
        if not value or len(value) > MAX_PARAMETER_CHARS:
            raise RuleError(
                f"{kind}: {name} must have 1 to {MAX_PARAMETER_CHARS} characters", code="MESSAGE_FACTS_WRONG"
            )
    rendered = environment().get_template(f"messages/{kind}.{spoken}.txt").render(values)
    subject, _, text = rendered.partition("\n")
    return MessageText(subject=subject.strip(), text=text.strip(), parameters=tuple(values.values()))


def _one_line(value: str) -> str:
    """Return the value without control, format and direction characters and with single blanks, as WhatsApp demands."""
    joiners = {"\u200c", "\u200d"}
    kept = (char if char in joiners or unicodedata.category(char)[0] != "C" else " " for char in value)
    return " ".join("".join(kept).split())
