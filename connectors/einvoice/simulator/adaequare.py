"""The portal as the GSP Adaequare shows it: plain JSON, `/test` in front for its sandbox.

Source: Adaequare GSP enriched e-invoice API as its public clients use it, 2026-09.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from connectors.einvoice.simulator.messages import RefusalError, Refused, refused
from connectors.einvoice.simulator.portal import Portal, parsed
from connectors.simulation import bounded_body

_BASE = "/enriched/ei/api/invoice"
_TOKEN_LIFE = timedelta(hours=24)


@dataclass
class AdaequareSurface:
    """Sign-in and envelopes; what is asked goes to the portal."""

    portal: Portal
    tokens: dict[str, datetime] = field(default_factory=dict)
    request_ids: set[str] = field(default_factory=set)

    def revoke(self) -> None:
        """Let every token end."""
        self.tokens.clear()

    def authenticate(self, headers: Mapping[str, str]) -> JSONResponse:
        """Give a token for the right application id and secret."""
        config = self.portal.config
        if (headers.get("gspappid"), headers.get("gspappsecret")) != (config.client_id, config.client_secret):
            return JSONResponse({"error": "invalid_client", "error_description": "Bad application id or secret"}, 401)
        token = secrets.token_urlsafe(48)
        self.tokens[token] = self.portal.clock() + _TOKEN_LIFE
        body = {"access_token": token, "token_type": "bearer", "expires_in": int(_TOKEN_LIFE.total_seconds())}
        return JSONResponse(body)

    def answer(
        self,
        headers: Mapping[str, str],
        done: str,
        ask: Callable[[str], tuple[dict[str, object], list[dict[str, object]]]],
    ) -> JSONResponse:
        """Check who calls, ask the portal, and put what it says into the envelope."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        expires_at = self.tokens.get(token)
        if scheme.lower() != "bearer" or expires_at is None or expires_at <= self.portal.clock():
            return JSONResponse({"error": "invalid_token", "error_description": "Token is expired or unknown"}, 401)
        try:
            result, notes = ask(self._taxpayer(headers))
        except RefusalError as refusal:
            message = ", ".join(f"{fault.code} : {fault.text}" for fault in refusal.faults)
            return JSONResponse({"success": False, "message": message, "result": refusal.notes})
        body: dict[str, object] = {"success": True, "message": done, "result": result}
        return JSONResponse(body | ({"info": notes} if notes else {}))

    def _taxpayer(self, headers: Mapping[str, str]) -> str:
        """Return the GSTIN that is signed in.

        Raises:
            RefusalError: Wrong user, password or GSTIN, or a request id used before.
        """
        config, request_id = self.portal.config, headers.get("requestid", "")
        if not request_id or request_id in self.request_ids:
            raise RefusalError(Refused("GSPERR100", "requestid is missing or was used before"))
        self.request_ids.add(request_id)
        gstin = headers.get("gstin", "")
        if not gstin:
            raise RefusalError(refused("1004"))
        if (headers.get("user_name"), headers.get("password")) != (config.username, config.password):
            raise RefusalError(refused("1008"))
        if gstin != config.gstin:
            raise RefusalError(refused("1015"))
        return gstin


def routes(surface: AdaequareSurface) -> APIRouter:
    """Return the GSP's paths, for production and sandbox alike."""
    router, portal = APIRouter(), surface.portal

    @router.post("/gsp/authenticate")
    async def authenticate(request: Request) -> JSONResponse:
        return surface.authenticate(request.headers)

    async def generate(request: Request) -> JSONResponse:
        body = parsed(await bounded_body(request))
        return surface.answer(request.headers, "IRN generated successfully", lambda gstin: portal.generate(gstin, body))

    async def cancel(request: Request) -> JSONResponse:
        body = parsed(await bounded_body(request))
        return surface.answer(
            request.headers, "E-Invoice is cancelled successfully", lambda gstin: (portal.cancel(gstin, body), [])
        )

    async def by_irn(request: Request, irn: str = "") -> JSONResponse:
        return surface.answer(request.headers, "E-Invoice found", lambda gstin: (portal.get(gstin, irn), []))

    async def by_document(request: Request, doctype: str = "", docnum: str = "", docdate: str = "") -> JSONResponse:
        return surface.answer(
            request.headers,
            "E-Invoice found",
            lambda gstin: (portal.get_by_document(gstin, doctype, docnum, docdate), []),
        )

    for prefix in ("", "/test"):
        router.add_api_route(f"{prefix}{_BASE}", generate, methods=["POST"])
        router.add_api_route(f"{prefix}{_BASE}/cancel", cancel, methods=["POST"])
        router.add_api_route(f"{prefix}{_BASE}/irn", by_irn, methods=["GET"])
        router.add_api_route(f"{prefix}{_BASE}/irnbydocdetails", by_document, methods=["GET"])
    return router
