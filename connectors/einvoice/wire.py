"""Exactly what goes over the wire: schema 1.1 of FORM GST INV-01 out, the portal's answers in.

Source: NIC, "Generate IRN" v1.03 and "Cancel IRN" v1.03, read 2026-09-18.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, PlainSerializer

SCHEMA_VERSION = "1.1"

HEADER_TEXT = r"^[\x21-\x7e]+$"
"""What may travel in a header."""

Number = Annotated[Decimal, PlainSerializer(float, return_type=float, when_used="json")]
"""A JSON number. Up to 15 digits, a float writes the very decimal that went in: rupees to a trillion, with paise."""


class _Outbound(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Inbound(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class Transaction(_Outbound):
    """Kind of transaction."""

    TaxSch: str = "GST"
    SupTyp: str
    RegRev: str = "N"


class DocumentDetails(_Outbound):
    """The document; `Dt` is dd/MM/yyyy."""

    Typ: str
    No: str
    Dt: str


class Seller(_Outbound):
    """The supplier; `Pin` is a number, `Stcd` a string."""

    Gstin: str
    LglNm: str
    TrdNm: str | None = None
    Addr1: str
    Addr2: str | None = None
    Loc: str
    Pin: int
    Stcd: str
    Ph: str | None = None
    Em: str | None = None


class Buyer(_Outbound):
    """The buyer; `Pos` is the place of supply."""

    Gstin: str
    LglNm: str
    TrdNm: str | None = None
    Pos: str
    Addr1: str
    Addr2: str | None = None
    Loc: str
    Pin: int
    Stcd: str
    Ph: str | None = None
    Em: str | None = None


class Item(_Outbound):
    """One taxable line; amounts in rupees."""

    SlNo: str
    PrdDesc: str
    IsServc: str
    HsnCd: str
    Qty: Number
    Unit: str | None = None
    UnitPrice: Number
    TotAmt: Number
    Discount: Number
    AssAmt: Number
    GstRt: Number
    IgstAmt: Number
    CgstAmt: Number
    SgstAmt: Number
    CesNonAdvlAmt: Number
    TotItemVal: Number


class Totals(_Outbound):
    """Totals; `RndOffAmt` is the only amount that may be negative."""

    AssVal: Number
    CgstVal: Number
    SgstVal: Number
    IgstVal: Number
    CesVal: Number
    OthChrg: Number
    RndOffAmt: Number
    TotInvVal: Number


class Preceding(_Outbound):
    """The invoice that a note corrects."""

    InvNo: str
    InvDt: str


class References(_Outbound):
    """References."""

    PrecDocDtls: list[Preceding]


class Invoice(_Outbound):
    """The whole request of "generate IRN"."""

    Version: str = SCHEMA_VERSION
    TranDtls: Transaction
    DocDtls: DocumentDetails
    SellerDtls: Seller
    BuyerDtls: Buyer
    ItemList: list[Item]
    ValDtls: Totals
    RefDtls: References | None = None

    def as_json(self) -> dict[str, object]:
        """Return the members that are present: empty optional ones are refused by the schema's minimum lengths."""
        return self.model_dump(mode="json", exclude_none=True)


class Registration(_Inbound):
    """Answer to "generate" and "get by IRN"; times are IST without zone."""

    AckNo: int
    AckDt: str = Field(max_length=40)
    Irn: str = Field(pattern=r"^[0-9a-f]{64}$")
    SignedInvoice: str | None = None
    SignedQRCode: str | None = None
    Status: str = "ACT"
    CancelDate: str | None = None


class Cancellation(_Inbound):
    """Answer to "cancel"."""

    Irn: str = Field(pattern=r"^[0-9a-f]{64}$")
    CancelDate: str = Field(max_length=40)


class AdaequareToken(_Inbound):
    """Answer to Adaequare's authentication."""

    access_token: str = Field(pattern=HEADER_TEXT, max_length=8192, repr=False)
    token_type: str = Field(default="bearer", pattern=r"^[A-Za-z]{1,40}$")
    expires_in: int


class AdaequareEnvelope(_Inbound):
    """Around every answer of Adaequare; `success` may be the string "false"."""

    success: bool
    message: str | None = None
    result: object = None
    info: object = None


class NicEnvelope(_Inbound):
    """Around every answer of NIC; spelt `Status` or `status`, a number or a string."""

    status: int = Field(validation_alias=AliasChoices("Status", "status"))
    payload: object = Field(default=None, validation_alias=AliasChoices("Data", "data"), repr=False)
    error_details: object = Field(default=None, validation_alias=AliasChoices("ErrorDetails", "errorDetails"))
    info_details: object = Field(default=None, validation_alias=AliasChoices("InfoDtls", "infoDtls"))


class NicLogin(_Inbound):
    """Inside the envelope of NIC's authentication; not encrypted, only `Sek` is."""

    AuthToken: str = Field(pattern=HEADER_TEXT, max_length=512, repr=False)
    Sek: str = Field(min_length=1, max_length=512, repr=False)
    TokenExpiry: str = Field(max_length=40)
