import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.hl7.codec import parse_message
from connectors.hl7.envelope import envelope_for
from connectors.hl7.orders_in import order_answer, read_orders
from connectors.hl7.orders_out import order_message
from connectors.hl7.validation import validate_message
from domain.device_orders import WorkPriority
from domain.errors import MessageError
from tests.unit.connectors.hl7.work import MOMENT, lines, profile, tube

PID = "PID|1||P0001^^^HOSP^MR||SHARMA^ASHA||19800102|F"


def message(kind: str, *segments: str, version: str = "2.5.1"):
    head = f"MSH|^~\\&|HIS|HOSP|LIS|LAB|20260901101500||{kind}|M7|P|{version}"
    return parse_message("\r".join((head, *segments)).encode())


def test_an_order_of_an_old_hospital_system():
    found = read_orders(
        message(
            "ORM^O01",
            PID,
            "PV1|1|O|OPD",
            "ORC|NW|HIS1^HIS|LAB1^LIS|G1||||20260901|20260901101000|||D7^RAO^MEENA",
            "OBR|1|HIS1||GLU^Glucose^L|S|20260901101000|20260901095000||||||||SER&Serum",
            "NTE|1||fasting",
            "ORC|CA|HIS2",
            "OBR|2|HIS2||CRE^Creatinine^L||||||||||||||||||||||^^^^^R",
            version="2.3.1",
        )
    )
    assert (found.kind, found.message_id, found.sender) == ("ORM^O01", "M7", "HIS HOSP")
    assert found.patient is not None
    assert found.visit.location == "OPD"
    first, second = found.lines
    assert (first.control, first.placer_no, first.filler_no, first.group_no) == ("NW", "HIS1", "LAB1", "G1")
    assert (first.code, first.name, first.coding_system) == ("GLU", "Glucose", "L")
    assert (first.priority, first.specimen, first.notes) == (WorkPriority.STAT, "SER", ("fasting",))
    assert first.ordered_by == "D7 MEENA RAO"
    assert first.ordered_at == datetime(2026, 9, 1, 4, 40, tzinfo=UTC)
    assert first.collected_at == datetime(2026, 9, 1, 4, 20, tzinfo=UTC)
    assert (second.control, second.code, second.priority) == ("CA", "CRE", WorkPriority.ROUTINE)


def test_the_specimen_stands_before_the_orders_in_o33_and_after_each_in_o21():
    o33 = message(
        "OML^O33", "SPM|1|T1&LIS||SER", "SAC|||T1", "ORC|NW|1", "TQ1|1||||||||S", "OBR|1|1||A",
        "ORC|NW|2", "OBR|2|2||B", "SPM|2|||URI", "SAC|||T2", "ORC|NW|3", "OBR|1|3||C",
    )  # fmt: skip
    o21 = message(
        "OML^O21", "ORC|NW|1", "TQ1|1||||||||S", "OBR|1|1||A", "SPM|1|T1||SER", "ORC|NW|2", "OBR|2|2||B",
        "SPM|1|T1||SER", "ORC|NW|3", "OBR|1|3||C", "SPM|1|||URI", "SAC|||T2",
    )  # fmt: skip
    for order in (o33, o21):
        assert [(line.code, line.specimen_id, line.specimen) for line in read_orders(order).lines] == [
            ("A", "T1", "SER"),
            ("B", "T1", "SER"),
            ("C", "T2", "URI"),
        ]
        assert read_orders(order).lines[0].priority is WorkPriority.STAT


def test_an_order_without_orc_is_a_new_one():
    (line,) = read_orders(message("ORM^O01", "OBR|1|9||GLU")).lines
    assert (line.control, line.placer_no, line.code) == ("NW", "9", "GLU")


def test_a_panel_under_one_orc_is_a_line_per_obr():
    found = read_orders(message("ORM^O01", "ORC|NW|9", "OBR|1|9||GLU", "OBR|2|10||CRE"))
    assert [(line.control, line.code) for line in found.lines] == [("NW", "GLU"), ("NW", "CRE")]


@pytest.mark.parametrize("style", ["law", "oml"])
def test_what_we_send_can_be_read_as_orders(style):
    rules = profile(style)
    raw = order_message(tube("S", "1", "2"), rules, envelope_for(rules), control_id="C", moment=MOMENT)
    found = read_orders(parse_message(raw))
    assert [(line.placer_no, line.code, line.specimen_id) for line in found.lines] == [
        ("S-1", "1", "S"),
        ("S-2", "2", "S"),
    ]


def test_other_messages_are_refused():
    for other in (message("ORU^R01", "OBR|1"), message("ORM^O01", PID)):
        with pytest.raises(MessageError):
            read_orders(other)


@pytest.mark.parametrize(
    ("kind", "answer", "names"),
    [
        ("ORM^O01", "ORR^O02", ["MSH", "MSA", "PID", "ORC", "ORC"]),
        ("OML^O21^OML_O21", "ORL^O22^ORL_O22", ["MSH", "MSA", "PID", "ORC", "ORC"]),
        ("OML^O33^OML_O33", "ORL^O34^ORL_O34", ["MSH", "MSA", "PID", "SPM", "ORC", "ORC"]),
    ],
)
def test_answers_say_what_became_of_each_line(kind, answer, names):
    orders = message(kind, PID, "SPM|1|T1||SER", "ORC|NW|1", "OBR|1|1||A", "ORC|CA|2", "OBR|2|2||B")
    raw = order_answer(orders, {"1": "OK", "2": "UC"}, control_id="N1", moment=MOMENT)
    written = lines(raw)
    assert [line[:3] for line in written] == names
    assert written[0].split("|")[8] == answer
    assert written[1] == "MSA|AA|M7"
    assert [line.split("|")[1:3] for line in written if line.startswith("ORC")] == [["OK", "1"], ["UC", "2"]]


def test_a_refused_message_says_why_to_those_who_know_err():
    orders = message("OML^O33", PID, "SPM|1|T1||SER", "ORC|NW|1", "OBR|1|1||A")
    refused = lines(order_answer(orders, {}, code="AE", control_id="N1", moment=MOMENT))
    assert [line[:6] for line in refused[1:]] == ["MSA|AE", "ERR|||"]
    old = message("ORM^O01", "ORC|NW|1", "OBR|1|1||A", version="2.3")
    assert len(lines(order_answer(old, {}, code="AE", control_id="N1", moment=MOMENT))) == 2


def test_hl7apy_agrees_with_an_answer_of_one_order():
    orders = message("OML^O33^OML_O33", PID, "SPM|1|T1||SER", "ORC|NW|1", "OBR|1|1||A")
    report = validate_message(order_answer(orders, {"1": "OK"}, control_id="N1", moment=MOMENT))
    assert report.is_conforming, report.findings


NAMES = st.sampled_from(["PID", "PV1", "ORC", "OBR", "SPM", "SAC", "TQ1", "NTE"])


@given(
    st.sampled_from(["ORM^O01", "OML^O21", "OML^O33"]), st.lists(st.tuples(NAMES, st.text(max_size=30)).map("|".join))
)
def test_any_segments_are_read_or_refused(kind, segments):
    with contextlib.suppress(MessageError):
        order = message(kind, *(segment.encode(errors="replace").decode() for segment in segments))
        found = read_orders(order)
        verdicts = {line.placer_no: "OK" for line in found.lines}
        assert parse_message(order_answer(order, verdicts, control_id="N", moment=MOMENT)).segments[1].name == "MSA"
