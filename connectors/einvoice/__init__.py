"""GST e-invoicing: register tax documents with the Invoice Registration Portal (IRP) and keep its signed answer.

Calls used: generate IRN, get by IRN, cancel IRN, and signing in. Two ways lead to the portal: through the GSP Adaequare
(plain JSON, the usual way for a laboratory) and directly to NIC (encrypted; open to large taxpayers only). The partner
sends no webhooks: what happened to a call that got lost is found by looking the precomputed IRN up.

Source: NIC e-invoice API, auth v1.04, Invoice v1.03, read 2026-09-18; Adaequare GSP "enriched" e-invoice API.
"""

from __future__ import annotations

from connectors.einvoice.connector import EInvoiceConnector
from connectors.einvoice.settings import EInvoiceSettings

__all__ = ["EInvoiceConnector", "EInvoiceSettings"]
