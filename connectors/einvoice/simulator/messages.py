"""The portal's error codes and texts as far as the simulator answers them.

Source: NIC e-invoice API, "Error codes", read 2026-09-18.
"""

from __future__ import annotations

from dataclasses import dataclass

TEXTS = {
    "1004": "Header GSTIN is required", "1005": "Invalid Token", "1006": "User Name is required",
    "1008": "Invalid login credentials", "1010": "Invalid Client-ID/Client-Secret", "1011": "Client Id is required",
    "1012": "Client Secret is required", "1013": "Decryption of password failed",
    "1015": "Invalid GSTIN for this user", "1016": "Decryption of App Key failed", "1020": "Decryption failed",
    "2143": "Invoice does not belongs to the user GSTIN", "2148": "Requested IRN data is not available",
    "2150": "Duplicate IRN", "2154": "IRN details are not found",
    "2162": "Reverse Charge is not applicable for this transaction",
    "2163": "The document date should not be future date .",
    "2169": "Request for IRN is neither from supplier GSTIN or e-Commerce GSTIN",
    "2172": "For Intra-state transaction, IGST amount is not applicable; only CGST and SGST amounts are applicable",
    "2173": "You have exceeded the limit of number of items",
    "2174": "For inter-state transaction, CGST and SGST amounts are not applicable; only IGST amount is applicable",
    "2176": "HSN code(s)-{0} is invalid", "2177": "Unit Quantity Code(s)-{0} is/are not as per master",
    "2182": "Taxable value of all items is not equal to total taxable value",
    "2183": "SGST value of all items is not equal to total SGST Value",
    "2184": "CGST value of all items must be equal to total CGST value",
    "2185": "IGST value of all items must be equal to total IGST Value",
    "2186": "Cess value of all items must be equal to total Cess Value",
    "2187": "State Cess Value of all items must be equal to total State CessValue",
    "2189": "Total Invoice Value is not matching with calculated value",
    "2193": "For Sl. No. {0}, Taxable Value (AssAmt) value is not equal to (TotAmt - Discount)",
    "2194": "For Sl. No {0}, Total item value does not match with taxable and tax values of that item",
    "2200": "State code {0} is invalid for dispatch details or ship details",
    "2211": "Supplier and recipient GSTIN should not be the same.",
    "2212": "The recipient GSTIN cannot be URP for supply type {0}",
    "2226": "You are not authorised to get IRN data", "2227": "For Sl. No {0}, SGST and CGST amounts are not equal",
    "2228": "Item list cannot be empty",
    "2231": "Cannot generate e-Invoice as the supplier GSTIN - {0} is SEZ",
    "2232": "POS is incorrect for {0} transaction", "2233": "Duplicate SI numbers are not allowed in line items",
    "2234": "For Sl. No {0}, SGST and CGST amount passed does not match with taxable value and tax rate",
    "2235": "For Sl. No {0}, IGST amount passed is not matching with taxable value and tax rate",
    "2238": "For Sl. No {0}, Quantity is not passed", "2239": "For Sl. No {0}, Unit Quantity Code (UQC) is not passed",
    "2240": "For Sl. No {0}, GST rate of tax is incorrect or not as notified",
    "2242": "Recipient POS is incorrect for transaction type {0}", "2243": "POS code is invalid",
    "2244": "Recipient pincode is not provided for the transaction - {0}",
    "2246": "Recepient cannot be SEZ for - {0} transaction", "2247": "Recepient should be SEZ for transaction {0}",
    "2248": "Recepient has to be URP in case of Export transactions", "2255": "Requested Payload is empty",
    "2258": "Supplier GSTIN state codedoes not match with the state code passed in supplier details",
    "2259": "Invalid supplier state code", "2260": "The recipient state code is invalid",
    "2261": "The recipient state code is incorrect for {0} transaction",
    "2262": "For Intra-state supply, IGST cannot be charged",
    "2265": "Recipient GSTIN state code does not match with the state code passed in recipient details",
    "2266": "For Sl. No {0}, Cess amount passed does not match with the calculated value",
    "2267": "For Sl. No {0}, State Cess amount passed is not as per calculated value",
    "2268": "IGST on instra state supply is not applicable to export/SEZ transactions",
    "2269": "Recipient state code is incorrect for transaction type {0}",
    "2270": "The allowed cancellation time limit is crossed, you cannot cancel the IRN",
    "2272": "SHIP TO - PIN code cannot be 999999 for B2B, SEZ and Deemed Export transactions",
    "2273": "Dispatch from PIN code cannot be 999999",
    "2274": "Recipient PIN code cannot be 999999 for {0} transaction.",
    "2275": "Recipient PIN code should be 999999 for Direct Export", "2276": "Supplier PIN code cannot be 999999",
    "2278": "IRN is already generated and is cancelled for this Document number. The duplicate IRN cannot be generated",
    "2279": "Invalid schema version",
    "2283": "IRN details cannot be provided as it is generated more than {0} days prior",
    "2284": "IRN cannot be generated for the document date which is prior to {0}",
    "2292": "Invalid document date", "2294": "Reverse charge is mandatory if IGST on intra is applicable",
    "2297": "Reverse charge supply is not allowed for ISD recipients",
    "2298": "Recipient cannot be composition/UIN taxpayer for Deemed Exports",
    "2299": "E-Commerce Operator GSTIN field should be empty when Tax Payer generates e-Invoice",
    "2300": "Supplier GSTIN should be of type Regular or SED or Casual Taxable Person",
    "2303": "For B2B transactions, buyer POS can be foreign country(96) only for Goods Transport Services",
    "2305": "IRN cannot be generated with document date prior to {0} days from today for suppliers with this turnover",
    "3001": "Requested data is not available", "3026": "E-Invoice Options are not enabled for this GSTIN -{0}",
    "3028": "GSTIN -{0} is invalid.", "3029": "GSTIN -{0} is inactive or cancelled",
    "3039": "Pincode -{0} of {1} does not belong to his/her State - {2}",
    "3041": "Buyer or Ship Details:Pincode -{0} does not belong to the state-{1}",
    "3047": "The HSN - {0} does not belong to Goods", "3048": "The HSN - {0} does not belong to Service",
    "3074": "GSTIN - {0} is cancelled and document date - {1} is later than de-registration date",
    "3075": "GSTIN- {0} is cancelled and de-registration date is not available",
    "3077": "GSTIN - {0} is cancelled and document date - {1} is earlier than registration date",
    "3079": "For active GSTINs the document date should not be earlier than registration date",
    "5002": "{0}", "5003": "Data cannot be null or empty", "9999": "Invoice is not active",
}  # fmt: skip


@dataclass(frozen=True)
class Refused:
    """One error as the portal words it."""

    code: str
    text: str


def refused(code: str, *parts: object) -> Refused:
    """Return the portal's error with its blanks filled in; a code forced by a drill may have no text here."""
    return Refused(code, TEXTS.get(code, "Error {0}").format(*parts or (code,)))


class RefusalError(Exception):
    """The portal refuses; it becomes a body in whichever envelope the caller speaks.

    Attributes:
        faults: At least one.
        notes: Entries of `InfoDtls`.
    """

    def __init__(self, *faults: Refused, notes: list[dict[str, object]] | None = None) -> None:
        super().__init__(", ".join(fault.code for fault in faults))
        self.faults = faults
        self.notes = notes or []
