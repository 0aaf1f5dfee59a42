"""A Razorpay account in memory: links, payments, refunds and the rules between them. For the simulator only.

Written from Razorpay's documents, not from our connector: it refuses what Razorpay refuses, in Razorpay's words.
Source: razorpay.com/docs, "Payment Links", "Refunds", "Payments" (parameters, states, "Errors" sections) and the
webhook payload pages, read 2026-11-22.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import string
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

from connectors.razorpay.simulated_rules import Entity, Refusal, check_link, check_refund_key, refundable
from domain.money import percent_of

Emit = Callable[[str, Entity], None]
"""Called with an event name and its payload: {"payment_link": {...}, "payment": {...}}, entities without a wrapper."""


class SimulatedAccount:
    """One account.

    Args:
        key_id: Decides between test and live mode by its prefix.
        clock: Returns aware UTC.
        emit: Takes the events.
        refund_status: What a new refund is: `processed` at once, or `pending` until `settle_refund`.
    """

    def __init__(
        self, key_id: str, clock: Callable[[], datetime], emit: Emit, refund_status: str = "processed"
    ) -> None:
        self.links: dict[str, Entity] = {}
        self.payments: dict[str, Entity] = {}
        self.refunds: dict[str, Entity] = {}
        self._key_id = key_id
        self._clock = clock
        self._emit = emit
        self._refund_status = refund_status
        self._refund_keys: dict[str, tuple[str, str]] = {}

    def create_link(self, body: Entity, public_url: str) -> Entity:
        """Return a new link; refuse what the parameters table forbids."""
        now = self._now()
        taken = {link["reference_id"] for link in self.links.values()}
        check_link(body, is_test=self._key_id.startswith("rzp_test_"), now=now, taken_references=taken)
        link_id = _new_id("plink")
        link: Entity = {
            "accept_partial": body.get("accept_partial", False),
            "amount": body["amount"],
            "amount_paid": 0,
            "cancelled_at": 0,
            "created_at": now,
            "currency": body.get("currency", "INR"),
            "customer": body.get("customer", {}),
            "description": body.get("description", ""),
            "expire_by": body.get("expire_by", 0),
            "expired_at": 0,
            "first_min_partial_amount": body.get("first_min_partial_amount", 0),
            "id": link_id,
            "notes": body.get("notes") or None,
            "notify": body.get("notify", {"email": False, "sms": False}),
            "payments": None,
            "reference_id": body.get("reference_id", ""),
            "reminder_enable": body.get("reminder_enable", True),
            "reminders": [],
            "short_url": f"{public_url}/pay/{link_id}",
            "status": "created",
            "updated_at": now,
            "upi_link": body.get("upi_link", False),
            "user_id": "",
        }
        link |= {name: body[name] for name in ("callback_url", "callback_method") if name in body}
        self.links[link_id] = link
        return link

    def link(self, link_id: str) -> Entity:
        """Return a link by id."""
        if not re.fullmatch(r"plink_[A-Za-z0-9]{14}", link_id):
            raise Refusal(f"invalid input [strippedId] = [{link_id}]")
        if link_id not in self.links:
            raise Refusal("The id provided does not exist")
        return self.links[link_id]

    def find_links(self, *, reference_id: str = "", payment_id: str = "") -> list[Entity]:
        """Return links, newest first, that match every filter given."""
        return [
            link
            for link in reversed(self.links.values())
            if (not reference_id or link["reference_id"] == reference_id)
            and (not payment_id or any(item["payment_id"] == payment_id for item in link["payments"] or []))
        ]

    def cancel_link(self, link_id: str) -> Entity:
        """Cancel a link on which nothing was paid."""
        link = self.link(link_id)
        if link["status"] in ("paid", "partially_paid"):
            raise Refusal("cannot cancel or expire an already paid/partially paid link")
        if link["status"] != "created":
            raise Refusal("cannot cancel or expire an expired link")
        link |= {"status": "cancelled", "cancelled_at": self._now(), "updated_at": self._now()}
        self._emit("payment_link.cancelled", {"payment_link": dict(link)})
        return link

    def expire_due(self) -> None:
        """Expire the open links whose time is over."""
        now = self._now()
        for link in self.links.values():
            if link["status"] in ("created", "partially_paid") and 0 < link["expire_by"] <= now:
                link |= {"status": "expired", "expired_at": now, "updated_at": now}
                self._emit("payment_link.expired", {"payment_link": dict(link)})

    def pay(self, link_id: str, amount: int | None = None, method: str = "upi") -> Entity:
        """Pay a link as its customer, and let the money arrive.

        A closed link can still receive money that a bank confirms late; then the link stays closed.
        """
        link = self.link(link_id)
        due = link["amount"] - link["amount_paid"]
        amount = due if amount is None else amount
        is_open = link["status"] in ("created", "partially_paid")
        if due <= 0 or (not is_open and link["payments"]):
            raise Refusal("Your payment has been declined as the order is already paid.")
        if amount != due and not (link["accept_partial"] and link["first_min_partial_amount"] <= amount < due):
            raise Refusal("The amount must be equal to the amount due.", field="amount")
        payment = self._new_payment(link, amount, method, "captured")
        row = {key: payment[key] for key in ("amount", "created_at", "method", "status")}
        link["payments"] = [*(link["payments"] or []), row | {"payment_id": payment["id"], "plink_id": link_id}]
        self._emit("payment.authorized", {"payment": payment | {"status": "authorized", "fee": None, "tax": None}})
        self._emit("payment.captured", {"payment": dict(payment)})
        if is_open:
            self._settle_link(link, payment)
        return payment

    def fail(self, link_id: str) -> Entity:
        """Let a payment attempt fail at the bank."""
        payment = self._new_payment(self.link(link_id), self.link(link_id)["amount"], "upi", "failed")
        payment |= {"error_code": "BAD_REQUEST_ERROR", "error_reason": "payment_declined", "error_source": "customer"}
        self._emit("payment.failed", {"payment": dict(payment)})
        return payment

    def payment(self, payment_id: str) -> Entity:
        """Return a payment by id."""
        if not re.fullmatch(r"pay_[A-Za-z0-9]{14}", payment_id):
            raise Refusal(f"{payment_id} is not a valid id.")
        if payment_id not in self.payments:
            raise Refusal("The id provided does not exist")
        return self.payments[payment_id]

    def refund(self, payment_id: str, body: Entity, key: str | None) -> Entity:
        """Give money back, once per idempotency key."""
        digest = hashlib.sha256(json.dumps([payment_id, body], sort_keys=True).encode()).hexdigest()
        if key is not None:
            check_refund_key(key)
            if key in self._refund_keys:
                earlier_digest, refund_id = self._refund_keys[key]
                if earlier_digest != digest:
                    raise Refusal(
                        "Different request with the same idempotency key has already been processed.", status=409
                    )
                return self.refunds[refund_id]
        payment = self.payment(payment_id)
        amount = refundable(payment, body)
        refund: Entity = {
            "id": _new_id("rfnd"),
            "entity": "refund",
            "amount": amount,
            "currency": "INR",
            "payment_id": payment_id,
            "notes": body.get("notes") or [],
            "receipt": body.get("receipt"),
            "acquirer_data": {"arn": None},
            "created_at": self._now(),
            "batch_id": None,
            "status": self._refund_status,
            "speed_requested": body.get("speed", "normal"),
            "speed_processed": "normal",
        }
        payment["amount_refunded"] += amount
        whole = payment["amount_refunded"] == payment["amount"]
        payment |= {"refund_status": "full" if whole else "partial", "status": "refunded" if whole else "captured"}
        self.refunds[refund["id"]] = refund
        if key is not None:
            self._refund_keys[key] = (digest, refund["id"])
        self._emit("refund.created", {"refund": dict(refund), "payment": dict(payment)})
        if refund["status"] != "pending":
            self._emit("refund.processed", {"refund": dict(refund), "payment": dict(payment)})
        return refund

    def settle_refund(self, refund_id: str, status: str) -> Entity:
        """Let a pending refund end, `processed` or `failed`."""
        refund = self.refund_by_id(refund_id)
        refund["status"] = status
        self._emit(f"refund.{status}", {"refund": dict(refund), "payment": dict(self.payments[refund["payment_id"]])})
        return refund

    def refund_by_id(self, refund_id: str) -> Entity:
        """Return a refund by id."""
        if refund_id not in self.refunds:
            raise Refusal("The id provided does not exist")
        return self.refunds[refund_id]

    def refunds_of(self, payment_id: str) -> list[Entity]:
        """Return the refunds of a payment, newest first."""
        self.payment(payment_id)
        return [refund for refund in reversed(self.refunds.values()) if refund["payment_id"] == payment_id]

    def _new_payment(self, link: Entity, amount: int, method: str, status: str) -> Entity:
        link.setdefault("order_id", _new_id("order"))
        captured = status == "captured"
        net_fee = percent_of(amount, Decimal(2))
        tax = percent_of(net_fee, Decimal(18))
        payment: Entity = {
            "id": _new_id("pay"),
            "entity": "payment",
            "amount": amount,
            "currency": "INR",
            "status": status,
            "order_id": link["order_id"],
            "method": method,
            "amount_refunded": 0,
            "refund_status": None,
            "captured": captured,
            "description": "#" + link["id"].removeprefix("plink_"),
            "contact": link["customer"].get("contact"),
            "email": link["customer"].get("email"),
            "notes": link["notes"] or [],
            "fee": net_fee + tax if captured else None,
            "tax": tax if captured else None,
            "error_code": None,
            "error_reason": None,
            "acquirer_data": {"rrn": "".join(secrets.choice(string.digits) for _ in range(12))},
            "created_at": self._now(),
        }
        self.payments[payment["id"]] = payment
        return payment

    def _settle_link(self, link: Entity, payment: Entity) -> None:
        link["amount_paid"] += payment["amount"]
        paid = link["amount_paid"] == link["amount"]
        link |= {"status": "paid" if paid else "partially_paid", "updated_at": self._now()}
        order: Entity = {
            # without its prefix, as in the published samples
            "id": link["order_id"].removeprefix("order_"),
            "amount": link["amount"],
            "amount_paid": link["amount_paid"],
            "amount_due": link["amount"] - link["amount_paid"],
            "currency": "INR",
            "receipt": link["reference_id"],
            "status": "paid" if paid else "attempted",
            "notes": link["notes"] or [],
        }
        # the link inside an event shows no payments
        shown = {key: value for key, value in link.items() if key != "payments"}
        payload = {"payment_link": shown, "order": order, "payment": dict(payment)}
        if paid:
            self._emit("order.paid", {"order": order | {"id": link["order_id"]}, "payment": dict(payment)})
        self._emit(f"payment_link.{link['status']}", payload)

    def _now(self) -> int:
        return int(self._clock().timestamp())


def _new_id(prefix: str) -> str:
    """Return prefix and 14 letters or digits. Random, so that a restarted simulator never reuses an id."""
    return f"{prefix}_" + "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(14))
