from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.einvoice import DocumentKind, SupplyType
from domain.errors import RuleError
from rules.gst import MixedSupply
from rules.gst_tax import Supply, credit_note, is_interstate, split_bill, taxed_lines
from tests.contract.einvoice.documents import (
    ABROAD,
    CBC,
    HOSPITAL_MUMBAI,
    PATIENT,
    TRAINING,
    TRIAL,
    bill_of_supply,
    invoice,
)

LATER = date(2026, 11, 25)


@pytest.mark.parametrize(
    ("supplier", "place", "supply_type", "interstate"),
    [
        ("29", "29", SupplyType.B2B, False),
        ("29", "27", SupplyType.B2B, True),
        ("29", "29", SupplyType.SEZ_WITH_PAYMENT, True),
        ("29", "96", SupplyType.EXPORT_WITHOUT_PAYMENT, True),
        ("29", "29", SupplyType.B2C, False),
    ],
)
def test_place_of_supply_decides(supplier, place, supply_type, interstate):
    assert is_interstate(supplier, place, supply_type) is interstate


def test_rounding_error_is_carried_to_the_next_line():
    # Two lines of 7.60 at 12 %: 0.456 each, together 0.912
    lines = taxed_lines([Supply("x", "998113", 7_60, Decimal(12))] * 2, interstate=False)
    assert [line.cgst_paise for line in lines] == [46, 45]
    assert [line.total_paise for line in lines] == [8_52, 8_50]


def test_invoice_inside_the_state():
    document = invoice()
    assert document.taxable_paise == 15_005_50 + 4_999_99
    assert document.cgst_paise == document.sgst_paise == 1_800_49
    assert document.igst_paise == 0
    assert document.round_off_paise == -47
    assert document.total_paise == 23_606_00


def test_invoice_to_another_state():
    document = invoice(buyer=HOSPITAL_MUMBAI, round_to_rupee=False)
    assert (document.cgst_paise, document.sgst_paise) == (0, 0)
    assert document.igst_paise == 3_600_99
    assert document.total_paise == document.taxable_paise + 3_600_99


def test_place_of_supply_beats_the_buyers_state():
    assert invoice(buyer=HOSPITAL_MUMBAI, place_of_supply="29").igst_paise == 0


def test_export_without_payment_carries_the_rate_and_no_tax():
    document = invoice(buyer=ABROAD, supply_type=SupplyType.EXPORT_WITHOUT_PAYMENT)
    assert document.igst_paise == 0
    assert {line.gst_rate for line in document.lines} == {Decimal(18)}


def test_reverse_charge_leaves_the_tax_out_of_the_total():
    document = invoice(reverse_charge=True, round_to_rupee=False)
    assert document.cgst_paise > 0
    assert document.total_paise == document.taxable_paise


def test_exempt_value_is_no_taxable_value():
    document = bill_of_supply()
    assert (document.taxable_paise, document.total_paise) == (0, 350_00)
    assert document.lines[0].is_exempt


@pytest.mark.parametrize(
    ("kind", "buyer", "supplies"),
    [
        (DocumentKind.BILL_OF_SUPPLY, PATIENT, (TRAINING,)),
        (DocumentKind.BILL_OF_SUPPLY, PATIENT, (CBC, TRAINING)),
        (DocumentKind.TAX_INVOICE, PATIENT, (CBC,)),
        (DocumentKind.INVOICE_CUM_BILL_OF_SUPPLY, HOSPITAL_MUMBAI, (CBC, TRAINING)),
        (DocumentKind.INVOICE_CUM_BILL_OF_SUPPLY, PATIENT, (TRAINING,)),
        (DocumentKind.DEBIT_NOTE, PATIENT, ()),
    ],
)
def test_supplies_must_fit_the_document(kind, buyer, supplies):
    with pytest.raises(RuleError) as caught:
        invoice(kind=kind, buyer=buyer, supplies=supplies, supply_type=SupplyType.B2C)
    assert caught.value.code == "DOCUMENT_KIND_INVALID"


SUPPLIES = st.lists(
    st.builds(
        Supply,
        st.just("thing"),
        st.just("998113"),
        st.integers(0, 10_000_000),
        st.sampled_from([Decimal(rate) for rate in ("0", "0.25", "5", "12", "18", "40")]),
        st.booleans(),
        st.decimals("0.001", "99", places=3),
    ),
    min_size=1,
    max_size=40,
)


