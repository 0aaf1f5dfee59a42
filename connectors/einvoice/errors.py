"""The portal's error codes: what each means for the call, and our error for it.

Source: NIC e-invoice API, "Error codes" (VITAL, INV), read 2026-09-18; Adaequare's own as its users report.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from connectors.answers import quoted
from connectors.einvoice.mapping import instant_from_wire
from domain.errors import (
    AuthError,
    ConnectorError,
    OutcomeUnknownError,
    RateLimitedError,
    RejectedError,
    RequestError,
    UnavailableError,
)

CONNECTOR = "einvoice"
BACKOFF = timedelta(minutes=15)
"""NIC's login blocks after five hits in 15 minutes; other limits are not published."""

ALREADY_CANCELLED = "9999"


class FaultClass(StrEnum):
    """What to do about a refusal; earlier members win when several come together."""

    STOP = "stop"
    REAUTH = "reauth"
    CREDENTIALS = "credentials"
    CONFIG = "config"
    DUPLICATE = "duplicate"
    ALREADY_DONE = "already_done"
    NOT_FOUND = "not_found"
    FINAL = "final"
    SYNC_GSTIN = "sync_gstin"
    FIX_DATA = "fix_data"
    BACKOFF = "backoff"
    RETRY = "retry"
    NOT_PROCESSED = "not_processed"


_CODES: dict[FaultClass, str] = {
    FaultClass.STOP: "3095 3096",  # client or GSTIN disabled after many erroneous requests
    FaultClass.REAUTH: "1005",  # token expired, or the same user signed in elsewhere
    FaultClass.CREDENTIALS: (
        "1006 1007 1008 1010 1011 1012 1013 1014 1015 1016 1017 1018 1019 1020 3000 3046 3053 3059 3069 4025"
    ),
    FaultClass.CONFIG: "1004 2231 2300 3026 3098 5003",  # GSTIN not enabled or of the wrong type, header missing
    FaultClass.DUPLICATE: "2150 2295 4002 4026",  # 2295: registered at another portal
    FaultClass.ALREADY_DONE: ALREADY_CANCELLED,  # "Invoice is not active"
    FaultClass.NOT_FOUND: "2148 2154 2296 3001 4005 4007",  # portals differ in which one they answer
    FaultClass.FINAL: (
        "2143 2226 2230 2270 2278 2283 2284 2286 2287 2302 2304 2305 2306 "  # 2278: the number is burnt for the year
        "4000 4003 4009 4010 4015 4037 4041 4043 4051 4053 4054 4055 4056 4057 4061"  # e-way bill
    ),
    FaultClass.SYNC_GSTIN: "3028 3029",  # portal's copy of the GSTIN master may be stale
    FaultClass.BACKOFF: "3108 _3109 4062",
    FaultClass.NOT_PROCESSED: "2146 2147",  # unable to create, unable to sign: nothing was registered
    FaultClass.RETRY: "2139 2141 4001 4004 5001 SYS_5001 GSPGSTDOWN GSPERR300",  # an unexpected failure anywhere inside
}
_CLASS_OF = {code: fault_class for fault_class, codes in _CODES.items() for code in codes.split()}
_GATEWAY_DOWN = ("GSPGSTDOWN", "GSPERR300", "Connection reset", "No route to host")
_SCHEMA_WORDS = re.compile(r"must be|must match|regular expression|is required|maximum length", re.IGNORECASE)
_ADAEQUARE_CODE = re.compile(r"(?:^|, )(\w{4,8}) : ")

_ACTIONS: dict[FaultClass, str] = {
    FaultClass.STOP: "Send nothing more for this GSTIN and call the NIC helpdesk: the portal has disabled access.",
    FaultClass.CONFIG: "Check that the GSTIN is enabled for e-invoicing on the portal and matches the settings.",
    FaultClass.DUPLICATE: "Compare the registration with the document; adopt it if they agree.",
    FaultClass.FINAL: "This cannot be repeated; take the document back another way (credit note) or by hand.",
    FaultClass.SYNC_GSTIN: "Check the GSTIN; if it is active, let the portal synchronise it (Sync GSTIN) and retry.",
    FaultClass.FIX_DATA: "Correct the document, then send it again under the same number.",
}


