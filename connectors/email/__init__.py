"""E-mail through any SMTP relay: plain text with a link, no attachment.

There is no webhook: a relay answers once, on the connection, and whatever happens later (a bounce, a read receipt)
comes back as mail to the sender's mailbox, not as a callback. What is known of an e-mail ends with `accepted`.

Source: RFC 5321 (SMTP), RFC 5322 (message format), RFC 3207 (STARTTLS), RFC 4954 (AUTH), read 2026-11-22.
"""

from connectors.email.connector import EmailConnector
from connectors.email.settings import EmailSettings

__all__ = ["EmailConnector", "EmailSettings"]
