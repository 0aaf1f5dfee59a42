import pytest

from connectors.hl7.codec import parse_message
from connectors.hl7.verdicts import read_verdict
from domain.device_orders import DownloadResult

ACCEPTED, REFUSED = DownloadResult.ACCEPTED, DownloadResult.REFUSED


def verdict(*segments: str):
    head = "MSH|^~\\&|A|B|||2026||ORL^O34^ORL_O42|9|P|2.5.1"
    return read_verdict(parse_message("\r".join((head, *segments)).encode()))


@pytest.mark.parametrize(
    ("segments", "result", "note"),
    [
        (("MSA|AA|C1",), ACCEPTED, ""),
        (("MSA|AA|C1", "SPM|1|S", "ORC|OK|S-1|||SC", "ORC|OK|S-2|||SC"), ACCEPTED, ""),
        (("MSA|AA|C1", "ORC|CR|S-1|||CA"), ACCEPTED, ""),
        (("MSA|AA|C1", "ORC|UC|S-1"), REFUSED, "1 of 1 refused: UC"),
        (("MSA|AA|C1", "ORC|OK|S-1", "ORC|UA|S-2|||CA"), REFUSED, "1 of 2 refused: UA"),
        (("MSA|AE|C1", "ERR|||204^x^HL70357|E", "ORC|UA|S-1"), REFUSED, "1 of 1 refused: UA, condition 204"),
        (("MSA|AR|C1", "ERR|||204^x^HL70357|E"), REFUSED, "answered AR, condition 204"),
        (("MSA|CR|C1",), REFUSED, "answered CR"),
        (("MSA|AE|C1|busy|||207|",), None, "answered AE, condition 207"),
        (("MSA|CE|C1",), None, "answered CE"),
        (("MSA||C1",), None, "answered nothing"),
    ],
)
def test_what_is_said_of_work(segments, result, note):
    found = verdict(*segments)
    assert found is not None
    assert (found.control_id, found.is_commit, found.result, found.note) == ("C1", False, result, note)


def test_a_commit_is_not_the_answer_proper():
    found = verdict("MSA|CA|C1")
    assert found is not None
    assert found.is_commit


def test_the_device_s_own_words_are_not_passed_on():
    found = verdict("MSA|AR|C1|SHARMA ASHA", "ERR|||SHARMA^SHARMA")
    assert found is not None
    assert "SHARMA" not in found.note


def test_other_messages_say_nothing():
    assert verdict("ORC|OK|S-1") is None
