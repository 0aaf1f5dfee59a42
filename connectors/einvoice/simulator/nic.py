"""The portal as NIC itself shows it: encrypted login and payloads.

Source: NIC e-invoice API, "Authentication" v1.04; "Generate", "Get" and "Cancel IRN" v1.03, read 2026-09-18.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse

from connectors.einvoice.crypto import KEY_BYTES, decrypt, decrypt_login, encrypt
from connectors.einvoice.simulator.messages import RefusalError, refused
from connectors.einvoice.simulator.portal import Portal, parsed, portal_time
from connectors.simulation import bounded_body

_BASE = "/eicore/v1.03/Invoice"

Outcome = tuple[dict[str, object], list[dict[str, object]]]


@dataclass
class _Session:
    token: str
    key: bytes
    expires_at: datetime


@dataclass
class NicSurface:
    """Sign-in, encryption and envelopes; what is asked goes to the portal."""

    portal: Portal
    session: _Session | None = field(default=None)

    def revoke(self) -> None:
        """Let the token end, as when the same user signs in elsewhere."""
        self.session = None

    def authenticate(self, headers: Mapping[str, str], raw: bytes) -> JSONResponse:
        """Give the token of the user: the one that lives, or a new one."""
        try:
            self._check_client(headers)
            login = self._opened(raw)
            app_key = self._checked_login(headers, login)
        except RefusalError as refusal:
            return self._refusal(refusal)
        session = self._session_for(force=login.get("ForceRefreshAccessToken") is True)
        granted = {
            "ClientId": self.portal.config.client_id,
            "UserName": self.portal.config.username,
            "AuthToken": session.token,
            "Sek": encrypt(app_key, session.key),
            "TokenExpiry": portal_time(session.expires_at),
        }
        return JSONResponse({"Status": 1, "Data": granted, "ErrorDetails": None, "InfoDtls": None})

    def answer(
        self, headers: Mapping[str, str], raw: bytes | None, ask: Callable[[str, object], Outcome]
    ) -> JSONResponse:
        """Check who calls, decrypt, ask the portal, encrypt."""
        try:
            self._check_client(headers)
            session = self._current(headers)
            body = None if raw is None else self._decrypted(session, raw)
            result, notes = ask(headers.get("gstin", ""), body)
        except RefusalError as refusal:
            return self._refusal(refusal)
        sealed = encrypt(session.key, json.dumps(result).encode())
        return JSONResponse({"Status": 1, "Data": sealed, "ErrorDetails": None, "InfoDtls": notes or None})

    def _check_client(self, headers: Mapping[str, str]) -> None:
        config = self.portal.config
        client, secret = _either(headers, "client_id", "client-id"), _either(headers, "client_secret", "client-secret")
        for missing, code in ((client, "1011"), (secret, "1012"), (headers.get("gstin", ""), "1004")):
            if not missing:
                raise RefusalError(refused(code))
        if (client, secret) != (config.client_id, config.client_secret):
            raise RefusalError(refused("1010"))

    def _opened(self, raw: bytes) -> dict[str, object]:
        body = parsed(raw)
        sealed = body.get("Data") if isinstance(body, dict) else None
        if not sealed:
            raise RefusalError(refused("5003"))
        try:
            login = decrypt_login(self.portal.login_key.private, str(sealed))
        except ValueError:
            raise RefusalError(refused("1020")) from None
        if not isinstance(login, dict):
            raise RefusalError(refused("1020"))
        return login

    def _checked_login(self, headers: Mapping[str, str], login: Mapping[str, object]) -> bytes:
        config = self.portal.config
        if not login.get("UserName"):
            raise RefusalError(refused("1006"))
        if (login.get("UserName"), login.get("Password")) != (config.username, config.password):
            raise RefusalError(refused("1008"))
        if headers.get("gstin") != config.gstin:
            raise RefusalError(refused("1015"))
        try:
            app_key = base64.b64decode(str(login.get("AppKey")), validate=True)
        except ValueError:
            app_key = b""
        if len(app_key) != KEY_BYTES:
            raise RefusalError(refused("1016"))
        return app_key

    def _session_for(self, *, force: bool) -> _Session:
        """Return the living session; forcing a new one works only near its end."""
        now, config = self.portal.clock(), self.portal.config
        living = self.session
        if living is not None and now < living.expires_at:
            near_end = now >= living.expires_at - config.force_refresh_window
            if not (force and near_end):
                return living
        self.session = _Session(secrets.token_urlsafe(18), secrets.token_bytes(KEY_BYTES), now + config.token_life)
        return self.session

    def _current(self, headers: Mapping[str, str]) -> _Session:
        session, config = self.session, self.portal.config
        stated = (headers.get("authtoken"), headers.get("user_name"), headers.get("gstin"))
        if session is None or self.portal.clock() >= session.expires_at:
            raise RefusalError(refused("1005"))
        if stated != (session.token, config.username, config.gstin):
            raise RefusalError(refused("1005"))
        return session

    @staticmethod
    def _decrypted(session: _Session, raw: bytes) -> object:
        body = parsed(raw)
        sealed = body.get("Data") if isinstance(body, dict) else None
        if not sealed:
            raise RefusalError(refused("5003"))
        try:
            return parsed(decrypt(session.key, str(sealed)))
        except ValueError:
            raise RefusalError(refused("1020")) from None

    def _refusal(self, refusal: RefusalError) -> JSONResponse:
        details: object = [{"ErrorCode": fault.code, "ErrorMessage": fault.text} for fault in refusal.faults]
        if self.portal.config.error_details_base64:
            details = base64.b64encode(json.dumps(details).encode()).decode()
        body = {"Status": 0, "Data": None, "ErrorDetails": details, "InfoDtls": refusal.notes or None}
        return JSONResponse(body)


def _either(headers: Mapping[str, str], name: str, other: str) -> str:
    return headers.get(name) or headers.get(other, "")


def routes(surface: NicSurface) -> APIRouter:
    """Return NIC's paths."""
    router, portal = APIRouter(), surface.portal

    @router.post("/eivital/v1.04/auth")
    async def authenticate(request: Request) -> JSONResponse:
        return surface.authenticate(request.headers, await bounded_body(request))

    @router.get("/eivital/v1.04/heartbeat/ping")
    async def ping() -> PlainTextResponse:
        return PlainTextResponse(f"e-Invoice Vital:-{portal_time(portal.clock())}")

    @router.post(_BASE)
    async def generate(request: Request) -> JSONResponse:
        return surface.answer(request.headers, await bounded_body(request), portal.generate)

    @router.post(f"{_BASE}/Cancel")
    async def cancel(request: Request) -> JSONResponse:
        raw = await bounded_body(request)
        return surface.answer(request.headers, raw, lambda gstin, body: (portal.cancel(gstin, body), []))

    @router.get(f"{_BASE}/irn/{{irn}}")
    async def by_irn(request: Request, irn: str) -> JSONResponse:
        return surface.answer(request.headers, None, lambda gstin, _: (portal.get(gstin, irn), []))

    @router.get(f"{_BASE}/irnbydocdetails")
    async def by_document(request: Request, doctype: str = "", docnum: str = "", docdate: str = "") -> JSONResponse:
        return surface.answer(
            request.headers, None, lambda gstin, _: (portal.get_by_document(gstin, doctype, docnum, docdate), [])
        )

    return router
