"""The structural half of the portal's checks: schema 1.1 of the request, written from NIC's published field list.

Every breach is reported at once under code 5002, as the portal does. Keys are taken in any case, also as the portal.

Source: NIC e-invoice API, "Generate IRN" v1.03, JSON schema 1.1 and field regular expressions, read 2026-09-18.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class Text:
    """A string member."""

    least: int
    most: int
    pattern: str = r'[^"\\]*'
    required: bool = False

    def problem(self, label: str, value: object) -> str:
        """Return what is wrong in the portal's words, or ""."""
        if not isinstance(value, str) or not self.least <= len(value) <= self.most:
            return (
                f"The field {label} must be a string with a minimum length of {self.least} "
                f"and a maximum length of {self.most}."
            )
        if not re.fullmatch(self.pattern, value, re.ASCII):
            return f"The field {label} must match the regular expression '^{self.pattern}$'."
        return ""


@dataclass(frozen=True)
class Number:
    """A numeric member; `decimals` of 0 is an integer."""

    least: Decimal
    most: Decimal
    decimals: int = 2
    required: bool = False

    def problem(self, label: str, value: object) -> str:
        """Return what is wrong in the portal's words, or ""."""
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            return f"The field {label} must be a number."
        number = Decimal(value)
        if not self.least <= number <= self.most:
            return f"The field {label} must be between {self.least} and {self.most}."
        if number != round(number, self.decimals):
            return f"The field {label} must be a number with {self.decimals} decimals."
        return ""


Rules = Mapping[str, Text | Number]

_AMOUNT = Number(Decimal(0), Decimal("999999999999.99"))
_AMOUNT_DUE = Number(Decimal(0), Decimal("999999999999.99"), required=True)
_SUM = Number(Decimal(0), Decimal("99999999999999.98"))
_SUM_DUE = Number(Decimal(0), Decimal("99999999999999.98"), required=True)
_RATE = Number(Decimal(0), Decimal("999.999"), 3)
_PIN = Number(Decimal(100000), Decimal(999999), 0)
_PIN_DUE = Number(Decimal(100000), Decimal(999999), 0, required=True)
_STATE = Text(1, 2, r"(?!0+$)[0-9]{1,2}", required=True)
_DAY = Text(10, 10, r"[0-3][0-9]/[0-1][0-9]/[2][0][1-2][0-9]", required=True)
_NUMBER = Text(1, 16, r"[a-zA-Z1-9][a-zA-Z0-9/-]{0,15}", required=True)
_NAME = Text(3, 100, required=True)
_CONTACT: Rules = {
    "TrdNm": Text(3, 100),
    "Addr1": Text(1, 100, required=True),
    "Addr2": Text(3, 100),
    "Stcd": _STATE,
    "Ph": Text(6, 12, r"[0-9]{6,12}"),
    "Em": Text(6, 100, r"[a-zA-Z0-9+_.-]+@[a-zA-Z0-9.-]+"),
}
_GSTIN_OR_URP = r"([0-9]{2}[0-9A-Z]{13})|URP"
_YES_NO = r"[YN]"

SECTIONS: Mapping[str, Rules] = {
    "TranDtls": {
        "TaxSch": Text(3, 10, "GST", required=True),
        "SupTyp": Text(3, 10, "(?i:B2B|SEZWP|SEZWOP|EXPWP|EXPWOP|DEXP)", required=True),
        "RegRev": Text(1, 1, _YES_NO),
        "EcmGstin": Text(15, 15, r"[0-9]{2}[0-9A-Z]{13}"),
        "IgstOnIntra": Text(1, 1, _YES_NO),
    },
    "DocDtls": {"Typ": Text(3, 3, "(?i:INV|CRN|DBN)", required=True), "No": _NUMBER, "Dt": _DAY},
    "SellerDtls": {
        "Gstin": Text(15, 15, r"[0-9]{2}[0-9A-Z]{13}", required=True),
        "LglNm": _NAME,
        "Loc": Text(3, 50, required=True),
        "Pin": _PIN_DUE,
        **_CONTACT,
    },
    "BuyerDtls": {
        "Gstin": Text(3, 15, _GSTIN_OR_URP, required=True),
        "LglNm": _NAME,
        "Pos": _STATE,
        "Loc": Text(3, 100, required=True),
        "Pin": _PIN,
        **_CONTACT,
    },
    "DispDtls": {"Nm": _NAME, "Loc": Text(3, 100, required=True), "Pin": _PIN_DUE, **_CONTACT},
    "ShipDtls": {
        "Gstin": Text(3, 15, _GSTIN_OR_URP),
        "LglNm": _NAME,
        "Loc": Text(3, 100, required=True),
        "Pin": _PIN_DUE,
        **_CONTACT,
    },
    "ValDtls": {
        "AssVal": _SUM_DUE, "CgstVal": _SUM, "SgstVal": _SUM, "IgstVal": _SUM, "CesVal": _SUM, "StCesVal": _SUM,
        "Discount": _SUM, "OthChrg": _SUM, "RndOffAmt": Number(Decimal("-99.99"), Decimal("99.99")),
        "TotInvVal": _SUM_DUE, "TotInvValFc": _SUM,
    },
}  # fmt: skip

