"""Messages say what they must in both languages, and nothing about results."""

import re

import pytest

from domain.errors import RuleError
from domain.report import ReportLanguage
from rendering.messages import PARAMETERS, MessageTemplate, render_message
from rendering.typesetting import TEMPLATES

FACTS = {
    "patient_name": "Asha",
    "lab_name": "Setu Diagnostics",
    "order_no": "DEL-261123-0042",
    "link": "https://s.example/r/abc",
    "amount": "₹ 1,870.00",
    "receipt_no": "D1-2627-000123",
    "lab_phone": "011-4000 1234",
}
PAIRS = [(template, language) for template in MessageTemplate for language in ReportLanguage]


def facts_of(template):
    return {name: FACTS[name] for name in PARAMETERS[template]}


@pytest.mark.parametrize(("template", "language"), PAIRS)
def test_every_fact_is_said_once_and_in_both_languages(template, language):
    message = render_message(template, language, facts_of(template))
    assert message.parameters == tuple(FACTS[name] for name in PARAMETERS[template])
    assert all(message.text.count(value) == 1 for value in message.parameters)
    assert message.subject
    assert "\n" not in message.text
    assert ("।" in message.text) == (language is ReportLanguage.HINDI)


@pytest.mark.parametrize(("template", "language"), PAIRS)
def test_templates_can_be_registered(template, language):
    body = (TEMPLATES / "messages" / f"{template}.{language}.txt").read_text(encoding="utf-8").strip().splitlines()[1]
    assert not body.startswith("{{"), "no variable at the start of a body"
    assert not body.endswith("}}"), "no variable at its end"
    assert sorted(re.findall(r"\{\{ (\w+) \}\}", body)) == sorted(PARAMETERS[template])
    assert len(body) <= 1024


def test_only_the_facts_of_the_template_are_taken():
    facts = facts_of(MessageTemplate.REPORT_READY)
    with pytest.raises(RuleError, match="haemoglobin"):
        render_message(MessageTemplate.REPORT_READY, "en", {**facts, "haemoglobin": "6.4"})
    with pytest.raises(RuleError, match="link"):
        render_message("report_ready", "en", {name: facts[name] for name in facts if name != "link"})


@pytest.mark.parametrize("value", ["", " \n ", "x" * 201, "\u202e"])
def test_empty_or_endless_facts_are_refused(value):
    with pytest.raises(RuleError):
        render_message("report_ready", "en", {**facts_of(MessageTemplate.REPORT_READY), "lab_name": value})


def test_facts_are_text_on_one_line_and_never_template_code():
    facts = {**facts_of(MessageTemplate.REPORT_READY), "patient_name": "A\n{{ link }}\t <b>\u202e& B"}
    message = render_message("report_ready", "en", facts)
    assert "A {{ link }} <b> & B" in message.text
    assert message.parameters[0] == "A {{ link }} <b> & B"


@pytest.mark.parametrize(("template", "language"), [("results", "en"), ("report_ready", "fr"), ("../x", "en")])
def test_unknown_templates_and_languages(template, language):
    with pytest.raises(RuleError):
        render_message(template, language, {})
