"""The one thing WhatsApp, SMS and e-mail have in common."""

from __future__ import annotations

from typing import Protocol

from domain.messaging import OutboundMessage, SentMessage


class MessageChannel(Protocol):
    """A way to send a message. Sending is never safe to repeat: no provider of these honours an idempotency key."""

    @property
    def name(self) -> str:
        """Return the channel's name, a value of `domain.messaging.Channel`."""
        ...

    async def send(self, message: OutboundMessage) -> SentMessage:
        """Hand one message to the provider.

        Raises:
            RequestError: The message or the settings are wrong; nothing was sent.
            AuthError: The provider refuses our credentials, or the account is blocked.
            RejectedError: The provider refuses this message; another channel may work. `partner_code` says why.
            RateLimitedError: Too fast.
            UnavailableError: Nothing was accepted.
            OutcomeUnknownError: It may have been accepted; a status report with our notification id proves it.
        """
        ...