ITEM: Rules = {
    "SlNo": Text(1, 6, r"[0-9]{1,6}", required=True), "PrdDesc": Text(3, 300),
    "IsServc": Text(1, 1, _YES_NO, required=True),
    "HsnCd": Text(4, 8, r"(?!0+$)([0-9]{4}|[0-9]{6}|[0-9]{8})", required=True),
    "Qty": Number(Decimal(0), Decimal("9999999999.999"), 3), "Unit": Text(3, 8, r"[A-Za-z]{3,8}"),
    "UnitPrice": Number(Decimal(0), Decimal("999999999999.999"), 3, required=True),
    "TotAmt": _AMOUNT_DUE, "Discount": _AMOUNT, "PreTaxVal": _AMOUNT, "AssAmt": _AMOUNT_DUE,
    "GstRt": Number(Decimal(0), Decimal("999.999"), 3, required=True),
    "IgstAmt": _AMOUNT, "CgstAmt": _AMOUNT, "SgstAmt": _AMOUNT, "CesRt": _RATE, "CesAmt": _AMOUNT,
    "CesNonAdvlAmt": _AMOUNT, "StateCesRt": _RATE, "StateCesAmt": _AMOUNT, "StateCesNonAdvlAmt": _AMOUNT,
    "OthChrg": _AMOUNT, "TotItemVal": _AMOUNT_DUE,
}  # fmt: skip

_PRECEDING: Rules = {"InvNo": _NUMBER, "InvDt": _DAY, "OthRefNo": Text(1, 20)}
_DUE_SECTIONS = ("TranDtls", "DocDtls", "SellerDtls", "BuyerDtls", "ValDtls")
_TOP = (*SECTIONS, "Version", "ItemList", "PayDtls", "RefDtls", "AddlDocDtls", "ExpDtls", "EwbDtls", "Irn")


def canonical(payload: Mapping[str, object]) -> dict[str, object]:
    """Return the request with its keys spelt as published; unknown members are left out, as the portal ignores them."""
    spelt: dict[str, object] = {}
    for name, value in _respelt(payload, _TOP).items():
        if name in SECTIONS and isinstance(value, dict):
            spelt[name] = _respelt(value, tuple(SECTIONS[name]))
        elif name == "ItemList" and isinstance(value, list):
            spelt[name] = [_respelt(item, tuple(ITEM)) if isinstance(item, dict) else item for item in value]
        else:
            spelt[name] = value
    return spelt


def _respelt(members: Mapping[str, object], names: tuple[str, ...]) -> dict[str, object]:
    by_lower = {name.lower(): name for name in names}
    found = {by_lower.get(key.lower(), ""): value for key, value in members.items() if value is not None}
    return {name: found[name] for name in names if name in found}


def problems(payload: Mapping[str, object]) -> list[str]:
    """Return every breach of the schema in a canonical request, in the portal's words."""
    return list(_problems(payload))


def _problems(payload: Mapping[str, object]) -> Iterator[str]:
    for name, rules in SECTIONS.items():
        section = payload.get(name)
        if section is None and name not in _DUE_SECTIONS:
            continue
        yield from _member_problems(name, section, rules)
    items = payload.get("ItemList")
    if not isinstance(items, list):
        yield "The field Item List is required."
    else:
        for item in items[:1000]:
            yield from _member_problems("Item", item, ITEM)
    references = payload.get("RefDtls")
    preceding = references.get("PrecDocDtls") if isinstance(references, dict) else None
    for entry in preceding if isinstance(preceding, list) else []:
        yield from _member_problems("PrecDocDtls", entry, _PRECEDING)


def _member_problems(where: str, members: object, rules: Rules) -> Iterator[str]:
    if not isinstance(members, dict):
        yield f"The field {where} is required."
        return
    for name, rule in rules.items():
        if name not in members:
            if rule.required:
                yield f"The field {where} {name} is required."
        elif problem := rule.problem(f"{where} {name}", members[name]):
            yield problem
