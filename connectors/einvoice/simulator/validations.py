"""The business half of the portal's checks, on a request that has passed the schema, each with the portal's code.

Checks of one stage are reported together; a later stage runs only after a clean earlier one.

Source: NIC e-invoice API, "Generate IRN" v1.03, system validations, and "Error codes", read 2026-09-18. The order of
the stages is not published.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from connectors.einvoice.simulator.config import PortalConfig, Taxpayer
from connectors.einvoice.simulator.messages import Refused, refused
from domain.gst_masters import (
    FOREIGN_PIN,
    OTHER_COUNTRIES,
    OTHER_TERRITORY,
    STATES,
    UNIT_CODES,
    gst_rates,
    is_pin_of_state,
)

Members = Mapping[str, object]

_EXPORTS = ("EXPWP", "EXPWOP")
_SEZ = ("SEZWP", "SEZWOP")
_FREE_OF_TAX = ("EXPWOP", "SEZWOP")
_SUPPLIER_KINDS = ("REG", "SED", "CAS")
_FREIGHT = ("9965", "9968")
_SERVICE_HEADINGS = frozenset(
    {"9954", *map(str, range(9961, 9970)), *map(str, range(9971, 9974)), *map(str, range(9981, 10000))} - {"9990"}
)
_GOODS_CHAPTERS = frozenset(f"{chapter:02d}" for chapter in range(1, 99)) - {"77"}
_MAX_ITEMS = 1000
_LONG_CODE = 6


@dataclass(frozen=True)
class Case:
    """One request on its way through the stages.

    Attributes:
        header_gstin: Who is signed in.
        today: IST day of the call.
    """

    payload: Members
    header_gstin: str
    today: date
    config: PortalConfig

    @property
    def supply_type(self) -> str:
        """`SupTyp` in capitals."""
        return str(self.section("TranDtls").get("SupTyp", "")).upper()

    @property
    def document_type(self) -> str:
        """`Typ` in capitals."""
        return str(self.section("DocDtls").get("Typ", "")).upper()

    @property
    def items(self) -> list[Members]:
        """The lines."""
        lines = self.payload.get("ItemList")
        return [line for line in lines if isinstance(line, dict)] if isinstance(lines, list) else []

    @property
    def supplier(self) -> Taxpayer | None:
        """The supplier in the master."""
        return self.config.taxpayer(str(self.section("SellerDtls").get("Gstin")))

    @property
    def buyer(self) -> Taxpayer | None:
        """The buyer in the master."""
        return self.config.taxpayer(str(self.section("BuyerDtls").get("Gstin")))

    @property
    def document_day(self) -> date | None:
        """The document's date, or None where there is no such day."""
        try:
            return datetime.strptime(str(self.section("DocDtls").get("Dt")), "%d/%m/%Y").date()
        except ValueError:
            return None

    def section(self, name: str) -> Members:
        """Return a section, empty where absent."""
        value = self.payload.get(name)
        return value if isinstance(value, dict) else {}


Stage = Callable[[Case], Iterator[Refused]]


def transaction(case: Case) -> Iterator[Refused]:
    """Who reports, and how the supply is taxed."""
    seller, tran = case.section("SellerDtls").get("Gstin"), case.section("TranDtls")
    if seller != case.header_gstin:
        yield refused("2169")
    if "EcmGstin" in tran:
        yield refused("2299")
    taxpayer = case.supplier
    if taxpayer is None:
        yield refused("3028", seller)
    elif taxpayer.status != "ACT":
        yield refused("3029", seller)
    elif not taxpayer.enabled:
        yield refused("3026", seller)
    elif taxpayer.kind == "SEZ":
        yield refused("2231", seller)
    elif taxpayer.kind not in _SUPPLIER_KINDS:
        yield refused("2300")
    yield from _tax_flags(case)


