"""Payment links and refunds at Razorpay, one method per operation.

Creating a link has no idempotency key: the unique reference protects against a second one. After an unknown outcome,
or a refusal with `partner_code` REFERENCE_EXISTS, look it up with `find_payment_link_by_reference`. Refunds carry an
idempotency key, yet how long Razorpay remembers it is not documented, so a lost answer is an unknown outcome too: look
at `find_refunds`, then repeat with the same key.
"""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import datetime

import httpx

from connectors.answers import ModelT, read_answer
from connectors.checks import http_date
from connectors.http import PartnerHttp
from connectors.razorpay import mapping
from connectors.razorpay.errors import explained
from connectors.razorpay.settings import RazorpaySettings
from connectors.razorpay.wire import (
    PaymentEntity,
    PaymentLinkEntity,
    PaymentLinkList,
    PaymentList,
    RefundEntity,
    RefundList,
)
from domain.payments import CapturedPayment, PaymentLink, PaymentLinkRequest, Refund

_CONNECT_TIMEOUT_S = 5.0
_MASKED_FIELDS = frozenset({"vpa", "upi", "card", "card_id", "acquirer_data", "description", "bank_account", "notes"})


class RazorpayConnector:
    """One Razorpay account.

    Every method raises the errors of `PartnerHttp.send`; a refusal in the body is told apart in `errors.py`.
    """

    name = "razorpay"

    def __init__(self, http: PartnerHttp, settings: RazorpaySettings) -> None:
        self._http = replace(http, masked_fields=http.masked_fields | _MASKED_FIELDS)
        self._settings = settings

    @property
    def host(self) -> str:
        """Return where calls go, for people."""
        return self._http.client.base_url.host

    async def create_payment_link(self, *, request: PaymentLinkRequest) -> PaymentLink:
        """Create a link for one bill.

        Raises:
            RejectedError: Among others REFERENCE_EXISTS: a link with this reference was made before.
            OutcomeUnknownError: It may exist now; find it by its reference.
        """
        body = mapping.link_body(request, self._settings.callback_url)
        entity = await self._call(
            PaymentLinkEntity, "POST", "/v1/payment_links", operation="create_payment_link", safe_to_repeat=False,
            reference=request.reference, body=body.model_dump(exclude_none=True),
        )  # fmt: skip
        return mapping.payment_link(entity)

    async def fetch_payment_link(self, *, link_id: str) -> PaymentLink:
        """Return the link as it is now."""
        path = f"/v1/payment_links/{mapping.entity_path(link_id)}"
        entity = await self._call(PaymentLinkEntity, "GET", path, operation="fetch_payment_link", reference=link_id)
        return mapping.payment_link(entity)

    async def find_payment_link_by_reference(self, *, reference: str) -> PaymentLink | None:
        """Return the link with our reference, or None when there is none."""
        found = await self._call(
            PaymentLinkList, "GET", "/v1/payment_links", operation="find_payment_link_by_reference",
            reference=reference, params={"reference_id": reference},
        )  # fmt: skip
        # the filter is trusted for nothing: adopting somebody else's link would book their money
        for entity in found.payment_links:
            if entity.reference_id == reference:
                return mapping.payment_link(entity)
        return None

    async def cancel_payment_link(self, *, link_id: str) -> PaymentLink:
        """Cancel a link on which nothing was paid.

        Raises:
            RejectedError: LINK_ALREADY_PAID (also in part), or LINK_ALREADY_CLOSED.
        """
        path = f"/v1/payment_links/{mapping.entity_path(link_id)}/cancel"
        entity = await self._call(
            PaymentLinkEntity, "POST", path, operation="cancel_payment_link", safe_to_repeat=False, reference=link_id
        )
        return mapping.payment_link(entity)

    async def refund(self, *, payment_id: str, amount_paise: int, idempotency_key: str, reference: str) -> Refund:
        """Give money back.

        Args:
            payment_id: A captured payment.
            amount_paise: All of it or a part.
            idempotency_key: The same for every attempt at the same refund, with the same amount and reference.
            reference: Our number for the refund, at most 40 characters.

        Raises:
            RejectedError: Among others REFUND_TOO_LARGE, ALREADY_REFUNDED, REFUND_TOO_LATE, IDEMPOTENCY_CLASH.
            UnavailableError: The first attempt is still in progress; repeat with the same key.
            OutcomeUnknownError: Look at `find_refunds`, then repeat with the same key.
        """
        body = mapping.refund_body(amount_paise, reference)
        entity = await self._call(
            RefundEntity, "POST", f"/v1/payments/{mapping.entity_path(payment_id)}/refund", operation="refund",
            safe_to_repeat=False, reference=reference, body=body.model_dump(),
            headers={"X-Refund-Idempotency": mapping.idempotency_header(idempotency_key)},
        )  # fmt: skip
        return mapping.refund(entity)

    async def fetch_refund(self, *, refund_id: str) -> Refund:
        """Return the refund as it is now."""
        path = f"/v1/refunds/{mapping.entity_path(refund_id)}"
        return mapping.refund(
            await self._call(RefundEntity, "GET", path, operation="fetch_refund", reference=refund_id)
        )

    async def find_refunds(self, *, payment_id: str) -> tuple[Refund, ...]:
        """Return the refunds of a payment, at most the newest hundred, in Razorpay's order."""
        path = f"/v1/payments/{mapping.entity_path(payment_id)}/refunds"
        found = await self._call(
            RefundList, "GET", path, operation="find_refunds", reference=payment_id, params={"count": "100"}
        )
        return tuple(mapping.refund(entity) for entity in found.items)

    async def fetch_payment(self, *, payment_id: str) -> CapturedPayment:
        """Return the payment as it is now, with what was refunded by anyone."""
        path = f"/v1/payments/{mapping.entity_path(payment_id)}"
        return mapping.payment(
            await self._call(PaymentEntity, "GET", path, operation="fetch_payment", reference=payment_id)
        )

    async def partner_time(self) -> datetime | None:
        """Ask for one payment, the cheapest authenticated question; return Razorpay's clock, or None."""
        response = await self._send("GET", "/v1/payments", operation="partner_time", params={"count": "1"})
        read_answer(PaymentList, response, connector=self.name, operation="partner_time", safe_to_repeat=True)
        return http_date(response.headers.get("date", ""))

    async def _call(
        self, model: type[ModelT], method: str, path: str, *, operation: str, reference: str,
        safe_to_repeat: bool = True, body: object = None, params: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> ModelT:  # fmt: skip
        response = await self._send(
            method, path, operation=operation, reference=reference, safe_to_repeat=safe_to_repeat,
            body=body, params=params, headers=headers,
        )  # fmt: skip
        return read_answer(model, response, connector=self.name, operation=operation, safe_to_repeat=safe_to_repeat)

    async def _send(
        self, method: str, path: str, *, operation: str, reference: str = "", safe_to_repeat: bool = True,
        body: object = None, params: dict[str, str] | None = None, headers: dict[str, str] | None = None,
    ) -> httpx.Response:  # fmt: skip
        request = self._http.client.build_request(
            method, path, json=body, params=params, headers={"Authorization": self._authorization()} | (headers or {}),
            timeout=httpx.Timeout(self._settings.timeout_s, connect=_CONNECT_TIMEOUT_S),
        )  # fmt: skip
        return await self._http.send(
            request, operation=operation, safe_to_repeat=safe_to_repeat, reference=reference, explain=explained
        )

    def _authorization(self) -> str:
        """Return the header value; the scheme must be spelt exactly `Basic`.

        Source: razorpay.com/docs, "API Authentication", read 2026-11-22.
        """
        pair = f"{self._settings.key_id}:{self._settings.key_secret.get_secret_value()}"
        return "Basic " + base64.b64encode(pair.encode()).decode()
