"""WhatsApp Business Cloud API: approved templates with a document in the header, and status webhooks.

Used: `POST /{version}/{phone_number_id}/messages`, `GET /{version}/{phone_number_id}`, webhook field `messages`.
There is no idempotency key. A lost answer is an unknown outcome; the status webhook that echoes our notification id
(`biz_opaque_callback_data`) proves that the message exists.

Source: developers.facebook.com, WhatsApp Business Platform Cloud API (Graph v23.0 OpenAPI, error codes page updated
2026-05-15), read 2026-11-22.
"""

from connectors.whatsapp.connector import WhatsAppConnector
from connectors.whatsapp.settings import WhatsAppSettings

__all__ = ["WhatsAppConnector", "WhatsAppSettings"]
