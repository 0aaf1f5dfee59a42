"""Razorpay on a loopback port: the API, the hosted payment page, signed webhooks.

`create_app()` serves it. A person opens a link's `short_url` and presses a button; the money is captured and the
webhooks `payment.authorized`, `payment.captured`, `order.paid`, `payment_link.paid` go out, each with its own event id.

Source: razorpay.com/docs, "API Authentication", "Errors", "Webhooks", read 2026-11-22.
"""

from __future__ import annotations

import hashlib
import hmac
import html
import json
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from urllib.parse import parse_qsl, urlencode

import httpx
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from connectors.razorpay.simulated_account import SimulatedAccount
from connectors.razorpay.simulated_rules import Entity, Refusal
from connectors.simulation import (
    Behaviour,
    WebhookSender,
    basic_credentials,
    bounded_body,
    json_object,
    page,
    simulator_app,
    table,
)
from domain.clock import on_paper, utc_now
from domain.money import formatted

ACCOUNT_ID = "acc_LabSetuSimula1"


def create_app(
    *,
    key_id: str = "rzp_test_labsetu",
    key_secret: str = "simulated-key-secret",
    webhook_secret: str = "simulated-webhook-secret",
    webhook_urls: Sequence[str] = (),
    public_url: str = "",
    refund_status: str = "processed",
    clock: Callable[[], datetime] = utc_now,
    behaviour: Behaviour | None = None,
    webhook_client: httpx.AsyncClient | None = None,
) -> FastAPI:
    """Return the simulator. `app.state.account` and `app.state.sender` are for tests.

    Args:
        key_id: The only key it knows; the prefix decides test or live mode.
        key_secret: Of that key; also signs the query of the return page.
        webhook_secret: Signs the webhooks.
        webhook_urls: Who gets them.
        public_url: Base of `short_url`; by default where the request came in.
        refund_status: `processed`, or `pending` until `POST /_sim/refunds/{id}/{processed|failed}`.
        clock: Returns aware UTC.
        behaviour: Fault switches.
        webhook_client: How webhooks are sent.
    """
    sender = WebhookSender(behaviour or Behaviour(), webhook_urls, client=webhook_client)

    def emit(event: str, payload: Entity) -> None:
        sender.queue(event, *_signed_event(event, payload, webhook_secret, int(clock().timestamp())))

    account = SimulatedAccount(key_id, clock, emit, refund_status)

    def snapshot() -> dict[str, object]:
        return {"links": account.links, "payments": account.payments, "refunds": account.refunds}

    app = simulator_app("razorpay", sender, snapshot=snapshot, tick=account.expire_due, spared=("/pay/",))
    app.state.account, app.state.sender = account, sender

    async def authenticate(request: Request) -> None:
        if basic_credentials(request.headers.get("authorization", "")) != (key_id, key_secret):
            raise Refusal("The api key provided is invalid", status=401)
        account.expire_due()

    app.add_exception_handler(Refusal, _refuse)
    partner = APIRouter(prefix="/v1", dependencies=[Depends(authenticate)])
    _add_link_routes(partner, account, public_url)
    _add_payment_routes(partner, account)
    app.include_router(partner)
    _add_overview(app, account)
    _add_payment_page(app, account, key_secret)
    return app


def _add_link_routes(partner: APIRouter, account: SimulatedAccount, public_url: str) -> None:
    @partner.post("/payment_links")
    async def create_link(request: Request) -> JSONResponse:
        body = json_object(await bounded_body(request))
        return JSONResponse(account.create_link(body, public_url or str(request.base_url).rstrip("/")))

    @partner.get("/payment_links")
    async def list_links(reference_id: str = "", payment_id: str = "") -> JSONResponse:
        return JSONResponse({"payment_links": account.find_links(reference_id=reference_id, payment_id=payment_id)})

    @partner.get("/payment_links/{link_id}")
    async def fetch_link(link_id: str) -> JSONResponse:
        return JSONResponse(account.link(link_id))

    @partner.post("/payment_links/{link_id}/cancel")
    async def cancel_link(link_id: str) -> JSONResponse:
        return JSONResponse(account.cancel_link(link_id))


def _add_payment_routes(partner: APIRouter, account: SimulatedAccount) -> None:
    @partner.get("/payments")
    async def list_payments(count: int = 10, skip: int = 0) -> JSONResponse:
        return _collection(list(account.payments.values())[::-1][skip : skip + min(count, 100)])

    @partner.get("/payments/{payment_id}")
    async def fetch_payment(payment_id: str) -> JSONResponse:
        return JSONResponse(account.payment(payment_id))

    @partner.get("/payments/{payment_id}/refunds")
    async def list_refunds(payment_id: str, count: int = 10) -> JSONResponse:
        return _collection(account.refunds_of(payment_id)[: min(count, 100)])

    @partner.post("/payments/{payment_id}/refund")
    async def refund(payment_id: str, request: Request) -> JSONResponse:
        body = json_object(await bounded_body(request) or b"{}")
        return JSONResponse(account.refund(payment_id, body, request.headers.get("x-refund-idempotency")))

    @partner.get("/refunds/{refund_id}")
    async def fetch_refund(refund_id: str) -> JSONResponse:
        return JSONResponse(account.refund_by_id(refund_id))


