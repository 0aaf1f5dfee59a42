"""Pure mapping: tax document to schema 1.1, the portal's answers to our records."""

from __future__ import annotations

import logging
import re
from datetime import UTC, date, datetime
from decimal import Decimal

from connectors.einvoice.wire import (
    Buyer,
    Cancellation,
    DocumentDetails,
    Invoice,
    Item,
    Preceding,
    References,
    Registration,
    Seller,
    Totals,
    Transaction,
)
from domain.clock import IST
from domain.einvoice import (
    IRP_TYPES,
    UNREGISTERED,
    IrnRecord,
    IrnState,
    Party,
    TaxDocument,
    TaxLine,
)
from domain.money import rupees

logger = logging.getLogger(__name__)

_WIRE_TIME = "%Y-%m-%d %H:%M:%S"
_MIN_OPTIONAL_CHARS = 3
_MAX_DESCRIPTION_CHARS = 300
_MAX_NAME_CHARS = 100
_UNWANTED = re.compile(r"[\x00-\x1f\x7f\U00010000-\U0010ffff]+")
_PHONE = re.compile(r"[0-9]{6,12}", re.ASCII)
_EMAIL = re.compile(r"(?=.{6,100}\Z)[a-zA-Z0-9+_.-]+@[a-zA-Z0-9.-]+", re.ASCII)


def invoice_to_wire(document: TaxDocument) -> Invoice:
    """Return the request for a document that has passed `rules.gst_checks.prevalidate`.

    Exempt lines are left out and their value travels in `ValDtls.OthChrg`; an exempt line is not a line at 0 %.
    """
    reported = [line for line in document.lines if not line.is_exempt]
    exempt = sum(line.total_paise for line in document.lines if line.is_exempt)
    return Invoice(
        TranDtls=Transaction(SupTyp=document.supply_type.value.upper(), RegRev="Y" if document.reverse_charge else "N"),
        DocDtls=DocumentDetails(
            Typ=IRP_TYPES[document.kind], No=document.document_no, Dt=wire_date(document.document_date)
        ),
        SellerDtls=_seller(document.supplier),
        BuyerDtls=_buyer(document.buyer, document.place_of_supply),
        ItemList=[_item(line) for line in reported],
        ValDtls=Totals(
            AssVal=rupees(document.taxable_paise),
            CgstVal=rupees(document.cgst_paise),
            SgstVal=rupees(document.sgst_paise),
            IgstVal=rupees(document.igst_paise),
            CesVal=rupees(document.cess_paise),
            OthChrg=rupees(document.other_charges_paise + exempt),
            RndOffAmt=rupees(document.round_off_paise),
            TotInvVal=rupees(document.total_paise),
        ),
        RefDtls=_references(document),
    )


def _seller(party: Party) -> Seller:
    return Seller(
        Gstin=party.gstin,
        LglNm=_text(party.legal_name),
        TrdNm=_optional(party.trade_name),
        Addr1=_text(party.address1),
        Addr2=_optional(party.address2),
        Loc=_text(party.location),
        Pin=party.pin,
        Stcd=party.state_code,
        Ph=_matching(_PHONE, party.phone),
        Em=_matching(_EMAIL, party.email),
    )


def _buyer(party: Party, place_of_supply: str) -> Buyer:
    return Buyer(
        Gstin=party.gstin or UNREGISTERED,
        LglNm=_text(party.legal_name),
        TrdNm=_optional(party.trade_name),
        Pos=place_of_supply,
        Addr1=_text(party.address1),
        Addr2=_optional(party.address2),
        Loc=_text(party.location),
        Pin=party.pin,
        Stcd=party.state_code,
        Ph=_matching(_PHONE, party.phone),
        Em=_matching(_EMAIL, party.email),
    )


