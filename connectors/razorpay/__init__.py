"""Razorpay: payment links and refunds.

Used: `POST/GET /v1/payment_links`, `GET /v1/payment_links/:id`, `POST …/:id/cancel`, `POST /v1/payments/:id/refund`,
`GET /v1/payments/:id[/refunds]`, `GET /v1/refunds/:id`, and webhooks `payment_link.*`, `payment.*`, `refund.*`.
Only standard links: UPI links do not work in test mode and cannot be paid in parts; standard links take UPI too.

Source: razorpay.com/docs API reference v1 (Markdown edition of 2026-04-09), read 2026-11-22.
"""

from connectors.razorpay.connector import RazorpayConnector
from connectors.razorpay.settings import RazorpaySettings

__all__ = ["RazorpayConnector", "RazorpaySettings"]