@dataclass(frozen=True)
class Fault:
    """One refusal in the portal's words."""

    code: str
    text: str

    @property
    def fault_class(self) -> FaultClass:
        """What to do about it; an unlisted code is one of many about wrong data and goes to a person."""
        if self.code in ("5001", "5002") and _SCHEMA_WORDS.search(self.text):
            return FaultClass.FIX_DATA
        return _CLASS_OF.get(self.code, FaultClass.FIX_DATA)


@dataclass(frozen=True)
class Note:
    """One entry of `InfoDtls` or `info`, beside a result or a refusal; `DUPIRN` carries a registration."""

    code: str
    content: object


def faults_from_message(message: str) -> tuple[Fault, ...]:
    """Split Adaequare's `message`, `2174 : For inter-state ..., 3095 : ...`; its texts contain commas and colons."""
    if any(word in message for word in _GATEWAY_DOWN):
        return (Fault("GSPGSTDOWN", message),)
    parts = _ADAEQUARE_CODE.split(message)
    return tuple(Fault(code, text) for code, text in zip(parts[1::2], parts[2::2], strict=True)) or (
        Fault("", message),
    )


def leading_fault(faults: Sequence[Fault]) -> Fault:
    """Return the refusal that decides."""
    order = list(FaultClass)
    return min(faults, key=lambda fault: order.index(fault.fault_class))


def error_from(
    faults: Sequence[Fault], notes: Sequence[Note], *, operation: str, safe_to_repeat: bool, request_id: str = ""
) -> ConnectorError:
    """Return our error for a refusal.

    Args:
        faults: At least one.
        notes: From the same answer; a duplicate's registration goes into `context` as `irn`, `ack_no`, `ack_at`.
        operation: The connector's method.
        safe_to_repeat: Decides what an unexpected failure inside the portal is.
        request_id: As sent.
    """
    fault = leading_fault(faults)
    kind = fault.fault_class
    said = quoted("; ".join(f"{one.code} {one.text}".strip() for one in faults))
    return _class_of(kind, safe_to_repeat=safe_to_repeat)(
        f"the e-invoice portal refused {operation}: {said}",
        code="EINVOICE_STOPPED" if kind is FaultClass.STOP else "",
        action=_ACTIONS.get(kind, ""),
        context={"class": kind.value} | (_registration(notes) if kind is FaultClass.DUPLICATE else {}),
        connector=CONNECTOR,
        operation=operation,
        partner_code=fault.code,
        request_id=request_id,
        retry_after=BACKOFF if kind is FaultClass.BACKOFF else None,
    )


def _class_of(kind: FaultClass, *, safe_to_repeat: bool) -> type[ConnectorError]:
    match kind:
        case FaultClass.REAUTH | FaultClass.CREDENTIALS:
            return AuthError
        case FaultClass.CONFIG:
            return RequestError
        case FaultClass.BACKOFF:
            return RateLimitedError
        case FaultClass.NOT_PROCESSED:
            return UnavailableError
        case FaultClass.RETRY:
            return UnavailableError if safe_to_repeat else OutcomeUnknownError
        case _:
            return RejectedError


def _registration(notes: Sequence[Note]) -> dict[str, str]:
    """Return the earlier registration that a duplicate names; what is missing or odd is left out."""
    for note in notes:
        if note.code == "DUPIRN" and isinstance(note.content, Mapping):
            found = {"irn": str(note.content.get("Irn", ""))[:64], "ack_no": str(note.content.get("AckNo", ""))[:20]}
            with contextlib.suppress(ValueError):
                found["ack_at"] = instant_from_wire(str(note.content.get("AckDt", ""))).isoformat()
            return {name: value for name, value in found.items() if value}
    return {}
