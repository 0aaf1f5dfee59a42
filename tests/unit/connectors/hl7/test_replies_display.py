from connectors.hl7.answering import answer_query
from domain.device_orders import WorkPriority
from tests.unit.connectors.hl7.work import display_query, inquiry, lines, profile, tube

RULES = profile("mindray_bs")


def reply(text: str, works, rules=RULES):
    found = answer_query(inquiry(text, works, rules))
    assert found is not None
    return found


def test_two_messages_with_their_empty_fields():
    answer = reply(display_query(), (tube("261123000017", "1", "2"),))
    assert lines(answer.at_once[0]) == [
        "MSH|^~\\&|||Mindray|BS-200E|20260901101500||QCK^Q02|7|P|2.3.1||||||ASCII|||",
        "MSA|AA|7|Message accepted|||0|",
        "ERR|0|",
        "QAK|SR|OK|",
    ]
    (outgoing,) = answer.then
    display = lines(outgoing.message)
    assert display[0] == "MSH|^~\\&|||Mindray|BS-200E|20260901101500||DSR^Q03|7|P|2.3.1||||||ASCII|||"
    assert display[4:6] == [
        "QRD|20260901101500|R|D|1|||RD|261123000017|OTH|||T|",
        "QRF|BS-200E|20260901000000|20260901101500|||RCT|COR|ALL||",
    ]
    shown = [line for line in display if line.startswith("DSP")]
    assert len(shown) == 30
    assert shown[0] == "DSP|1||P0001|||"
    assert shown[1] == "DSP|2|||||"
    assert shown[2] == "DSP|3||SHARMA ASHA|||"
    assert shown[3] == "DSP|4||19800102000000|||"
    assert shown[4] == "DSP|5||F|||"
    assert shown[20] == "DSP|21||261123000017|||"
    assert shown[22] == "DSP|23||20260901095000|||"
    assert shown[23] == "DSP|24||N|||"
    assert shown[25] == "DSP|26||serum|||"
    assert shown[28:] == ["DSP|29||1^^^|||", "DSP|30||2^^^|||"]
    assert display[-1] == "DSC||"
    assert outgoing.control_id == "7"


def test_more_tubes_are_announced_until_the_last():
    answer = reply(display_query(""), (tube("A", "1"), tube("B", "1"), tube("C", "1")))
    assert [lines(outgoing.message)[-1] for outgoing in answer.then] == ["DSC|2|", "DSC|3|", "DSC||"]


def test_nothing_found():
    answer = reply(display_query(), ())
    assert lines(answer.at_once[0])[1:] == ["MSA|AA|7|Message accepted|||0|", "ERR|0|", "QAK|SR|NF|"]
    assert answer.then == ()


def test_a_store_that_is_away_is_not_nothing_found():
    answer = reply(display_query(), None)
    assert lines(answer.at_once[0])[1:] == ["MSA|AE|7|Application internal error|||207|", "ERR|207|", "QAK|SR|AE|"]
    assert answer.then == ()


def test_a_query_taken_back_is_acknowledged_without_work():
    answer = reply(display_query(what="CAN"), ())
    assert lines(answer.at_once[0])[-1] == "QAK|SR|OK|"
    assert answer.then == ()


def test_urgent_and_other_kinds():
    (outgoing,) = reply(display_query(), (tube("S", "1", priority=WorkPriority.STAT, specimen="csf"),)).then
    assert {"DSP|24||Y|||", "DSP|26||other|||"} <= set(lines(outgoing.message))


def test_names_in_other_scripts_do_not_break_an_ascii_device():
    (outgoing,) = reply(display_query(), (tube("S", "1", patient_name="आशा"),)).then
    assert "DSP|3||???|||" in lines(outgoing.message)


def test_a_query_without_number_gets_one():
    answer = reply(display_query().replace("|7|P|", "||P|"), (tube("S", "1"),))
    assert answer.then[0].control_id.startswith("OUR")
