import pytest
from hl7apy.parser import parse_message as parse_with_hl7apy

from connectors.hl7.answering import answer_query
from connectors.hl7.validation import validate_message
from domain.device_orders import WorkAction, WorkPriority
from tests.unit.connectors.hl7.work import inquiry, law_query, lines, profile, read, tube

LAW = profile("law", coding_system="99ABT")
ROCHE = profile("roche_law")
HEAD = "MSH|^~\\&|LIS|LAB1|ALN|LAB1|20260901101500+0530"


def reply(text: str, works, rules=LAW):
    found = answer_query(inquiry(text, works, rules))
    assert found is not None
    return found


def orders(answer):
    return [lines(outgoing.message) for outgoing in answer.then]


def test_the_query_is_acknowledged_and_the_work_follows():
    answer = reply(law_query(), (tube("261123000017", "1067"),))
    (response,) = answer.at_once
    assert lines(response) == [
        f"{HEAD}||RSP^K11^RSP_K11|OUR1|P|2.5.1||||||UNICODE UTF-8|||LAB-27^IHE",
        "MSA|AA|Q0001",
        "QAK|QT1|OK|WOS^Work Order Step^IHELAW",
        "QPD|WOS^Work Order Step^IHELAW|QT1|261123000017",
    ]
    (order,) = orders(answer)
    assert order == [
        f"{HEAD}||OML^O33^OML_O33|OUR2|P|2.5.1|||NE|AL||UNICODE UTF-8|||LAB-28^IHE",
        "PID|1||P0001^^^^PI||SHARMA ASHA^^^^^^L||19800102|F",
        "SPM|1|261123000017||SER^Serum^HL70487|||||||P^Patient specimen^HL70369||||||20260901095000+0530",
        "SAC|||261123000017",
        "ORC|NW||||||||20260901101500+0530",
        "TQ1|1||||||||R^^HL70485",
        "OBR|1|261123000017-1067||1067^^99ABT",
        "TCD|1067^^99ABT",
    ]
    assert answer.then[0].control_id == "OUR2"


def test_no_work_is_a_negative_response_with_the_tube():
    answer = reply(law_query(rest="A~B"), (tube("B", "1"),))
    (work, nothing) = orders(answer)
    assert "SAC|||B" in work
    assert nothing[1:] == ['SPM|1|""||""|||||||U^Unknown^HL70369', "SAC|||A", "ORC|DC||||||||20260901101500+0530"]
    (nothing,) = orders(reply(law_query("WOS_ALL^^IHELAW", ""), ()))
    assert nothing[2] == 'SAC|||""'


def test_a_store_that_is_away_is_never_no_work():
    answer = reply(law_query(), None)
    assert lines(answer.at_once[0])[1:4] == [
        "MSA|AE|Q0001",
        "ERR|||207^Application internal error^HL70357|E",
        "QAK|QT1|AE|WOS^Work Order Step^IHELAW",
    ]
    assert answer.then == ()


def test_where_tubes_stand_is_not_known():
    answer = reply(law_query("WOS_BY_RACK^^IHELAW", "|R1|3"), ())
    assert lines(answer.at_once[0])[1] == "MSA|AR|Q0001"
    assert answer.then == ()


def test_all_tubes_of_one_query_each_get_their_message():
    answer = reply(law_query("WOS_ALL^^IHELAW", ""), (tube("A", "1"), tube("B", "2")))
    assert [order[3] for order in orders(answer)] == ["SAC|||A", "SAC|||B"]
    assert len({outgoing.control_id for outgoing in answer.then}) == 2


def test_the_step_ids_of_one_tube_are_unique_and_stable():
    first, again = (orders(reply(law_query(), (tube("S", "1", "2"),)))[0] for _ in range(2))
    ids = [line.split("|")[2] for line in first if line.startswith("OBR")]
    assert len(set(ids)) == 2
    assert first == again
    (rerun,) = orders(reply(law_query(), (tube("S", "1", action=WorkAction.RERUN),)))
    assert not set(ids) & {line.split("|")[2] for line in rerun if line.startswith("OBR")}


def test_priority_and_reflex():
    (order,) = orders(reply(law_query(), (tube("S", "1", priority=WorkPriority.STAT, action=WorkAction.REFLEX),)))
    assert "TQ1|1||||||||S^^HL70485" in order
    assert "OBR|1|S-1||1^^99ABT|||||||G" in order


def test_roche_gets_rack_position_type_and_container_back():
    text = law_query("INISEQ^^99ROC", "123|50001|1|||||SERPLAS^^99ROC|SC^^99ROC|R", profile_id="LAB-27R^ROCHE")
    answer = reply(text, (tube("123", "8714"),), ROCHE)
    assert lines(answer.at_once[0])[0].endswith("|||LAB-27R^ROCHE")
    assert "QPD|INISEQ^^99ROC|QT1|123|50001|1|||||SERPLAS^^99ROC|SC^^99ROC|R" in lines(answer.at_once[0])
    (order,) = orders(answer)
    assert order[0].endswith("|||LAB-28^IHE")
    assert order[2].startswith("SPM|1|123&BARCODE||SERPLAS^^99ROC|||||||P")
    assert order[2].endswith("||||||||||SC^^99ROC")
    assert order[3] == "SAC|||123^BARCODE|||||||50001|1"
    assert "OBR|1|123-8714||8714^^99ROC" in order


def test_a_tray_is_echoed():
    (order,) = orders(reply(law_query(rest="S|||T1|7"), (tube("S", "1"),)))
    assert "SAC|||S||||||||||T1|7" in order


def test_what_a_patient_is_called_cannot_break_the_message():
    work = tube("S", "1", patient_name="O|B^R~I&E\\N\rMSH|x")
    message = read(reply(law_query(), (work,)).then[0].message)
    assert message.segments[1].value(5, 1) == "O|B^R~I&E\\N\rMSH|x"
    assert [segment.name for segment in message.segments].count("MSH") == 1


@pytest.mark.parametrize("rules", [LAW, ROCHE, profile("oml")])
@pytest.mark.parametrize("work", [tube("S", "1"), tube("S", "1", patient_no="", patient_name="", collected_at=None)])
def test_hl7apy_agrees_with_single_orders(rules, work):
    message = reply(law_query(), (work,), rules).then[0].message
    assert validate_message(message).is_conforming, validate_message(message).findings
    sent = [line[:3] for line in lines(message)]
    read_back = parse_with_hl7apy(message.decode(), find_groups=False)
    assert [segment.name for segment in read_back.children] == sent
