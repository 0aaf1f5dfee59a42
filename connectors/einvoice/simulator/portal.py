"""The simulated portal behind both surfaces: registers, shows and cancels documents, and signs what it registers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from connectors.einvoice.simulator.config import PortalConfig
from connectors.einvoice.simulator.messages import RefusalError, refused
from connectors.einvoice.simulator.schema import canonical, problems
from connectors.einvoice.simulator.signing import PortalKey
from connectors.einvoice.simulator.validations import AFTER_DUPLICATE, BEFORE_DUPLICATE, Case, Stage
from domain.clock import IST, lab_day
from domain.einvoice import precompute_irn

_SIGNED_SECTIONS = (
    "Version", "TranDtls", "DocDtls", "SellerDtls", "BuyerDtls", "DispDtls", "ShipDtls", "ItemList", "ValDtls",
    "PayDtls", "RefDtls", "EwbDtls",
)  # fmt: skip
_REASONS = ("1", "2", "3", "4")
_MAX_REMARK_CHARS = 100


@dataclass
class Registered:
    """One document in the portal."""

    irn: str
    supplier: str
    buyer: str
    document_type: str
    document_no: str
    document_date: str
    total: str
    ack_no: int
    ack_at: datetime
    signed_invoice: str
    signed_qr: str
    cancelled_at: datetime | None = None


@dataclass
class Drill:
    """Faults that a network cannot make; the others are switches of `Behaviour`.

    Attributes:
        wrong_signature: Sign the next registrations with a key nobody knows, under the right key id.
        refuse_next: Code that the next call is refused with, processing nothing.
    """

    wrong_signature: bool = False
    refuse_next: str = ""


@dataclass
class Portal:
    """State and rules of the portal; in memory, empty at the start.

    Attributes:
        clock: Aware.
        signing_key: What registrations are signed with; publish `signing_keys` to those who verify.
        login_key: What logins at NIC are encrypted with.
    """

    config: PortalConfig
    clock: Callable[[], datetime]
    signing_key: PortalKey = field(default_factory=PortalKey)
    login_key: PortalKey = field(default_factory=PortalKey)
    drill: Drill = field(default_factory=Drill)
    registered: dict[str, Registered] = field(default_factory=dict)

    @property
    def signing_keys(self) -> dict[str, str]:
        """PEM by key id, as the connector's settings want it."""
        return {self.signing_key.key_id: self.signing_key.public_pem}

    def generate(self, gstin: str, body: object) -> tuple[dict[str, object], list[dict[str, object]]]:
        """Register a document; return the result and its notes.

        Raises:
            RefusalError: One of the portal's checks fails; nothing is registered.
        """
        self._refuse_on_drill()
        if not isinstance(body, dict) or not body:
            raise RefusalError(refused("2255"))
        payload = canonical(body)
        if payload.get("Version") != "1.1":
            raise RefusalError(refused("2279"))
        if breaches := problems(payload):
            raise RefusalError(*(refused("5002", breach) for breach in breaches))
        case = Case(payload, gstin, lab_day(self.clock()), self.config)
        _run(BEFORE_DUPLICATE, case)
        irn = self._irn_of(case)
        self._refuse_duplicate(irn)
        _run(AFTER_DUPLICATE, case)
        entry = self._sign(irn, case)
        self.registered[irn] = entry
        notes: list[dict[str, object]] = []
        if "EwbDtls" in payload:
            # Services move by no vehicle: the IRN is made, the e-way bill is not
            error = {"ErrorCode": "4019", "ErrorMessage": "Provide Transporter ID in order to generate Part A"}
            notes.append({"InfCd": "EWBERR", "Desc": [error]})
        return _shown(entry, entry.ack_at), notes

    def get(self, gstin: str, irn: str) -> dict[str, object]:
        """Return a registration, its time rounded to the minute as the portal does.

        Raises:
            RefusalError: Unknown, of somebody else, or too old to be shown.
        """
        self._refuse_on_drill()
        return self._show(gstin, self.registered.get(irn), self.config.not_found_code)

    def get_by_document(self, gstin: str, document_type: str, number: str, day: str) -> dict[str, object]:
        """Return a registration by the document's type, number and date. Raises as `get`, with 2154 when unknown."""
        self._refuse_on_drill()
        wanted = (gstin, document_type.upper(), number.upper(), day)
        found = [
            entry
            for entry in self.registered.values()
            if (entry.supplier, entry.document_type, entry.document_no, entry.document_date) == wanted
        ]
        return self._show(gstin, found[0] if found else None, "2154")

    def cancel(self, gstin: str, body: object) -> dict[str, object]:
        """Cancel a registration within 24 hours; its number is used up for the year.

        Raises:
            RefusalError: As the portal words it.
        """
        self._refuse_on_drill()
        members = {key.lower(): value for key, value in body.items()} if isinstance(body, dict) else {}
        irn, reason, remark = (str(members.get(name, "")) for name in ("irn", "cnlrsn", "cnlrem"))
        if reason not in _REASONS:
            raise RefusalError(refused("5002", "The field CnlRsn must match the regular expression '^([1-4]{1})$'."))
        if not 1 <= len(remark) <= _MAX_REMARK_CHARS:
            raise RefusalError(
                refused(
                    "5002", "The field CnlRem must be a string with a minimum length of 1 and a maximum length of 100."
                )
            )
        entry = self.registered.get(irn)
        if entry is None:
            raise RefusalError(refused(self.config.not_found_code))
        if entry.supplier != gstin:
            raise RefusalError(refused("2143"))
        if entry.cancelled_at is not None:
            raise RefusalError(refused("9999"))
        if self.clock() - entry.ack_at >= self.config.cancel_window:
            raise RefusalError(refused("2270"))
        entry.cancelled_at = self.clock().replace(microsecond=0)
        return {"Irn": irn, "CancelDate": portal_time(entry.cancelled_at)}

    def snapshot(self) -> dict[str, object]:
        """Return what is registered, for people and tests; no signed content."""
        return {
            "registered": [
                {
                    "irn": entry.irn,
                    "document": f"{entry.document_type} {entry.document_no}",
                    "supplier": entry.supplier,
                    "buyer": entry.buyer,
                    "total": entry.total,
                    "ack_no": entry.ack_no,
                    "ack_at": portal_time(entry.ack_at),
                    "status": "CNL" if entry.cancelled_at else "ACT",
                }
                for entry in self.registered.values()
            ]
        }

    def _refuse_on_drill(self) -> None:
        code, self.drill.refuse_next = self.drill.refuse_next, ""
        if code:
            raise RefusalError(refused(code))

    @staticmethod
    def _irn_of(case: Case) -> str:
        document, day = case.section("DocDtls"), case.document_day
        if day is None:
            raise RefusalError(refused("2292"))
        return precompute_irn(case.header_gstin, day, case.document_type, str(document.get("No")))

    def _refuse_duplicate(self, irn: str) -> None:
        known = self.registered.get(irn)
        if known is None:
            return
        if known.cancelled_at is not None:
            raise RefusalError(refused("2278"))
        earlier = {"AckNo": known.ack_no, "AckDt": portal_time(known.ack_at), "Irn": irn}
        raise RefusalError(refused("2150"), notes=[{"InfCd": "DUPIRN", "Desc": earlier}])

    def _sign(self, irn: str, case: Case) -> Registered:
        ack_at = self.clock().replace(microsecond=0)
        document, totals = case.section("DocDtls"), case.section("ValDtls")
        ack_no = int(f"17{ack_at.astimezone(IST):%y}{len(self.registered) + 1:011d}")
        number = str(document.get("No")).upper()
        invoice: dict[str, object] = {"AckNo": ack_no, "AckDt": portal_time(ack_at), "Irn": irn}
        invoice |= {name: case.payload[name] for name in _SIGNED_SECTIONS if name in case.payload}
        invoice["DocDtls"] = {**document, "No": number}
        invoice["ItemList"] = [{"ItemNo": place, **item} for place, item in enumerate(case.items)]
        leading = max(case.items, key=lambda item: Decimal(str(item.get("AssAmt"))))
        qr_code: dict[str, object] = {
            "SellerGstin": case.header_gstin,
            "BuyerGstin": case.section("BuyerDtls").get("Gstin"),
            "DocNo": number,
            "DocTyp": case.document_type,
            "DocDt": document.get("Dt"),
            "TotInvVal": totals.get("TotInvVal"),
            "ItemCnt": len(case.items),
            "MainHsnCode": leading.get("HsnCd"),
            "Irn": irn,
            "IrnDt": portal_time(ack_at),
        }
        return Registered(
            irn=irn,
            supplier=case.header_gstin,
            buyer=str(qr_code["BuyerGstin"]),
            document_type=case.document_type,
            document_no=number,
            document_date=str(document.get("Dt")),
            total=str(totals.get("TotInvVal")),
            ack_no=ack_no,
            ack_at=ack_at,
            signed_invoice=self._signed(invoice),
            signed_qr=self._signed(qr_code),
        )

    def _signed(self, content: Mapping[str, object]) -> str:
        plain: dict[str, object] = json.loads(json.dumps(content, default=float))
        if not self.drill.wrong_signature:
            return self.signing_key.sign(plain)
        stranger = PortalKey()
        stranger.key_id = self.signing_key.key_id
        return stranger.sign(plain)

    def _show(self, gstin: str, entry: Registered | None, unknown_code: str) -> dict[str, object]:
        if entry is None:
            raise RefusalError(refused(unknown_code))
        if entry.supplier != gstin:
            raise RefusalError(refused("2226"))
        if self.clock() - entry.ack_at >= self.config.get_window:
            raise RefusalError(refused("2283", self.config.get_window.days))
        return _shown(entry, entry.ack_at.replace(second=0))


def _run(stages: tuple[Stage, ...], case: Case) -> None:
    for stage in stages:
        if faults := tuple(stage(case)):
            raise RefusalError(*faults)


def _shown(entry: Registered, ack_at: datetime) -> dict[str, object]:
    shown: dict[str, object] = {
        "AckNo": entry.ack_no,
        "AckDt": portal_time(ack_at),
        "Irn": entry.irn,
        "SignedInvoice": entry.signed_invoice,
        "SignedQRCode": entry.signed_qr,
        "Status": "CNL" if entry.cancelled_at else "ACT",
        "EwbNo": None,
        "EwbDt": None,
        "EwbValidTill": None,
        "Remarks": None,
    }
    if entry.cancelled_at is not None:
        shown["CancelDate"] = portal_time(entry.cancelled_at)
    return shown


def portal_time(moment: datetime) -> str:
    """Return IST as the portal writes it."""
    return moment.astimezone(IST).strftime("%Y-%m-%d %H:%M:%S")


def parsed(raw: bytes) -> object:
    """Return JSON with exact decimals, or None where it is not JSON."""
    try:
        value: object = json.loads(raw, parse_float=Decimal, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return None
    return value
