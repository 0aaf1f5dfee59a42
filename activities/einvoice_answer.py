"""A registration that a person made on the portal and typed in: believed only where it can be checked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from connectors.einvoice.verify import verify_signed_qr
from domain.clock import IST
from domain.einvoice import IrnRecord, IrnState, TaxDocument
from domain.errors import AuthError, MessageError, RuleError
from domain.money import rupees

MAX_ACK_DIGITS = 20
CLOCK_TOLERANCE = timedelta(minutes=5)


def registration_from(
    answer: Mapping[str, str], document: TaxDocument, signing_keys: Mapping[str, str], now: datetime
) -> IrnRecord:
    """Return the registration that `answer` describes.

    Args:
        answer: `irn`, `ack_no`, `ack_at` (ISO 8601, without an offset IST as the portal shows it) and `signed_qr`;
            `signed_invoice` where it was downloaded.
        document: What was registered.
        signing_keys: The portal's, PEM by key id; without any the QR code cannot be checked and is refused.
        now: Aware.

    Raises:
        RuleError: Another IRN or amount, a malformed field, or a QR code that the portal did not sign.
    """
    if answer["irn"].lower() != document.irn:
        raise _refused("this is not the IRN of the document", code="EINVOICE_IRN_DIFFERS")
    if not answer["ack_no"].isdecimal() or len(answer["ack_no"]) > MAX_ACK_DIGITS:
        raise _refused("the acknowledgement number has digits only", code="EINVOICE_ANSWER_INVALID")
    try:
        ack_at = datetime.fromisoformat(answer["ack_at"])
    except ValueError:
        raise _refused("the acknowledgement time is not readable", code="EINVOICE_ANSWER_INVALID") from None
    ack_at = (ack_at.replace(tzinfo=IST) if ack_at.tzinfo is None else ack_at).astimezone(UTC)
    if ack_at > now + CLOCK_TOLERANCE:
        raise _refused("the acknowledgement time lies in the future", code="EINVOICE_ANSWER_INVALID")
    try:
        signed = verify_signed_qr(answer["signed_qr"], signing_keys)
    except (AuthError, MessageError) as error:
        raise _refused(f"the QR code cannot be trusted: {error.message}", code=error.code) from error
    if signed.get("Irn") != document.irn or signed.get("TotInvVal") != rupees(document.total_paise):
        raise _refused("the QR code belongs to another document", code="EINVOICE_CONTENT_DIFFERS")
    return IrnRecord(
        irn=document.irn,
        ack_no=answer["ack_no"],
        ack_at=ack_at,
        signed_invoice=answer.get("signed_invoice", ""),
        signed_qr=answer["signed_qr"],
        state=IrnState.ACTIVE,
    )


def _refused(message: str, *, code: str) -> RuleError:
    return RuleError(message, code=code, action="Copy the registration from the portal again, or retry the step.")
