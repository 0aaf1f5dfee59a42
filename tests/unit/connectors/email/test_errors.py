import smtplib

import pytest

from connectors.email.errors import lost, refused
from domain.errors import AuthError, OutcomeUnknownError, RejectedError, UnavailableError


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (421, UnavailableError),
        (450, UnavailableError),
        (454, UnavailableError),
        (499, UnavailableError),
        (-1, UnavailableError),
        (354, UnavailableError),
        (500, RejectedError),
        (550, RejectedError),
        (554, RejectedError),
        (530, AuthError),
        (535, AuthError),
    ],
)
def test_the_first_digit_decides(code, kind):
    error = refused(code, b"<asha@example.in>: no\r\nreally", during="the recipient")
    assert type(error) is kind
    assert error.partner_code == str(code)
    assert "asha" not in error.message


def test_a_lost_connection_is_unknown_only_after_the_text():
    assert type(lost(smtplib.SMTPServerDisconnected("x"), handed_over=True)) is OutcomeUnknownError
    assert type(lost(TimeoutError(), handed_over=False)) is UnavailableError
