"""ABDM, India's national health network: linking a lab's reports to a patient's ABHA and sending them on request.

The lab acts as a health information provider (HIP) towards the gateway, API version 3: session, link token, link care
context, context notice, consent, health-information request, encrypted push, transfer notice. Answers arrive as
callbacks at the lab's bridge URL. Source: ABDM Developer Portal, catalogue 2026.09.16, read 2026-11.
"""

from connectors.abdm.connector import AbdmConnector
from connectors.abdm.settings import AbdmSettings

__all__ = ["AbdmConnector", "AbdmSettings"]
