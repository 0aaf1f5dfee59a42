"""Our messages as e-mails. Pure."""

from __future__ import annotations

import re
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from connectors.email.settings import EmailSettings
from connectors.email.wire import OutgoingMail
from domain.errors import RequestError
from domain.messaging import OutboundMessage

MAX_TEXT_CHARS = 100_000
MAX_SUBJECT_CHARS = 200

_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+")
_NOTIFICATION_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def mail(message: OutboundMessage, settings: EmailSettings, sent_at: datetime) -> OutgoingMail:
    """Return the e-mail: the text and, below it, the link; never an attachment.

    The Message-ID is made of the notification id alone, so that a repeated send is recognisable as the same mail.

    Args:
        message: `to` is one plain address.
        settings: From address and name.
        sent_at: Aware; goes into the Date header.

    Raises:
        RequestError: An address, subject or text that no header or body may hold.
    """
    _check(message)
    letter = EmailMessage(policy=SMTP)
    user, _, domain = settings.sender.rpartition("@")
    letter["From"] = Address(settings.sender_name, user, domain)
    letter["To"] = message.to
    if settings.reply_to:
        letter["Reply-To"] = settings.reply_to
    letter["Subject"] = message.subject
    letter["Date"] = format_datetime(sent_at)
    message_id = f"<{message.notification_id}@{settings.message_id_domain}>"
    letter["Message-ID"] = message_id
    # tells out-of-office robots to stay silent (RFC 3834, 5)
    letter["Auto-Submitted"] = "auto-generated"
    letter.set_content(_text(message), charset="utf-8", cte="quoted-printable")
    if message.language:
        # after the content: setting that removes every Content- header
        letter["Content-Language"] = message.language.replace("_", "-")
    return OutgoingMail(message_id, settings.sender, message.to, letter.as_bytes())


def _check(message: OutboundMessage) -> None:
    if not _ADDRESS.fullmatch(message.to):
        raise _wrong("not a plain e-mail address", "Correct the address in the contact details.")
    if not _NOTIFICATION_ID.fullmatch(message.notification_id):
        raise _wrong("the notification id does not fit into a Message-ID", "Use letters, digits, dot, dash.")
    # a line break in a header would let its value add headers of its own
    if not message.subject.strip() or len(message.subject) > MAX_SUBJECT_CHARS or _CONTROL.search(message.subject):
        raise _wrong(f"a subject is one line of at most {MAX_SUBJECT_CHARS} characters", "Correct the template.")
    if not re.fullmatch(r"[A-Za-z]{0,8}([_-][A-Za-z0-9]{1,8})*", message.language):
        raise _wrong("not a language code", "Correct the template.")
    if not message.text.strip() or len(message.text) > MAX_TEXT_CHARS:
        raise _wrong(f"an e-mail has 1 to {MAX_TEXT_CHARS} characters of text", "Correct the template.")
    if message.document_url and (_CONTROL.search(message.document_url) or " " in message.document_url):
        raise _wrong("the link holds blanks or control characters", "Quote the link.")


def _text(message: OutboundMessage) -> str:
    text = message.text.rstrip()
    if message.document_url and message.document_url not in text:
        text += f"\n\n{message.document_url}"
    return text + "\n"


def _wrong(what: str, action: str) -> RequestError:
    return RequestError(f"e-mail: {what}", code="MESSAGE_NOT_SENDABLE", action=action)
