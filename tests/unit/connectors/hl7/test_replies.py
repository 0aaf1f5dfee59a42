import pytest

from connectors.hl7.replies import Outgoing, birth_day, echo, err, patient_name, sex_letter
from tests.unit.connectors.hl7.work import display_query, inquiry, profile, tube


def test_a_message_to_be_answered_shows_nothing_of_the_patient():
    assert "SHARMA" not in repr(Outgoing("1", b"PID|1||||SHARMA"))


@pytest.mark.parametrize(("works", "code"), [((), "AA"), (None, "AE")])
def test_the_code_of_an_answer(works, code):
    assert inquiry(display_query(), works, profile("mindray_bs")).code == code


def test_errors_only_where_there_is_one():
    assert err("AA") == []
    assert err("AE")[0][1][2] == ("207", "Application internal error", "HL70357")


def test_echoes_keep_empty_fields_at_the_end():
    query = inquiry(display_query(), (), profile("mindray_bs")).query
    name, fields = echo(query.source)
    assert (name, fields[-2:]) == ("QRD", ["T", ""])


def test_patients_with_and_without_particulars():
    known, unknown = tube(), tube(patient_name="", birth_date=None, sex="unknown")
    assert (patient_name(known)[0], patient_name(known)[-1]) == ("SHARMA ASHA", "L")
    assert patient_name(unknown)[-1] == "U"
    assert (birth_day(known), birth_day(unknown)) == ("19800102", "")
    assert (sex_letter(known), sex_letter(tube(sex="other")), sex_letter(unknown)) == ("F", "O", "U")