def _tax_flags(case: Case) -> Iterator[Refused]:
    tran, place = case.section("TranDtls"), _state(case.section("BuyerDtls").get("Pos"))
    reverse = tran.get("RegRev", "N") == "Y"
    if reverse and case.supply_type not in ("B2B", *_SEZ):
        yield refused("2162")
    if reverse and case.buyer is not None and case.buyer.kind == "ISD":
        yield refused("2297")
    if tran.get("IgstOnIntra", "N") == "Y":
        if case.supply_type in (*_EXPORTS, *_SEZ):
            yield refused("2268")
        elif _state(case.section("SellerDtls").get("Stcd")) != place:
            yield refused("2262")
        if not reverse:
            yield refused("2294")


def document(case: Case) -> Iterator[Refused]:
    """Number and date."""
    day = case.document_day
    if day is None:
        yield refused("2292")
        return
    if day > case.today:
        yield refused("2163")
    if day < case.config.earliest_document:
        yield refused("2284", f"{case.config.earliest_document:%d/%m/%Y}")
    taxpayer = case.supplier
    limit = timedelta(days=case.config.reporting_days)
    if taxpayer is not None and taxpayer.above_10_crore and case.today - day >= limit:
        yield refused("2305", case.config.reporting_days)


def parties(case: Case) -> Iterator[Refused]:
    """The buyer's GSTIN and kind."""
    gstin = str(case.section("BuyerDtls").get("Gstin"))
    if case.supply_type in _EXPORTS:
        if gstin != "URP":
            yield refused("2248")
        return
    if gstin == "URP":
        yield refused("2212", case.supply_type)
        return
    if gstin == case.section("SellerDtls").get("Gstin"):
        yield refused("2211")
    buyer = case.buyer
    if buyer is None:
        yield refused("3028", gstin)
        return
    yield from _standing(buyer, case.document_day)
    in_sez = buyer.kind in ("SEZ", "SED")
    if case.supply_type in _SEZ and not in_sez:
        yield refused("2247", case.supply_type)
    if case.supply_type not in _SEZ and in_sez:
        yield refused("2246", case.supply_type)
    if case.supply_type == "DEXP" and buyer.kind not in ("REG", "CAS"):
        yield refused("2298")


def _standing(buyer: Taxpayer, day: date | None) -> Iterator[Refused]:
    """Whether the buyer was registered on the document's day; a suspended one counts as registered."""
    if day is None:
        return
    if buyer.status == "CNL":
        if buyer.deregistered_on is None:
            yield refused("3075", buyer.gstin)
        elif day > buyer.deregistered_on:
            yield refused("3074", buyer.gstin, f"{day:%d/%m/%Y}")
        elif day < buyer.registered_on:
            yield refused("3077", buyer.gstin, f"{day:%d/%m/%Y}")
    elif buyer.status not in ("ACT", "SUS"):
        yield refused("3029", buyer.gstin)
    elif day < buyer.registered_on:
        yield refused("3079")


def places(case: Case) -> Iterator[Refused]:
    """States, places of supply and PIN codes."""
    seller, buyer = case.section("SellerDtls"), case.section("BuyerDtls")
    state, pin = _state(seller.get("Stcd")), _whole(seller.get("Pin"))
    if state not in STATES:
        yield refused("2259")
    elif str(seller.get("Gstin"))[:2] != state:
        yield refused("2258")
    if pin == FOREIGN_PIN and state != OTHER_TERRITORY:
        yield refused("2276")
    elif state in STATES and not is_pin_of_state(pin, state):
        yield refused("3039", pin, "Supplier", state)
    yield from _buyer_abroad(case) if case.supply_type in _EXPORTS else _buyer_at_home(buyer, case)
    for name in ("DispDtls", "ShipDtls"):
        if name in case.payload:
            yield from _other_place(case.section(name), "2273" if name == "DispDtls" else "2272")


