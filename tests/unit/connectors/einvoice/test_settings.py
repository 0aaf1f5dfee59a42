from datetime import date

import pytest
from pydantic import ValidationError

from connectors.einvoice import EInvoiceSettings
from domain.einvoice import BelowThreshold, GstPolicy, TurnoverBand

GIVEN = {"gstin": "29AAPCS4321K1ZW", "username": "u", "password": "p", "client_id": "c", "client_secret": "s"}


def test_policy_is_what_the_rules_need():
    settings = EInvoiceSettings(
        **GIVEN, enabled_from="2026-04-01", turnover="5-10cr", below_threshold="batch", auto_submit_min_paise=1
    )
    assert settings.policy == GstPolicy(date(2026, 4, 1), TurnoverBand.UP_TO_10_CRORE, 1, BelowThreshold.BATCH)
    assert EInvoiceSettings(**GIVEN).policy == GstPolicy()


@pytest.mark.parametrize("field", ["username", "password", "client_id", "client_secret"])
@pytest.mark.parametrize("value", ["", "with blank", "pässword", "line\nbreak"])
def test_credentials_must_fit_a_header(field, value):
    with pytest.raises(ValidationError):
        EInvoiceSettings(**(GIVEN | {field: value}))


def test_secrets_stay_out_of_the_repr():
    shown = repr(EInvoiceSettings(**(GIVEN | {"password": "hush-hush", "client_secret": "quiet"})))
    assert "hush-hush" not in shown
    assert "quiet" not in shown
