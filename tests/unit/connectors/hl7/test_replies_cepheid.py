from connectors.hl7.answering import answer_query
from domain.device_orders import WorkPriority
from tests.unit.connectors.hl7.work import cepheid_query, inquiry, lines, profile, tube

RULES = profile("cepheid")


def reply(text: str, works):
    found = answer_query(inquiry(text, works, RULES))
    assert found is not None
    assert found.then == ()
    return lines(found.at_once[0])


def test_orders_come_inside_the_response():
    works = (tube("26", "MTB", "RIF", priority=WorkPriority.STAT), tube("27", "FLU", patient_no="P2"))
    answer = reply(cepheid_query("Z01^REQUEST TEST ORDERS", "ALL"), works)
    assert answer[0] == "MSH|^~\\&|LIS||ICU^GeneXpert^1.0||20260901101500||RSP^Z02|OUR1|P|2.5|||NE|NE"
    assert answer[1:4] == [
        "MSA|AA|abc",
        "QAK|tag1|OK|Z01^REQUEST TEST ORDERS",
        "QPD|Z01^REQUEST TEST ORDERS|tag1|ALL",
    ]
    assert answer[4:9] == [
        "PID|1||P0001",
        "ORC|NW|1|||||||20260901101500",
        "OBR|1|||MTB|||||||A",
        "TQ1|||||||||S",
        "SPM|1|26^||ORH|||||||P",
    ]
    assert [line for line in answer if line.startswith(("PID", "SPM"))] == [
        "PID|1||P0001",
        "SPM|1|26^||ORH|||||||P",
        "SPM|2|26^||ORH|||||||P",
        "PID|2||P2",
        "SPM|1|27^||ORH|||||||P",
    ]


def test_no_orders_is_an_empty_response_and_a_store_that_is_away_an_error():
    assert [line[:6] for line in reply(cepheid_query(), ())] == ["MSH|^~", "MSA|AA", "QAK|ta", "QPD|Z0"]
    away = reply(cepheid_query(), None)
    assert away[1] == "MSA|AE|abc"
    assert "QAK|tag1|AE|Z03^HOST QUERY" in away


def test_the_patient_asked_for_is_echoed_where_the_lab_has_none():
    assert "PID|1||PAT-1" in reply(cepheid_query(), (tube("26", "MTB", patient_no=""),))
