"""Sending e-mail over SMTP, off the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import smtplib
import ssl
import time
from collections.abc import Callable, Iterator
from datetime import datetime

from connectors.email import mapping
from connectors.email.errors import lost, refused
from connectors.email.settings import EmailSettings, Security
from connectors.email.wire import OutgoingMail
from connectors.http import CallJournal, CallRecord, NoJournal
from domain.clock import utc_now
from domain.errors import ConnectorError, RequestError
from domain.messaging import DeliveryState, OutboundMessage, SentMessage

_OK = 250
_SUCCESS = range(200, 300)
_REFUSALS = range(400, 600)


class EmailConnector:
    """One SMTP relay; a `MessageChannel`. Each send is a connection of its own.

    Args:
        settings: The relay.
        journal: Gets one entry per send, without address and text.
        clock: Returns aware UTC, for the Date header.
    """

    name = "email"

    def __init__(
        self, settings: EmailSettings, journal: CallJournal | None = None, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._settings = settings
        self._journal = journal or NoJournal()
        self._clock = clock

    @property
    def host(self) -> str:
        """Return where mail goes, for people."""
        return self._settings.host

    async def send(self, message: OutboundMessage) -> SentMessage:
        """Hand one mail to the relay. Accepted is the last thing ever heard of it.

        Raises:
            RequestError: The message or the settings are wrong; nothing was sent.
            AuthError: The relay refuses user or password.
            RejectedError: The relay refuses this mail or this address for good.
            UnavailableError: Not reached, or "not now"; nothing was accepted.
            OutcomeUnknownError: The connection broke after the text was handed over.
        """
        letter = mapping.mail(message, self._settings, self._clock())
        await self._journalled("send", message.notification_id, lambda: self._deliver(letter))
        return SentMessage(provider_id=letter.message_id, state=DeliveryState.ACCEPTED)

    async def greet(self) -> None:
        """Connect, log in and leave, without sending anything; raises as `send` does."""
        await self._journalled("greet", "", self._leave_again)

    async def _journalled(self, operation: str, reference: str, work: Callable[[], None]) -> None:
        started = time.monotonic_ns()
        outcome, code = "ok", _OK
        try:
            await asyncio.to_thread(work)
        except ConnectorError as error:
            error.operation = operation
            outcome, code = error.code, int(error.partner_code or 0)
            raise
        finally:
            await self._journal.record(
                CallRecord(
                    connector=self.name, operation=operation, reference=reference, method="SMTP",
                    url=f"smtp://{self._settings.host}:{self._settings.port}", request_headers={}, request_body="",
                    status=code, response_body="", outcome=outcome,
                    elapsed_ms=(time.monotonic_ns() - started) // 1_000_000,
                )
            )  # fmt: skip

    def _leave_again(self) -> None:
        with self._session():
            pass

    def _deliver(self, letter: OutgoingMail) -> None:
        with self._session() as client:
            _expect(client.mail(letter.sender), "the sender")
            _expect(client.rcpt(letter.recipient), "the recipient")
            try:
                reply = client.data(letter.content)
            except smtplib.SMTPDataError as error:
                # refused before the text was handed over
                raise refused(error.smtp_code, error.smtp_error, during="the message") from None
            except (OSError, smtplib.SMTPException) as error:
                raise lost(error, handed_over=True) from error
            if reply[0] not in _SUCCESS and reply[0] not in _REFUSALS:
                raise lost(smtplib.SMTPException("no reply code"), handed_over=True)
            _expect(reply, "the message")

    @contextlib.contextmanager
    def _session(self) -> Iterator[smtplib.SMTP]:
        """Yield a greeted, protected and authenticated connection; what breaks in it becomes a ConnectorError."""
        try:
            with contextlib.closing(self._connected()) as client:
                self._log_in(client)
                yield client
                with contextlib.suppress(OSError, smtplib.SMTPException):
                    client.quit()
        except smtplib.SMTPResponseException as error:
            raise refused(error.smtp_code, error.smtp_error, during="the connection") from None
        except smtplib.SMTPNotSupportedError as error:
            raise RequestError(
                "the mail relay offers no STARTTLS or no login that we know", code="RELAY_UNSUITABLE",
                action="Check port and protection in the e-mail settings.", connector=self.name, operation="send",
            ) from error  # fmt: skip
        except (OSError, smtplib.SMTPException) as error:
            raise lost(error, handed_over=False) from error

    def _connected(self) -> smtplib.SMTP:
        settings = self._settings
        # our own name would be looked up in the DNS, and would tell the relay about this machine
        hello, timeout_s = settings.message_id_domain, settings.timeout_s
        if settings.security is Security.TLS:
            return smtplib.SMTP_SSL(settings.host, settings.port, hello, timeout=timeout_s, context=self._tls())
        return smtplib.SMTP(settings.host, settings.port, hello, timeout=timeout_s)

    def _log_in(self, client: smtplib.SMTP) -> None:
        client.ehlo_or_helo_if_needed()
        if self._settings.security is Security.STARTTLS:
            _expect(client.starttls(context=self._tls()), "STARTTLS")
            client.ehlo()
        if self._settings.username:
            client.login(self._settings.username, self._settings.password.get_secret_value())

    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self._settings.ca_file or None)


def _expect(reply: tuple[int, bytes], during: str) -> None:
    code, text = reply
    if code not in _SUCCESS:
        raise refused(code, text, during=during)
