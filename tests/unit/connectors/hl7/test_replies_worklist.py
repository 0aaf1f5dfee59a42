import pytest

from connectors.hl7.answering import answer_query
from tests.unit.connectors.hl7.work import inquiry, lines, profile, tube, worklist_query

RULES = profile("mindray_bc")


def reply(works):
    found = answer_query(inquiry(worklist_query(), works, RULES))
    assert found is not None
    assert found.then == ()
    return lines(found.at_once[0])


def test_the_work_on_a_tube():
    assert reply((tube("261123000017", "WBC", "NEU%"),)) == [
        "MSH|^~\\&|||||20260901101500||ORR^O02|389|P|2.3.1||||||UNICODE",
        "MSA|AA|389",
        "PID|1||P0001^^^^MR||SHARMA ASHA||19800102000000|Female",
        "PV1|1",
        "ORC|AF|261123000017|||",
        "OBR|1|261123000017||00001^Automated Count^99MRC||20260901101500||||||||20260901095000||||||||||HM",
        "OBX|1|IS|08001^Take Mode^99MRC||A||||||F",
        "OBX|2|IS|08002^Blood Mode^99MRC||W||||||F",
        "OBX|3|IS|08003^Test Mode^99MRC||CBC+DIFF||||||F",
    ]


@pytest.mark.parametrize(
    ("codes", "mode"),
    [
        (("WBC", "HGB", "PLT"), "CBC"),
        (("WBC", "LYM#"), "CBC+DIFF"),
        (("CBC",), "CBC"),
        (("CBC", "CBC+DIFF+RET"), "CBC+DIFF+RET"),
        (("CBC+5DIFF",), "CBC+5DIFF"),
    ],
)
def test_the_mode_to_run_in(codes, mode):
    assert reply((tube("S", *codes),))[-1] == f"OBX|3|IS|08003^Test Mode^99MRC||{mode}||||||F"


def test_an_unknown_tube_is_refused_and_a_store_that_is_away_is_not_an_unknown_tube():
    assert reply(())[1:] == ["MSA|AR|389"]
    assert reply(None)[1:] == ["MSA|AE|389"]


def test_a_patient_without_particulars():
    work = tube("S", "WBC", birth_date=None, sex="unknown", collected_at=None, patient_name="", patient_no="")
    assert "PID|1||^^^^MR|||||" in reply((work,))