def _item(line: TaxLine) -> Item:
    return Item(
        SlNo=str(line.serial),
        PrdDesc=_text(line.description)[:_MAX_DESCRIPTION_CHARS],
        IsServc="Y" if line.is_service else "N",
        HsnCd=line.sac,
        Qty=line.quantity.quantize(Decimal("0.001")),
        Unit=line.unit or None,
        UnitPrice=rupees(line.unit_price_paise),
        TotAmt=rupees(line.gross_paise),
        Discount=rupees(line.discount_paise),
        AssAmt=rupees(line.taxable_paise),
        GstRt=line.gst_rate,
        IgstAmt=rupees(line.igst_paise),
        CgstAmt=rupees(line.cgst_paise),
        SgstAmt=rupees(line.sgst_paise),
        CesNonAdvlAmt=rupees(line.cess_paise),
        TotItemVal=rupees(line.total_paise),
    )


def _references(document: TaxDocument) -> References | None:
    if not document.preceding_document_no or document.preceding_document_date is None:
        return None
    preceding = Preceding(InvNo=document.preceding_document_no, InvDt=wire_date(document.preceding_document_date))
    return References(PrecDocDtls=[preceding])


def _text(text: str) -> str:
    """Replace what the schema forbids: double quotes, backslashes, control and supplementary characters."""
    return _UNWANTED.sub(" ", text).replace('"', "'").replace("\\", "/").strip()


def _optional(text: str) -> str | None:
    """Return an optional text, or None where it is too short for the schema."""
    cleaned = _text(text)[:_MAX_NAME_CHARS]
    return cleaned if len(cleaned) >= _MIN_OPTIONAL_CHARS else None


def _matching(pattern: re.Pattern[str], text: str) -> str | None:
    """Return a phone or e-mail that the schema takes; else leave it out, it is optional."""
    return text if pattern.fullmatch(text) else None


def wire_date(day: date) -> str:
    """Return dd/MM/yyyy."""
    return day.strftime("%d/%m/%Y")


def instant_from_wire(text: str) -> datetime:
    """Return aware UTC of the portal's `yyyy-MM-dd HH:mm:ss`, which is IST.

    Raises:
        ValueError: It is something else.
    """
    return datetime.strptime(text, _WIRE_TIME).replace(tzinfo=IST).astimezone(UTC)


def record_from_wire(registration: Registration) -> IrnRecord:
    """Return the record of a registration.

    Raises:
        ValueError: A time in it is unreadable.
    """
    cancelled_at = instant_from_wire(registration.CancelDate) if registration.CancelDate else None
    return IrnRecord(
        irn=registration.Irn,
        ack_no=str(registration.AckNo),
        ack_at=instant_from_wire(registration.AckDt),
        signed_invoice=registration.SignedInvoice or "",
        signed_qr=registration.SignedQRCode or "",
        state=_state_from_wire(registration.Status),
        cancelled_at=cancelled_at,
    )


def cancellation_from_wire(cancellation: Cancellation) -> IrnRecord:
    """Return what a cancellation tells: the IRN, its state and when; nothing of the acknowledgement.

    Raises:
        ValueError: The time in it is unreadable.
    """
    return cancelled_record(cancellation.Irn, instant_from_wire(cancellation.CancelDate))


def cancelled_record(irn: str, cancelled_at: datetime | None) -> IrnRecord:
    """Return a record of which only the cancellation is known."""
    return IrnRecord(
        irn=irn,
        ack_no="",
        ack_at=None,
        signed_invoice="",
        signed_qr="",
        state=IrnState.CANCELLED,
        cancelled_at=cancelled_at,
    )


def _state_from_wire(status: str) -> IrnState:
    match status.upper():
        case "ACT":
            return IrnState.ACTIVE
        case "CNL":
            return IrnState.CANCELLED
        case _:
            # Safe: the number is taken either way, and a cancelled one is never mistaken for an unused one
            logger.warning("unknown IRN status %r taken as active", status[:20])
            return IrnState.ACTIVE
