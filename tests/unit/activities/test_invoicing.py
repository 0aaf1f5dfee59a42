"""From ordered items to documents: what does not need a database."""

from datetime import date

from activities.invoicing import DOCUMENTS, SERIES, document_of, gst_policy
from domain.einvoice import BelowThreshold, DocumentKind, GstPolicy, TurnoverBand
from domain.enums import CollectionMode
from store.tables.billing import Invoice
from store.tables.organisation import Branch
from tests.contract.einvoice.documents import invoice


def _branch(**policy: object) -> Branch:
    return Branch(
        organisation_id="00000000-0000-7000-8000-000000000000",
        code="DEL", name="Delhi", address1="1 Road", city="Delhi", pin="110001", state_code="07",
        gstin="07AAXCS9981F1ZD", gst_policy=policy,
    )  # fmt: skip


def test_a_branch_without_a_policy_is_not_enabled_for_e_invoicing():
    assert gst_policy(_branch()) == GstPolicy()
    assert gst_policy(_branch()).enabled_from is None


def test_a_policy_is_read_from_json():
    policy = gst_policy(_branch(enabled_from="2023-08-01", turnover="10-500cr", below_threshold="manual"))
    assert policy == GstPolicy(
        enabled_from=date(2023, 8, 1), turnover=TurnoverBand.UP_TO_500_CRORE, below_threshold=BelowThreshold.MANUAL
    )


def test_a_document_survives_its_row():
    document = invoice()
    row = Invoice(
        order_id="00000000-0000-7000-8000-000000000000",
        branch_id="00000000-0000-7000-8000-000000000000",
        document_no=document.document_no,
        kind=document.kind.value,
        supplier_gstin=document.supplier.gstin,
        financial_year="2026-27",
        document_date=document.document_date,
        place_of_supply=document.place_of_supply,
        mode=CollectionMode.LINK,
        taxable_paise=document.taxable_paise,
        total_paise=document.total_paise,
        document=DOCUMENTS.dump_python(document, mode="json"),
    )
    assert document_of(row) == document


def test_every_kind_of_document_has_its_own_series():
    assert set(SERIES) == set(DocumentKind)
    assert len(set(SERIES.values())) == len(SERIES)
