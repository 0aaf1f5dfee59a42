import pytest

from connectors.hl7.envelope import envelope_for
from connectors.hl7.orders_out import Place, awos_id, nothing_to_do, order_message
from connectors.hl7.validation import validate_message
from domain.device_orders import WorkAction
from tests.unit.connectors.hl7.work import MOMENT, lines, profile, tube


def order(work, rules, **more):
    return lines(order_message(work, rules, envelope_for(rules), control_id="C1", moment=MOMENT, **more))


def test_a_broadcast_before_the_device_has_spoken():
    sent = order(tube("S", "1"), profile("law"))
    assert sent[0] == (
        "MSH|^~\\&|LABSETU||||20260901101500+0530||OML^O33^OML_O33|C1|P|2.5.1|||NE|AL||UNICODE UTF-8|||LAB-28^IHE"
    )
    assert "OBR|1|S-1||1" in sent


def test_a_cancellation_names_the_same_step():
    rules = profile("law")
    new, cancel = (order(tube("S", "1", action=action), rules) for action in (WorkAction.NEW, WorkAction.CANCEL))
    assert [line for line in new if line.startswith("OBR")] == [line for line in cancel if line.startswith("OBR")]
    assert any(line.startswith("ORC|CA|") for line in cancel)
    assert awos_id(tube("S"), "1") == "S-1"


def test_oml_o21_has_the_specimen_under_each_order():
    sent = order(tube("S", "1", "2"), profile("oml"))
    assert [line[:3] for line in sent[2:]] == ["ORC", "TQ1", "OBR", "TCD", "SPM", "SAC"] * 2
    assert sent[2].startswith("ORC|NW|S-1|")
    assert "LAB-28" not in sent[0]


@pytest.mark.parametrize(
    ("specimen", "style", "field"),
    [
        ("urine", "law", "UR^Urine^HL70487"),
        ("plasma", "roche_law", "SERPLAS^^99ROC"),
        ("urine", "roche_law", "UR^Urine^HL70487"),
        ("synovial fluid", "law", '""'),
    ],
)
def test_kinds_of_specimen(specimen, style, field):
    (spm,) = [line for line in order(tube("S", "1", specimen=specimen), profile(style)) if line.startswith("SPM")]
    assert spm.split("|")[4] == field


def test_a_place_without_container():
    sent = order(tube("S", "1", collected_at=None), profile("law"), place=Place(rack="R1", position="2"))
    assert "SAC|||S|||||||R1|2" in sent


def test_hl7apy_agrees_with_a_negative_response_and_a_cancellation():
    rules = profile("law")
    negative = nothing_to_do("S", rules, envelope_for(rules), control_id="C1", moment=MOMENT)
    cancel = "\r".join(order(tube("S", "1", action=WorkAction.CANCEL), rules)) + "\r"
    for message in (negative, cancel.encode()):
        assert validate_message(message).is_conforming, validate_message(message).findings
