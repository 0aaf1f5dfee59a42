from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from domain.einvoice import BelowThreshold, DocumentKind, GstPolicy, SupplyType, TurnoverBand
from domain.errors import RuleError
from rules.gst import (
    IrnReason,
    MixedSupply,
    ReversalRoute,
    SubmissionMode,
    document_kinds,
    is_document_number,
    policy_findings,
    reporting_deadline,
    requires_irn,
    reversal_route,
    submission_mode,
)
from rules.gst_tax import credit_note
from tests.contract.einvoice.documents import (
    ABROAD,
    CBC,
    HOSPITAL,
    PATIENT,
    POLICY,
    TRAINING,
    bill_of_supply,
    invoice,
)

BOS, INV, BOTH = (
    DocumentKind.BILL_OF_SUPPLY,
    DocumentKind.TAX_INVOICE,
    DocumentKind.INVOICE_CUM_BILL_OF_SUPPLY,
)


@pytest.mark.parametrize(
    ("registered", "taxable", "exempt", "kinds"),
    [
        # Source: CGST Act s.31(3)(c); CGST Rules 46, 46A, 49
        (False, False, True, (BOS,)),
        (False, True, False, (INV,)),
        (False, True, True, (BOTH,)),
        (True, False, True, (BOS,)),
        (True, True, False, (INV,)),
        (True, True, True, (INV, BOS)),
    ],
)
def test_a_bill_becomes_these_documents(registered, taxable, exempt, kinds):
    assert document_kinds(buyer_registered=registered, has_taxable=taxable, has_exempt=exempt) == kinds


def test_a_registered_buyer_may_get_one_document_for_both():
    kinds = document_kinds(buyer_registered=True, has_taxable=True, has_exempt=True, mixed=MixedSupply.ONE_TAX_INVOICE)
    assert kinds == (INV,)


def test_an_empty_bill_is_refused():
    with pytest.raises(RuleError):
        document_kinds(buyer_registered=True, has_taxable=False, has_exempt=False)


def _b2c():
    return invoice(buyer=PATIENT, supply_type=SupplyType.B2C, place_of_supply="29")


@pytest.mark.parametrize(
    ("document", "policy", "reason"),
    [
        (invoice(), POLICY, IrnReason.REQUIRED),
        (invoice(supplies=(replace(TRAINING, unit_price_paise=1),)), POLICY, IrnReason.REQUIRED),
        (invoice(buyer=ABROAD, supply_type=SupplyType.EXPORT_WITH_PAYMENT), POLICY, IrnReason.REQUIRED),
        (invoice(reverse_charge=True), POLICY, IrnReason.REQUIRED),
        (credit_note(invoice(), document_no="C1", document_date=date(2026, 11, 21)), POLICY, IrnReason.REQUIRED),
        (bill_of_supply(), POLICY, IrnReason.BILL_OF_SUPPLY),
        (bill_of_supply(HOSPITAL), POLICY, IrnReason.BILL_OF_SUPPLY),
        (
            credit_note(bill_of_supply(HOSPITAL), document_no="C2", document_date=date(2026, 11, 21)),
            POLICY,
            IrnReason.NOTHING_TAXABLE,
        ),
        (_b2c(), POLICY, IrnReason.BUYER_UNREGISTERED),
        (invoice(), GstPolicy(), IrnReason.NOT_ENABLED),
        (invoice(), replace(POLICY, enabled_from=date(2026, 11, 20)), IrnReason.REQUIRED),
        (invoice(), replace(POLICY, enabled_from=date(2026, 11, 21)), IrnReason.BEFORE_ENABLED_DATE),
    ],
)
def test_law_decides_whether_an_irn_is_needed(document, policy, reason):
    decision = requires_irn(document, policy)
    assert decision.reason is reason
    assert decision.required is (reason is IrnReason.REQUIRED)
    assert decision.text


def test_value_never_decides():
    small = invoice(supplies=(replace(TRAINING, unit_price_paise=1_00),))
    assert requires_irn(small, replace(POLICY, auto_submit_min_paise=10**12)).required


@pytest.mark.parametrize(
    ("total", "below", "mode"),
    [
        (49_999_99, BelowThreshold.AUTO, SubmissionMode.NOW),
        (49_999_99, BelowThreshold.BATCH, SubmissionMode.BATCH),
        (49_999_99, BelowThreshold.MANUAL, SubmissionMode.MANUAL),
        (50_000_00, BelowThreshold.MANUAL, SubmissionMode.NOW),
        (50_000_00, BelowThreshold.BATCH, SubmissionMode.NOW),
    ],
)
def test_threshold_decides_only_how_it_is_sent(total, below, mode):
    document = replace(invoice(), total_paise=total)
    assert submission_mode(document, replace(POLICY, below_threshold=below)) is mode


def test_settings_against_the_law_are_found():
    assert policy_findings(POLICY) == []
    assert policy_findings(GstPolicy()) == []
    (found,) = policy_findings(replace(POLICY, below_threshold=BelowThreshold.MANUAL))
    assert found.field == "below_threshold"
    (found,) = policy_findings(replace(POLICY, enabled_from=None))
    assert found.field == "enabled_from"


def test_thirty_days_bind_from_ten_crore():
    large = replace(POLICY, turnover=TurnoverBand.UP_TO_500_CRORE)
    # Source: GSTN advisory of 5 November 2024: dated 1 April, to be reported by 30 April
    assert reporting_deadline(date(2026, 4, 1), large) == date(2026, 4, 30)
    assert reporting_deadline(date(2026, 4, 1), POLICY) is None


@pytest.mark.parametrize(
    ("number", "good"),
    [
        ("B1-2627-000123", True),
        ("A", True),
        ("LAB/26-27/000001", True),
        ("1234567890123456", True),
        ("12345678901234567", False),
        ("", False),
        ("0123", False),
        ("/123", False),
        ("-123", False),
        ("a1", False),
        ("B1 23", False),
        ("B1_23", False),
        ("B1१", False),
        ("B1\n", False),
    ],
)
def test_document_numbers(number, good):
    assert is_document_number(number) is good


ACK = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("ack_at", "after", "route"),
    [
        (None, timedelta(0), ReversalRoute.PLAIN_CANCEL),
        (ACK, timedelta(0), ReversalRoute.CANCEL_IRN),
        (ACK, timedelta(hours=23, minutes=49, seconds=59), ReversalRoute.CANCEL_IRN),
        (ACK, timedelta(hours=23, minutes=50), ReversalRoute.CREDIT_NOTE),
        (ACK, timedelta(hours=24), ReversalRoute.CREDIT_NOTE),
        (ACK, timedelta(days=300), ReversalRoute.CREDIT_NOTE),
    ],
)
def test_reversal_follows_the_24_hours(ack_at, after, route):
    assert reversal_route(ack_at, ACK + after) is route


def test_without_margin_the_window_is_24_hours():
    assert reversal_route(ACK, ACK + timedelta(hours=23, minutes=59), margin=timedelta(0)) is ReversalRoute.CANCEL_IRN
    assert reversal_route(ACK, ACK + timedelta(hours=24), margin=timedelta(0)) is ReversalRoute.CREDIT_NOTE


def test_diagnostic_tests_to_a_company_stay_exempt():
    kinds = document_kinds(buyer_registered=True, has_taxable=False, has_exempt=CBC.is_exempt)
    assert kinds == (BOS,)