def _add_overview(app: FastAPI, account: SimulatedAccount) -> None:
    @app.get("/")
    async def overview() -> Response:
        account.expire_due()
        links = [
            (
                link["id"],
                link["reference_id"],
                formatted(link["amount"]),
                formatted(link["amount_paid"]),
                link["status"],
            )
            for link in account.find_links()
        ]
        opened = "".join(
            f'<li><a href="/pay/{link["id"]}">{html.escape(link["reference_id"] or link["id"])}</a></li>'
            for link in account.find_links()
            if link["status"] in ("created", "partially_paid")
        )
        payments = [(one["id"], formatted(one["amount"]), one["status"]) for one in account.payments.values()]
        refunds = [(one["id"], formatted(one["amount"]), one["status"]) for one in account.refunds.values()]
        return page(
            "Razorpay simulator",
            table("Payment links", ("link", "reference", "amount", "paid", "status"), links),
            f"<h2>Pay</h2><ul>{opened}</ul>",
            table("Payments", ("payment", "amount", "status"), payments),
            table("Refunds", ("refund", "amount", "status"), refunds),
        )

    @app.post("/_sim/refunds/{refund_id}/{status}")
    async def settle_refund(refund_id: str, status: str) -> JSONResponse:
        if status not in ("processed", "failed"):
            raise Refusal("a refund ends processed or failed")
        return JSONResponse(account.settle_refund(refund_id, status))


def _add_payment_page(app: FastAPI, account: SimulatedAccount, key_secret: str) -> None:
    @app.get("/pay/{link_id}")
    async def payment_page(link_id: str) -> Response:
        account.expire_due()
        return _payment_page(account.link(link_id))

    @app.post("/pay/{link_id}")
    async def press_button(link_id: str, request: Request) -> Response:
        """Pay, pay a part (`amount` in paise), or let it fail (`outcome=fail`)."""
        account.expire_due()
        form = dict(parse_qsl((await bounded_body(request)).decode(errors="replace"), max_num_fields=20))
        link = account.link(link_id)
        if form.get("outcome") == "fail":
            account.fail(link_id)
            return _payment_page(link, "The bank declined the payment.")
        amount = form.get("amount", "")[:12]
        payment = account.pay(link_id, int(amount) if amount.isdecimal() else None, form.get("method", "upi"))
        if link.get("callback_url"):
            return RedirectResponse(_return_url(link, payment, key_secret), 303)
        return _payment_page(link, f"Paid. Payment id {payment['id']}.")


def _payment_page(link: Entity, news: str = "") -> Response:
    due = link["amount"] - link["amount_paid"]
    expiry = on_paper(datetime.fromtimestamp(link["expire_by"], utc_now().tzinfo)) if link["expire_by"] else "never"
    facts = [("For", link["description"]), ("Amount due", formatted(due)), ("Status", link["status"]), ("Ends", expiry)]
    is_open = link["status"] in ("created", "partially_paid")
    late = not is_open and link["status"] != "paid" and not link["payments"]
    buttons = ""
    if is_open or late:
        label = f"Pay {formatted(due)}" if is_open else "Let a late payment arrive"
        buttons = (
            f'<form method="post"><button name="outcome" value="pay">{html.escape(label)}</button> '
            '<button name="outcome" value="fail">Let it fail</button></form>'
        )
    notice = f"<p><strong>{html.escape(news)}</strong></p>" if news else ""
    return page("Payment (simulated)", notice, table(link["reference_id"] or link["id"], ("", ""), facts), buttons)


def _signed_event(event: str, payload: Entity, secret: str, now: int) -> tuple[bytes, dict[str, str]]:
    link = payload.get("payment_link")
    envelope = {
        "entity": "event",
        "account_id": ACCOUNT_ID,
        "event": event,
        "contains": list(payload),
        "payload": {name: {"entity": entity} for name, entity in payload.items()},
        # for link events Razorpay puts the link's creation time here, not the event's
        "created_at": link["created_at"] if link else now,
    }
    body = json.dumps(envelope, separators=(",", ":"), ensure_ascii=False).encode()
    headers = {
        "content-type": "application/json",
        "x-razorpay-signature": hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(),
        "x-razorpay-event-id": secrets.token_hex(7),
    }
    return body, headers


def _return_url(link: Entity, payment: Entity, key_secret: str) -> str:
    values = (link["id"], link["reference_id"], link["status"], payment["id"])
    signature = hmac.new(key_secret.encode(), "|".join(values).encode(), hashlib.sha256).hexdigest()
    names = ("payment_link_id", "payment_link_reference_id", "payment_link_status", "payment_id", "signature")
    query = {f"razorpay_{name}": value for name, value in zip(names, (*values, signature), strict=True)}
    separator = "&" if "?" in link["callback_url"] else "?"
    return f"{link['callback_url']}{separator}{urlencode(query)}"


def _collection(items: list[Entity]) -> JSONResponse:
    return JSONResponse({"entity": "collection", "count": len(items), "items": items})


async def _refuse(_request: Request, error: Exception) -> Response:
    refusal = error if isinstance(error, Refusal) else Refusal("unknown")
    detail: dict[str, object] = {
        "code": "BAD_REQUEST_ERROR",
        "description": refusal.description,
        "source": "business",
        "step": "NA",
        "reason": "input_validation_failed" if refusal.field else "NA",
        "metadata": {},
    }
    if refusal.field:
        detail["field"] = refusal.field
    return JSONResponse({"error": detail}, refusal.status)
