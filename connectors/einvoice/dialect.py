"""What the two ways to the portal have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from connectors.einvoice.errors import CONNECTOR, Fault, Note
from domain.errors import ConnectorError, OutcomeUnknownError, UnavailableError


@dataclass(frozen=True)
class Answer:
    """One answer of the portal, out of its envelope.

    Attributes:
        result: Present when nothing was refused.
        faults: Empty when nothing was refused.
        notes: Beside either.
    """

    result: Mapping[str, object] | None
    faults: tuple[Fault, ...] = ()
    notes: tuple[Note, ...] = ()
    request_id: str = ""


class GatewayDialect(Protocol):
    """Speaks to the portal; holds the session token."""

    async def sign_in(self) -> datetime | None:
        """Make sure that there is a session; return the partner's clock where it was asked and told."""

    def forget_session(self) -> None:
        """Sign in again before the next call."""

    async def generate(self, invoice: Mapping[str, object], *, reference: str) -> Answer:
        """Register an invoice; unsafe to repeat."""

    async def fetch(self, irn: str) -> Answer:
        """Look a registration up."""

    async def cancel(self, irn: str, *, reason: str, remark: str) -> Answer:
        """Cancel a registration; unsafe to repeat."""


def unreadable(what: str, *, operation: str, safe_to_repeat: bool) -> ConnectorError:
    """Return the error for an answer of 2xx that is not what the partner documents."""
    failure: type[ConnectorError] = UnavailableError if safe_to_repeat else OutcomeUnknownError
    return failure(
        f"the e-invoice portal answered with something unreadable ({what})",
        code="ANSWER_UNREADABLE",
        connector=CONNECTOR,
        operation=operation,
    )


def notes_from(entries: object) -> tuple[Note, ...]:
    """Return `InfoDtls`; anything but a list of entries with `InfCd` is nothing."""
    if not isinstance(entries, list):
        return ()
    return tuple(
        Note(str(entry.get("InfCd", "")), entry.get("Desc")) for entry in entries[:100] if isinstance(entry, dict)
    )
