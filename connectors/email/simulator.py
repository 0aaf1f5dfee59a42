"""An SMTP relay on a loopback port that keeps what it is given, and a page to read it.

`MailServer` speaks SMTP (with STARTTLS and login when asked to); `create_app(server)` is the mailbox over HTTP, with
the switches every simulator has. Addresses beginning with `unknown` do not exist (550), with `full` are over quota
(452).

Source: RFC 5321, 4.2 (replies); RFC 4954 (AUTH); read 2026-11-22.
"""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.policy
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from fastapi import FastAPI
from fastapi.responses import Response

from connectors.simulation import Behaviour, WebhookSender, page, simulator_app, table
from domain.clock import on_paper, utc_now

MAX_MAIL_BYTES = 10 * 1024 * 1024
_GREETING_NAME = "relay.simulated"
_DOWN = "421 4.3.2 Service not available"


@dataclass(frozen=True)
class StoredMail:
    """A mail that was accepted.

    Attributes:
        message: The parsed mail.
        raw: Its exact bytes.
    """

    sender: str
    recipient: str
    message: EmailMessage
    raw: bytes
    received_at: datetime

    @property
    def text(self) -> str:
        """Return the plain-text body."""
        body = self.message.get_body(("plain",))
        return str(body.get_content()) if body is not None else ""


class MailServer:
    """A relay. `start` it in the event loop that serves it, then read `port` and `mails`.

    Args:
        host: Where to listen.
        port: 0 takes a free one.
        username: With `password`, the only login it knows; without, everybody may send.
        password: Of that user.
        tls_context: Offers STARTTLS with this certificate.
        implicit_tls: Speaks TLS from the first byte instead.
        behaviour: `down` refuses every connection's first command with 421, `slow_s` delays the answer to the text,
            `fail_next` refuses the text with 451 for a `fail_status` of 500 and above and with 554 below,
            `drop_after_next` keeps the mail and then breaks the connection.
        clock: Returns aware UTC.
    """

    def __init__(
        self, *, host: str = "127.0.0.1", port: int = 0, username: str = "", password: str = "",
        tls_context: ssl.SSLContext | None = None, implicit_tls: bool = False, behaviour: Behaviour | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:  # fmt: skip
        self.host, self.port = host, port
        self.behaviour = behaviour or Behaviour()
        self.mails: list[StoredMail] = []
        self.refused = 0
        self._login = (username.encode(), password.encode())
        self._tls_context = tls_context
        self._implicit_tls = implicit_tls
        self._clock = clock
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        tls = self._tls_context if self._implicit_tls else None
        self._server = await loop.create_server(lambda: self._protocol(loop), self.host, self.port, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def handle_EHLO(
        self, _server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        """Greet, unless the relay is down."""
        if self.behaviour.down:
            return [_DOWN]
        session.host_name = hostname
        return responses

    async def handle_HELO(self, _server: SMTP, session: Session, _envelope: Envelope, hostname: str) -> str:
        """Greet a client that knows no EHLO, unless the relay is down."""
        if self.behaviour.down:
            return _DOWN
        session.host_name = hostname
        return f"250 {_GREETING_NAME}"

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Accept a recipient that exists and has room."""
        local = address.partition("@")[0].lower()
        if local.startswith("unknown"):
            self.refused += 1
            return "550 5.1.1 No such user here"
        if local.startswith("full"):
            self.refused += 1
            return "452 4.2.2 Mailbox full"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:
        """Keep the mail."""
        if self.behaviour.slow_s:
            await asyncio.sleep(self.behaviour.slow_s)
        if self.behaviour.fail_next:
            self.refused += 1
            status = self.behaviour.take_failure()
            return "451 4.3.0 Try again later" if status >= 500 else "554 5.6.0 Message refused"
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        message = email.message_from_bytes(content, policy=email.policy.default)
        for recipient in envelope.rcpt_tos:
            self.mails.append(StoredMail(envelope.mail_from or "", recipient, message, content, self._clock()))
        if self.behaviour.take_drop() and isinstance(server.transport, asyncio.Transport):
            server.transport.abort()
        return "250 2.0.0 OK: kept"

    def _protocol(self, loop: asyncio.AbstractEventLoop) -> SMTP:
        needs_login = bool(self._login[0])
        offered = None if self._implicit_tls else self._tls_context
        return SMTP(
            self,
            hostname=_GREETING_NAME,
            ident="simulated",
            loop=loop,
            data_size_limit=MAX_MAIL_BYTES,
            tls_context=offered,
            require_starttls=offered is not None,
            auth_required=needs_login,
            auth_require_tls=offered is not None,
            authenticator=self._authenticate if needs_login else None,
        )

    def _authenticate(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, given: object
    ) -> AuthResult:
        known = isinstance(given, LoginPassword) and (given.login, given.password) == self._login
        return AuthResult(success=known, handled=False)


def create_app(server: MailServer, *, run_server: bool = False) -> FastAPI:
    """Return the mailbox of `server` over HTTP.

    Args:
        server: Its `behaviour` is what `POST /_sim/behaviour` changes.
        run_server: True starts and stops it together with the application.
    """
    sender = WebhookSender(server.behaviour)

    def snapshot() -> dict[str, object]:
        mails = [
            {
                "to": one.recipient,
                "from": one.sender,
                "subject": str(one.message["Subject"]),
                "message_id": str(one.message["Message-ID"]),
                "text": one.text,
                "received_at": one.received_at.isoformat(),
            }
            for one in server.mails
        ]
        return {"port": server.port, "refused": server.refused, "mails": mails}

    app = simulator_app("email", sender, snapshot=snapshot)
    app.state.server = server
    if run_server:
        app.router.lifespan_context = _with_server(app, server)

    @app.get("/")
    async def overview() -> Response:
        rows = [
            (on_paper(one.received_at), one.recipient, str(one.message["Subject"]), one.text)
            for one in reversed(server.mails)
        ]
        return page("Mailbox (simulated)", table("Mails, newest first", ("at", "to", "subject", "text"), rows))

    return app


def _with_server(app: FastAPI, server: MailServer) -> Callable[[FastAPI], contextlib.AbstractAsyncContextManager[None]]:
    inner = app.router.lifespan_context

    @contextlib.asynccontextmanager
    async def lifespan(application: FastAPI) -> AsyncIterator[None]:
        async with inner(application):
            await server.start()
            try:
                yield
            finally:
                await server.stop()

    return lifespan
