"""A message to a patient or doctor, whichever channel carries it, and how far it got.

Nothing here says what the message is about: notifications carry a name, an order number and a link, never a result.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Channel(StrEnum):
    """Ways to reach a person, in the order they are usually tried."""

    WHATSAPP = "whatsapp"
    SMS = "sms"
    EMAIL = "email"


class DeliveryState(StrEnum):
    """How far a message got. Providers report out of order and repeat themselves, so states only move upwards."""

    ACCEPTED = "accepted"
    """The provider took it. For e-mail over SMTP this is the last thing ever heard."""
    SENT = "sent"
    FAILED = "failed"
    """Will not arrive on this channel. A later proof of delivery still wins over it."""
    DELIVERED = "delivered"
    READ = "read"

    @property
    def rank(self) -> int:
        """Return the order of progress; a state with a lower rank never replaces a higher one."""
        return _RANK[self]

    def advanced(self, reported: DeliveryState) -> DeliveryState:
        """Return the state after the provider reported `reported`."""
        return reported if reported.rank > self.rank else self


_RANK = {state: rank for rank, state in enumerate(DeliveryState)}

_KIND_PREFIX = "message."


def delivery_kind(state: DeliveryState) -> str:
    """Return the `PartnerEvent.kind` that reports `state`, e.g. `message.delivered`."""
    return f"{_KIND_PREFIX}{state}"


def delivery_state_of(kind: str) -> DeliveryState | None:
    """Return the state that an event kind reports, or None when the event is about something else."""
    name = kind.removeprefix(_KIND_PREFIX)
    if name == kind or name not in set(DeliveryState):
        return None
    return DeliveryState(name)


@dataclass(frozen=True)
class OutboundMessage:
    """One message to one person. What identifies the person or opens the document stays out of its repr.

    Attributes:
        notification_id: Our id; providers echo it in their status reports, so a report finds its message.
        to: Phone number in E.164 (`+919812345678`), or an e-mail address.
        template: Name of the approved template; where the channel has none, only its text is used.
        language: Language code of the template, e.g. `en` or `hi`.
        parameters: Values of the template's placeholders, in order.
        text: The whole text as a person reads it, for channels that carry text.
        subject: For e-mail.
        document_url: A signed, expiring link to the document, or "".
        document_name: File name shown to the reader, or "".
    """

    notification_id: str
    to: str = field(repr=False)
    template: str
    language: str
    parameters: tuple[str, ...] = field(repr=False)
    text: str = field(repr=False)
    subject: str = field(default="", repr=False)
    document_url: str = field(default="", repr=False)
    document_name: str = field(default="", repr=False)


@dataclass(frozen=True)
class SentMessage:
    """What the provider said when it was handed a message.

    Attributes:
        provider_id: The provider's id of the message (`wamid…`, `SM…`, the Message-ID).
    """

    provider_id: str
    state: DeliveryState
