"""What goes over the wire: an envelope and the bytes of one message."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class OutgoingMail:
    """One mail, ready for `MAIL FROM`, `RCPT TO` and `DATA`.

    Attributes:
        message_id: Value of the Message-ID header, with its angle brackets.
        content: Headers and body with CRLF line ends.
    """

    message_id: str
    sender: str
    recipient: str = field(repr=False)
    content: bytes = field(repr=False)