def test_a_mixed_bill_splits_by_taxability():
    bill = [CBC, TRAINING, CBC]
    assert split_bill(bill, buyer_registered=True) == [
        (DocumentKind.TAX_INVOICE, [TRAINING]),
        (DocumentKind.BILL_OF_SUPPLY, [CBC, CBC]),
    ]
    assert split_bill(bill, buyer_registered=False) == [(DocumentKind.INVOICE_CUM_BILL_OF_SUPPLY, bill)]
    assert split_bill(bill, buyer_registered=True, mixed=MixedSupply.ONE_TAX_INVOICE) == [
        (DocumentKind.TAX_INVOICE, bill)
    ]
    assert split_bill([CBC], buyer_registered=True) == [(DocumentKind.BILL_OF_SUPPLY, [CBC])]
    with pytest.raises(RuleError):
        split_bill([], buyer_registered=True)


@given(SUPPLIES, st.booleans(), st.sampled_from(MixedSupply))
def test_splitting_loses_no_paisa(supplies, registered, mixed):
    parts = split_bill(supplies, buyer_registered=registered, mixed=mixed)
    lines = [taxed_lines(part, interstate=False) for _, part in parts]
    whole = sum(line.taxable_paise for line in taxed_lines(supplies, interstate=False))
    assert sum(len(part) for _, part in parts) == len(supplies)
    assert sum(line.taxable_paise for part in lines for line in part) == whole


@pytest.mark.parametrize(
    "changes",
    [
        {"quantity": Decimal(0)},
        {"quantity": Decimal(-1)},
        {"unit_price_paise": -1},
        {"discount_paise": -1},
        {"discount_paise": 4_999_99 + 1},
        {"gst_rate": Decimal(-5)},
    ],
)
def test_impossible_lines_are_refused(changes):
    with pytest.raises(RuleError):
        taxed_lines([replace(TRAINING, **changes)], interstate=False)


def test_a_full_discount_is_possible():
    (line,) = taxed_lines([replace(TRAINING, discount_paise=4_999_99)], interstate=False)
    assert (line.taxable_paise, line.total_paise, line.gross_paise) == (0, 0, 4_999_99)


@given(SUPPLIES, st.booleans())
def test_lines_add_up_to_the_rounded_tax_of_the_whole(supplies, interstate):
    lines = taxed_lines(supplies, interstate=interstate)
    share = 1 if interstate else 2
    exact = sum(Decimal(line.taxable_paise) * line.gst_rate / 100 / share for line in lines)
    tax = sum(line.igst_paise if interstate else line.cgst_paise for line in lines)
    assert abs(tax - exact) <= Decimal("0.5")
    for line in lines:
        due = Decimal(line.taxable_paise) * line.gst_rate / 100 / share
        assert line.cgst_paise == line.sgst_paise
        assert abs((line.igst_paise if interstate else line.cgst_paise) - due) <= 1
        assert min(line.cgst_paise, line.igst_paise) >= 0
        assert line.total_paise == line.taxable_paise + line.cgst_paise + line.sgst_paise + line.igst_paise


def test_full_credit_note_mirrors_the_invoice():
    original = invoice()
    note = credit_note(original, document_no="C1-2627-000007", document_date=LATER)
    assert note.kind is DocumentKind.CREDIT_NOTE
    assert (note.preceding_document_no, note.preceding_document_date) == ("B1-2627-000123", original.document_date)
    assert note.total_paise == original.total_paise
    assert note.irn != original.irn


def test_partial_credit_note_credits_in_proportion():
    note = credit_note(invoice(), document_no="C1", document_date=LATER, credited={1: 1_000_00})
    (line,) = note.lines
    assert (line.serial, line.taxable_paise, line.cgst_paise, line.total_paise) == (1, 1_000_00, 90_00, 1_180_00)
    assert (note.taxable_paise, note.round_off_paise, note.total_paise) == (1_000_00, 0, 1_180_00)


def test_crediting_a_whole_line_keeps_it():
    original = invoice()
    note = credit_note(original, document_no="C1", document_date=LATER, credited={2: 4_999_99})
    assert note.lines == (original.lines[1],)


@pytest.mark.parametrize("credited", [{}, {9: 1}, {1: 0}, {1: -1}, {1: 15_005_51}])
def test_impossible_credits_are_refused(credited):
    with pytest.raises(RuleError):
        credit_note(invoice(), document_no="C1", document_date=LATER, credited=credited)


def test_a_note_is_not_credited_again():
    note = credit_note(invoice(), document_no="C1", document_date=LATER)
    with pytest.raises(RuleError):
        credit_note(note, document_no="C2", document_date=LATER)


@given(st.integers(1, 15_005_50))
def test_a_credit_never_exceeds_the_invoice(amount):
    original = invoice(supplies=(TRIAL,))
    note = credit_note(original, document_no="C1", document_date=LATER, credited={1: amount})
    assert note.taxable_paise == amount
    assert note.cgst_paise == note.sgst_paise <= original.cgst_paise
    assert note.total_paise == amount + 2 * note.cgst_paise
