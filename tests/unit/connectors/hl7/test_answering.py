import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.hl7.answering import answer_query
from connectors.hl7.codec import parse_message
from connectors.hl7.envelope import envelope_for
from connectors.hl7.queries import read_query
from connectors.hl7.replies import Inquiry
from connectors.hl7.validation import validate_message
from domain.errors import MessageError
from tests.unit.connectors.hl7.work import (
    MOMENT,
    cepheid_query,
    display_query,
    inquiry,
    law_query,
    profile,
    tube,
    worklist_query,
)

STYLES = ["law", "roche_law", "oml", "mindray_bs", "mindray_bc", "getein", "cepheid"]
QUERIES = [law_query(), display_query(), worklist_query(), cepheid_query()]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("text", QUERIES)
def test_a_device_is_answered_in_the_form_in_which_it_asks(style, text):
    rules = profile(style)
    reply = answer_query(inquiry(text, (tube("261123000017"),), rules))
    assert reply is not None
    kinds = {law_query(): "RSP", display_query(): "QCK", worklist_query(): "ORR", cepheid_query(): "RSP"}
    (answer,) = [parse_message(raw) for raw in reply.at_once]
    assert answer.header.value(9, 1) == kinds[text]
    assert answer.segments[1].value(2) == parse_message(text.encode()).header.value(10)


def test_a_query_taken_back_is_only_acknowledged():
    text = "MSH|^~\\&|G||L||2026||QCN^J01|1|P|2.5\rQID|tag|N/D\r"
    assert answer_query(inquiry(text, (), profile("cepheid"))) is None


@pytest.mark.parametrize(
    ("style", "text", "works", "findings"),
    [
        ("law", law_query(), (tube("261123000017", "1"),), [(), ()]),
        ("law", law_query(), (), [(), ()]),
        ("law", law_query(), None, [()]),
        ("mindray_bs", display_query(), (), [()]),
        # the device's own QRD, which is echoed, leaves out a field that the standard requires
        ("mindray_bs", display_query(), (tube("S", "1"),), [(), ("Missing required child QRD.QRD_10",)]),
        ("mindray_bc", worklist_query(), (), [()]),
    ],
)
def test_hl7apy_agrees_with_the_answers(style, text, works, findings):
    reply = answer_query(inquiry(text, works, profile(style)))
    assert reply is not None
    messages = [*reply.at_once, *(outgoing.message for outgoing in reply.then)]
    assert [validate_message(message).findings for message in messages] == findings


FIELDS = st.lists(st.text(max_size=8), max_size=14).map("|".join)
HEADS = st.sampled_from(["MSH|^~\\&|A|B|C|D|2026||ORM^O01|1|P|2.3.1", "MSH|^~\\&|A", "MSH*~|*x*y", "MSH|^"])
BODIES = st.lists(st.tuples(st.sampled_from(["QPD", "QRD", "QRF", "QID", "ORC|RF"]), FIELDS).map("|".join), max_size=4)


@given(HEADS, BODIES, st.sampled_from(STYLES), st.sampled_from([None, (), (tube("S", "1", patient_name="^|~\\&\r"),)]))
def test_any_query_gets_an_answer_that_can_be_read(head, body, style, works):
    rules = profile(style)
    raw = "\r".join([head, *body]).encode(errors="replace")
    try:
        message = parse_message(raw)
        query = read_query(message, rules)
    except MessageError:
        return
    if query is None:
        return
    envelope = envelope_for(rules, message.header)
    reply = answer_query(Inquiry(query, works, rules, envelope, MOMENT, lambda: "N"))
    for answer in [*reply.at_once, *(outgoing.message for outgoing in reply.then)] if reply else []:
        segments = parse_message(answer).segments
        assert segments[0].name == "MSH"
        assert segments[1].name in {"MSA", "PID", "SPM"}
