from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from domain.einvoice import DocumentKind, GstPolicy, SupplyType, TurnoverBand
from rules.gst_checks import is_tolerated, prevalidate
from rules.gst_tax import credit_note
from tests.contract.einvoice.defects import DEFECTS
from tests.contract.einvoice.documents import (
    ABROAD,
    CBC,
    DAY,
    HOSPITAL,
    HOSPITAL_MUMBAI,
    LAB,
    POLICY,
    REAGENT,
    SEZ_PHARMA,
    TRAINING,
    bill_of_supply,
    invoice,
)

GOOD = [
    invoice(),
    invoice(buyer=HOSPITAL_MUMBAI),
    invoice(buyer=SEZ_PHARMA, supply_type=SupplyType.SEZ_WITH_PAYMENT),
    invoice(buyer=SEZ_PHARMA, supply_type=SupplyType.SEZ_WITHOUT_PAYMENT),
    invoice(buyer=ABROAD, supply_type=SupplyType.EXPORT_WITHOUT_PAYMENT),
    invoice(supplies=(REAGENT,)),
    invoice(supplies=(TRAINING, CBC)),
    invoice(reverse_charge=True),
    credit_note(invoice(), document_no="C1-2627-000007", document_date=DAY),
    credit_note(invoice(), document_no="C1-2627-000008", document_date=DAY, credited={1: 1}),
]


def _codes(document, *, today=DAY, policy=POLICY, **options):
    return {finding.code for finding in prevalidate(document, today=today, policy=policy, **options)}


@pytest.mark.parametrize("document", GOOD)
def test_good_documents_pass(document):
    assert _codes(document) == set()


@pytest.mark.parametrize(("code", "document"), DEFECTS, ids=[f"{code}-{at}" for at, (code, _) in enumerate(DEFECTS)])
def test_defect_is_found_with_the_portals_code(code, document):
    findings = prevalidate(document, today=DAY, policy=POLICY, check_gstin_checksum=False)
    assert code in {finding.code for finding in findings}
    assert all(finding.field and finding.text for finding in findings)


@pytest.mark.parametrize("document", [bill_of_supply(), bill_of_supply(HOSPITAL)])
def test_what_is_never_registered_is_not_sent(document):
    assert _codes(document) == {"NOT_REPORTABLE"}


def test_typing_mistake_in_a_gstin_is_found():
    wrong = HOSPITAL.gstin[:-1] + ("A" if HOSPITAL.gstin[-1] != "A" else "B")
    document = invoice(buyer=replace(HOSPITAL, gstin=wrong))
    assert _codes(document) == {"GSTIN_CHECK_DIGIT"}
    assert _codes(document, check_gstin_checksum=False) == set()


@pytest.mark.parametrize(
    ("days", "turnover", "refused"),
    [
        (29, TurnoverBand.UP_TO_500_CRORE, False),
        (30, TurnoverBand.UP_TO_500_CRORE, True),
        (30, TurnoverBand.ABOVE_500_CRORE, True),
        (300, TurnoverBand.UP_TO_10_CRORE, False),
    ],
)
def test_thirty_day_limit(days, turnover, refused):
    codes = _codes(invoice(), today=DAY + timedelta(days=days), policy=replace(POLICY, turnover=turnover))
    assert codes == ({"2305"} if refused else set())


@pytest.mark.parametrize(
    ("day", "code"),
    [
        (date(2025, 3, 31), "2284"),
        (date(2025, 4, 1), None),
        (DAY + timedelta(days=1), "2163"),
        (DAY, None),
        (date(2030, 1, 1), "5002"),
    ],
)
def test_document_dates(day, code):
    codes = _codes(invoice(document_date=day))
    assert code in codes if code else codes == set()


def test_four_digit_codes_below_five_crore():
    document = invoice(supplies=(replace(TRAINING, sac="9992"),))
    assert _codes(document) == {"2176"}
    assert _codes(document, policy=GstPolicy(enabled_from=DAY)) == set()


# NIC's own examples, "Generate IRN" v1.03, tolerance of calculated values
@pytest.mark.parametrize(
    ("calculated", "least", "most"),
    [
        ("2345.04", 2344_00, 2347_00),
        ("10241.00", 10240_00, 10242_00),
        ("10241.61", 10240_00, 10243_00),
    ],
)
def test_tolerance_is_one_rupee_beyond_whole_ones(calculated, least, most):
    paise = Decimal(calculated) * 100
    assert is_tolerated(paise, least)
    assert is_tolerated(paise, most)
    assert not is_tolerated(paise, least - 1)
    assert not is_tolerated(paise, most + 1)


def test_tax_of_notes_is_not_measured_against_the_rate():
    note = credit_note(invoice(), document_no="C1", document_date=DAY)
    first = note.lines[0]
    less = replace(
        first,
        cgst_paise=first.cgst_paise - 500_00,
        sgst_paise=first.sgst_paise - 500_00,
        total_paise=first.total_paise - 1000_00,
    )
    changed = replace(
        note,
        lines=(less, *note.lines[1:]),
        cgst_paise=note.cgst_paise - 500_00,
        sgst_paise=note.sgst_paise - 500_00,
        total_paise=note.total_paise - 1000_00,
    )
    assert _codes(changed) == set()
    assert _codes(replace(changed, kind=DocumentKind.TAX_INVOICE)) == {"2234"}


def test_supplier_must_be_the_lab_that_is_settled():
    assert _codes(invoice(supplier=replace(LAB, gstin="29"))) >= {"5002"}
