"""The e-invoice connector: register, look up and cancel documents of one GSTIN."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from connectors.einvoice.adaequare import AdaequareDialect
from connectors.einvoice.dialect import Answer, GatewayDialect, unreadable
from connectors.einvoice.errors import CONNECTOR, FaultClass, error_from, leading_fault
from connectors.einvoice.mapping import (
    cancellation_from_wire,
    cancelled_record,
    invoice_to_wire,
    record_from_wire,
)
from connectors.einvoice.nic import NicDialect
from connectors.einvoice.settings import Dialect, EInvoiceSettings
from connectors.einvoice.verify import verify_record
from connectors.einvoice.wire import Cancellation, Registration
from connectors.http import CallJournal, NoJournal, PartnerHttp
from domain.clock import utc_now
from domain.einvoice import CancelReason, IrnRecord, TaxDocument
from domain.errors import AuthError, RequestError

ModelT = TypeVar("ModelT", bound=BaseModel)

MAX_REMARK_CHARS = 100
_IRN = re.compile(r"[0-9a-f]{64}", re.ASCII)
_MASKED_FIELDS = frozenset({"access_token", "data", "ph", "em", "signedinvoice", "signedqrcode"})


class EInvoiceConnector:
    """Registers tax documents of one GSTIN at the Invoice Registration Portal.

    The IRN is known before the call (`TaxDocument.irn`): after a lost answer look it up, never send again unseen.

    Args:
        client: Its base URL and transport decide where calls go.
        settings: Of the GSTIN.
        journal: Where calls are recorded, masked.
        now: Aware clock, for the session.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        settings: EInvoiceSettings,
        journal: CallJournal | None = None,
        *,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.settings = settings
        dialect = NicDialect if settings.dialect is Dialect.NIC else AdaequareDialect
        http = PartnerHttp(
            client=client,
            connector=CONNECTOR,
            journal=journal or NoJournal(),
            masked_fields=_MASKED_FIELDS,
            masked_headers=dialect.SECRET_HEADERS,
        )
        self._dialect: GatewayDialect = dialect(http, settings, now)

    async def generate_irn(self, *, document: TaxDocument) -> IrnRecord:
        """Register a document. Unsafe to repeat.

        Args:
            document: Passed by `rules.gst_checks.prevalidate`.

        Raises:
            RequestError: The document is of another GSTIN than the settings, or of a kind that is not registered.
            RejectedError: Refused; `partner_code` 2150 carries the earlier registration in `context` (`irn`, `ack_no`,
                `ack_at` as ISO 8601 UTC), to be adopted after comparing.
            OutcomeUnknownError: It may be registered: `get_by_irn(document.irn)` tells.
            ConnectorError: Others as `PartnerHttp.send`.
        """
        self._check_gstin(document.supplier.gstin, "generate_irn")
        try:
            body, irn = invoice_to_wire(document).as_json(), document.irn
        except (KeyError, ValueError):
            raise RequestError(
                "this kind of document is not registered with the portal",
                code="EINVOICE_NOT_REPORTABLE",
                connector=CONNECTOR,
                operation="generate_irn",
            ) from None
        answer = await self._ask(lambda: self._dialect.generate(body, reference=irn))
        found = self._result(Registration, answer, operation="generate_irn", safe_to_repeat=False)
        try:
            return record_from_wire(found)
        except ValueError:
            raise unreadable("time", operation="generate_irn", safe_to_repeat=False) from None

    async def get_by_irn(self, *, irn: str, supplier_gstin: str) -> IrnRecord | None:
        """Look a registration up; None when the portal knows none.

        Raises:
            RequestError: Another GSTIN than the settings, or no IRN.
            RejectedError: Refused; `partner_code` 2283 when it exists but is too old (2 to 3 days) to be shown.
            ConnectorError: Others as `PartnerHttp.send`.
        """
        self._check_gstin(supplier_gstin, "get_by_irn")
        self._check_irn(irn, "get_by_irn")
        answer = await self._ask(lambda: self._dialect.fetch(irn))
        if answer.faults and leading_fault(answer.faults).fault_class is FaultClass.NOT_FOUND:
            return None
        found = self._result(Registration, answer, operation="get_by_irn", safe_to_repeat=True)
        if found.Irn != irn:
            raise unreadable("another IRN", operation="get_by_irn", safe_to_repeat=True)
        try:
            return record_from_wire(found)
        except ValueError:
            raise unreadable("time", operation="get_by_irn", safe_to_repeat=True) from None

    async def cancel_irn(self, *, irn: str, supplier_gstin: str, reason_code: CancelReason, remark: str) -> IrnRecord:
        """Cancel a registration within 24 hours. Repeating it is harmless: the second time it is cancelled already.

        Args:
            irn: What to cancel; its document number is used up for the financial year.
            supplier_gstin: As in the settings.
            reason_code: The portal's.
            remark: 1 to 100 characters, without personal data.

        Returns:
            A record of which only the IRN, the state and, unless it was cancelled before, the time are known.

        Raises:
            RequestError: Another GSTIN than the settings, no IRN, or a remark that does not fit.
            RejectedError: Refused; `partner_code` 2270 after 24 hours: a credit note is due instead.
            ConnectorError: Others as `PartnerHttp.send`.
        """
        self._check_gstin(supplier_gstin, "cancel_irn")
        self._check_irn(irn, "cancel_irn")
        if not 1 <= len(remark.strip()) <= MAX_REMARK_CHARS:
            raise RequestError(
                f"a cancellation needs a remark of 1 to {MAX_REMARK_CHARS} characters",
                code="EINVOICE_REMARK_INVALID",
                connector=CONNECTOR,
                operation="cancel_irn",
            )
        answer = await self._ask(lambda: self._dialect.cancel(irn, reason=reason_code.value, remark=remark.strip()))
        if answer.faults and leading_fault(answer.faults).fault_class is FaultClass.ALREADY_DONE:
            return cancelled_record(irn, None)
        found = self._result(Cancellation, answer, operation="cancel_irn", safe_to_repeat=False)
        try:
            return cancellation_from_wire(found)
        except ValueError:
            raise unreadable("time", operation="cancel_irn", safe_to_repeat=False) from None

    def verify(self, *, record: IrnRecord, document: TaxDocument) -> None:
        """Check the portal's two signatures and that what it signed is our document.

        Raises:
            AuthError: A signature is not by one of the configured keys, or there is no key.
            MessageError: The signed content is unreadable or differs from the document.
        """
        verify_record(record, document, self.settings.signing_keys)

    async def sign_in(self) -> datetime | None:
        """Make sure that there is a session; return the partner's clock where it was asked and told.

        Raises:
            AuthError: The credentials are refused.
            ConnectorError: Others as `PartnerHttp.send`.
        """
        return await self._dialect.sign_in()

    async def _ask(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """Call; when the session is refused, sign in anew and call once more. A refused session processed nothing."""
        try:
            answer = await call()
        except AuthError as error:
            if error.operation == "authenticate":
                raise
        else:
            if not answer.faults or leading_fault(answer.faults).fault_class is not FaultClass.REAUTH:
                return answer
        self._dialect.forget_session()
        return await call()

    @staticmethod
    def _result(model: type[ModelT], answer: Answer, *, operation: str, safe_to_repeat: bool) -> ModelT:
        if answer.faults:
            raise error_from(
                answer.faults,
                answer.notes,
                operation=operation,
                safe_to_repeat=safe_to_repeat,
                request_id=answer.request_id,
            )
        try:
            return model.model_validate(answer.result)
        except ValidationError:
            raise unreadable("result", operation=operation, safe_to_repeat=safe_to_repeat) from None

    def _check_gstin(self, gstin: str, operation: str) -> None:
        if gstin != self.settings.gstin:
            raise RequestError(
                "the document is of another GSTIN than the connector's settings",
                code="EINVOICE_WRONG_GSTIN",
                action="Add a connector entry for the document's GSTIN.",
                connector=CONNECTOR,
                operation=operation,
            )

    @staticmethod
    def _check_irn(irn: str, operation: str) -> None:
        if not _IRN.fullmatch(irn):
            raise RequestError(
                "an IRN has 64 hexadecimal digits",
                code="EINVOICE_IRN_INVALID",
                connector=CONNECTOR,
                operation=operation,
            )
