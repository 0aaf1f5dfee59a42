import pytest

from connectors.einvoice.errors import (
    Fault,
    FaultClass,
    Note,
    error_from,
    faults_from_message,
    leading_fault,
)
from domain.errors import (
    AuthError,
    OutcomeUnknownError,
    RateLimitedError,
    RejectedError,
    RequestError,
    UnavailableError,
)


@pytest.mark.parametrize(
    ("message", "codes"),
    [
        ("2150 : Duplicate IRN", ["2150"]),
        ("2174 : For inter-state transaction, CGST and SGST: not, 3095 : Supplier x", ["2174", "3095"]),
        ("GSPERR300 : Ei : GSPGSTDOWN", ["GSPGSTDOWN"]),
        ("java.net.SocketException: Connection reset", ["GSPGSTDOWN"]),
        ("something else", [""]),
        ("", [""]),
    ],
)
def test_messages_are_split(message, codes):
    assert [fault.code for fault in faults_from_message(message)] == codes


@pytest.mark.parametrize(
    ("code", "text", "safe", "error"),
    [
        ("2172", "x", False, RejectedError),
        ("2150", "x", False, RejectedError),
        ("3095", "x", False, RejectedError),
        ("1005", "x", False, AuthError),
        ("1010", "x", False, AuthError),
        ("3026", "x", False, RequestError),
        ("3108", "x", False, RateLimitedError),
        ("2146", "x", False, UnavailableError),
        ("5001", "Application error", False, OutcomeUnknownError),
        ("5001", "Application error", True, UnavailableError),
        ("5001", "The field No must be a string with a minimum length of 1", False, RejectedError),
        ("5002", "The field Pin is required.", False, RejectedError),
        ("9876", "never heard of", False, RejectedError),
    ],
)
def test_code_decides_the_error(code, text, safe, error):
    made = error_from([Fault(code, text)], [], operation="generate_irn", safe_to_repeat=safe)
    assert type(made) is error
    assert (made.partner_code, made.connector, made.operation) == (code, "einvoice", "generate_irn")
    assert made.action


def test_the_gravest_of_several_decides():
    faults = [Fault("2172", ""), Fault("2150", ""), Fault("3096", ""), Fault("5001", "")]
    assert leading_fault(faults).fault_class is FaultClass.STOP
    assert leading_fault(faults[:2]).fault_class is FaultClass.DUPLICATE
    assert leading_fault([faults[3], faults[0]]).fault_class is FaultClass.FIX_DATA


def test_stop_has_its_own_code():
    assert error_from([Fault("3096", "")], [], operation="x", safe_to_repeat=True).code == "EINVOICE_STOPPED"


@pytest.mark.parametrize(
    ("notes", "context"),
    [
        ([], {}),
        ([Note("EWBERR", [])], {}),
        ([Note("DUPIRN", "text")], {}),
        ([Note("DUPIRN", {})], {}),
        ([Note("DUPIRN", {"Irn": "a" * 64, "AckNo": 1, "AckDt": "soon"})], {"irn": "a" * 64, "ack_no": "1"}),
        (
            [Note("EWBERR", []), Note("DUPIRN", {"Irn": "a" * 64, "AckNo": 7, "AckDt": "2026-11-20 16:05:30"})],
            {"irn": "a" * 64, "ack_no": "7", "ack_at": "2026-11-20T10:35:30+00:00"},
        ),
    ],
)
def test_duplicate_carries_the_earlier_registration(notes, context):
    error = error_from([Fault("2150", "Duplicate IRN")], notes, operation="generate_irn", safe_to_repeat=False)
    assert error.context == {"class": "duplicate"} | context


def test_partner_words_are_bounded_and_masked():
    error = error_from([Fault("2172", "call 9876543210 " + "x" * 5000)], [], operation="x", safe_to_repeat=True)
    assert "9876543210" not in error.message
    assert len(error.message) < 400