def _buyer_abroad(case: Case) -> Iterator[Refused]:
    buyer = case.section("BuyerDtls")
    if _state(buyer.get("Stcd")) != OTHER_COUNTRIES:
        yield refused("2261", case.supply_type)
    if _whole(buyer.get("Pin")) != FOREIGN_PIN:
        yield refused("2275")
    if _state(buyer.get("Pos")) != OTHER_COUNTRIES:
        yield refused("2232", case.supply_type)


def _buyer_at_home(buyer: Members, case: Case) -> Iterator[Refused]:
    state, place, pin = _state(buyer.get("Stcd")), _state(buyer.get("Pos")), _whole(buyer.get("Pin"))
    if state == OTHER_COUNTRIES:
        yield refused("2269", case.supply_type)
    elif state not in STATES:
        yield refused("2260")
    elif str(buyer.get("Gstin"))[:2] != state:
        yield refused("2265")
    yield from _place_at_home(place, case)
    if not pin:
        yield refused("2244", case.supply_type)
    elif pin == FOREIGN_PIN and state != OTHER_TERRITORY:
        yield refused("2274", case.supply_type)
    elif state in STATES and not is_pin_of_state(pin, state):
        yield refused("3041", pin, state)


def _place_at_home(place: str, case: Case) -> Iterator[Refused]:
    if place not in STATES:
        yield refused("2243")
    elif place == OTHER_COUNTRIES:
        freight = all(str(item.get("HsnCd"))[:4] in _FREIGHT for item in case.items)
        if case.supply_type != "B2B":
            yield refused("2242", case.supply_type)
        elif not freight:
            yield refused("2303")


def _other_place(place: Members, foreign_code: str) -> Iterator[Refused]:
    state, pin = _state(place.get("Stcd")), _whole(place.get("Pin"))
    if state not in STATES:
        yield refused("2200", state)
    elif pin == FOREIGN_PIN:
        yield refused(foreign_code)
    elif not is_pin_of_state(pin, state):
        yield refused("3039", pin, "Dispatch or Ship", state)


def items(case: Case) -> Iterator[Refused]:
    """What is supplied."""
    if not case.items:
        yield refused("2228")
    if len(case.items) > _MAX_ITEMS:
        yield refused("2173")
    serials = [str(item.get("SlNo")) for item in case.items]
    if len(set(serials)) < len(serials):
        yield refused("2233")
    for item in case.items:
        yield from _item(item, case)


def _item(item: Members, case: Case) -> Iterator[Refused]:
    code, serial, unit = str(item.get("HsnCd")), item.get("SlNo"), item.get("Unit")
    service = item.get("IsServc") == "Y"
    supplier = case.supplier
    too_short = supplier is not None and supplier.above_5_crore and len(code) < _LONG_CODE
    if too_short or not (code[:4] in _SERVICE_HEADINGS or code[:2] in _GOODS_CHAPTERS):
        yield refused("2176", code)
    if service != code.startswith("99"):
        yield refused("3048" if service else "3047", code)
    if not service and not _decimal(item.get("Qty")):
        yield refused("2238", serial)
    if not service and unit is None:
        yield refused("2239", serial)
    if unit is not None and str(unit).upper() not in UNIT_CODES:
        yield refused("2177", unit)
    if _decimal(item.get("GstRt")) not in gst_rates(case.document_day or case.today):
        yield refused("2240", serial)


def amounts(case: Case) -> Iterator[Refused]:
    """Taxes and sums, each within a rupee of the calculated one."""
    for item in case.items:
        yield from _item_amounts(item, case)
    totals = case.section("ValDtls")
    for code, name, members in (
        ("2182", "AssVal", ("AssAmt",)),
        ("2183", "SgstVal", ("SgstAmt",)),
        ("2184", "CgstVal", ("CgstAmt",)),
        ("2185", "IgstVal", ("IgstAmt",)),
        ("2186", "CesVal", ("CesAmt", "CesNonAdvlAmt")),
        ("2187", "StCesVal", ("StateCesAmt", "StateCesNonAdvlAmt")),
    ):
        calculated = sum((_decimal(item.get(member)) for item in case.items for member in members), Decimal(0))
        if not _tolerated(calculated, totals.get(name)):
            yield refused(code)
    calculated = sum((_decimal(item.get("TotItemVal")) for item in case.items), Decimal(0))
    calculated += _decimal(totals.get("OthChrg")) + _decimal(totals.get("RndOffAmt")) - _decimal(totals.get("Discount"))
    if not _tolerated(calculated, totals.get("TotInvVal")):
        yield refused("2189")


def _item_amounts(item: Members, case: Case) -> Iterator[Refused]:
    serial, value = item.get("SlNo"), _decimal(item.get("AssAmt"))
    if not _tolerated(_decimal(item.get("TotAmt")) - _decimal(item.get("Discount")), value):
        yield refused("2193", serial)
    if _decimal(item.get("CgstAmt")) != _decimal(item.get("SgstAmt")):
        yield refused("2227", serial)
    between_states = _is_between_states(case)
    if between_states and (_decimal(item.get("CgstAmt")) or _decimal(item.get("SgstAmt"))):
        yield refused("2174")
    if not between_states and _decimal(item.get("IgstAmt")):
        yield refused("2172")
    if case.document_type == "INV":
        yield from _item_tax(item, case, between_states=between_states)
    taxes = sum(
        (_decimal(item.get(name)) for name in
         ("SgstAmt", "CgstAmt", "IgstAmt", "CesAmt", "StateCesAmt", "CesNonAdvlAmt", "StateCesNonAdvlAmt")),
        Decimal(0),
    )  # fmt: skip
    other, total = _decimal(item.get("OthChrg")), item.get("TotItemVal")
    without_tax = case.section("TranDtls").get("RegRev") == "Y" or case.supply_type == "EXPWP"
    if not _tolerated(value + taxes + other, total) and not (without_tax and _tolerated(value + other, total)):
        yield refused("2194", serial)


def _item_tax(item: Members, case: Case, *, between_states: bool) -> Iterator[Refused]:
    serial, value, rate = item.get("SlNo"), _decimal(item.get("AssAmt")), _decimal(item.get("GstRt"))
    integrated = _decimal(item.get("IgstAmt"))
    if between_states:
        free = case.supply_type in _FREE_OF_TAX and not integrated
        if not free and not _tolerated(value * rate / 100, integrated):
            yield refused("2235", serial)
    elif not _tolerated(value * rate / 200, item.get("CgstAmt")):
        yield refused("2234", serial)
    if not _tolerated(value * _decimal(item.get("CesRt")) / 100, item.get("CesAmt")):
        yield refused("2266", serial)
    if not _tolerated(value * _decimal(item.get("StateCesRt")) / 100, item.get("StateCesAmt")):
        yield refused("2267", serial)


def _is_between_states(case: Case) -> bool:
    supplier = case.supplier
    if case.supply_type in (*_EXPORTS, *_SEZ) or (supplier is not None and supplier.kind == "SED"):
        return True
    if case.section("TranDtls").get("IgstOnIntra") == "Y":
        return True
    return _state(case.section("SellerDtls").get("Stcd")) != _state(case.section("BuyerDtls").get("Pos"))


def _tolerated(calculated: Decimal, given: object) -> bool:
    return math.floor(calculated) - 1 <= _decimal(given) <= math.ceil(calculated) + 1


def _decimal(value: object) -> Decimal:
    return Decimal(value) if isinstance(value, int | Decimal) else Decimal(0)


def _whole(value: object) -> int:
    return int(_decimal(value))


def _state(value: object) -> str:
    """Return a state code with two digits; the portal takes `7` for `07`."""
    return str(value or "").zfill(2)


BEFORE_DUPLICATE: tuple[Stage, ...] = (transaction, document)
AFTER_DUPLICATE: tuple[Stage, ...] = (parties, places, items, amounts)
