"""Where our connectors find the partner simulators of this stack, without importing them: that takes seconds."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

from devstack.ports import LOOPBACK, Ports

_ABDM_PATH = "/api/hiecm"
_GSTIN = "07AAXCS9981F1ZD"  # of the demo laboratory's main branch
_HIP = "IN0710000001"
_SMS_SENDER = "LABSTU"


def partner_settings(ports: Ports, public_url: str) -> dict[str, str]:
    """Return the variables that point every connector at its simulator and every simulator back at us.

    Args:
        ports: Of this stack.
        public_url: Where the simulators reach our API.
    """
    base = f"http://{LOOPBACK}"
    return {
        "LABSETU_PAYMENTS__BASE_URL": f"{base}:{ports.simulator_razorpay}",
        "LABSETU_EINVOICE__BASE_URL": f"{base}:{ports.simulator_einvoice}",
        "LABSETU_EINVOICE__GSTIN": _GSTIN,
        "LABSETU_WHATSAPP__BASE_URL": f"{base}:{ports.simulator_whatsapp}",
        "LABSETU_WHATSAPP__PHONE_NUMBER_ID": "100000000000001",
        "LABSETU_SMS__BASE_URL": f"{base}:{ports.simulator_sms}",
        "LABSETU_SMS__SENDER": _SMS_SENDER,
        "LABSETU_SMS__STATUS_CALLBACK_URL": f"{public_url}/webhooks/sms",
        "LABSETU_EMAIL__HOST": LOOPBACK,
        "LABSETU_EMAIL__PORT": str(ports.simulator_smtp),
        "LABSETU_EMAIL__SECURITY": "none",
        "LABSETU_EMAIL__SENDER": "reports@setu.example",
        "LABSETU_ABDM__BASE_URL": f"{base}:{ports.simulator_abdm}{_ABDM_PATH}",
        "LABSETU_ABDM__HIP_ID": _HIP,
        "LABSETU_ABDM__BRIDGE_URL": f"{public_url}/webhooks/abdm",
        "LABSETU_ABDM__ALLOWED_PUSH_HOSTS": json.dumps([f"{LOOPBACK}:{ports.simulator_abdm}"]),
    }


def signing_keys(ports: Ports) -> dict[str, str]:
    """Return the variable with the portal's signing keys, which it makes at its start; {} while it does not answer."""
    try:
        with urllib.request.urlopen(
            f"http://{LOOPBACK}:{ports.simulator_einvoice}/_sim/public-key", timeout=2
        ) as answer:
            keys = json.loads(answer.read(65536))["signing_keys"]
    except (urllib.error.URLError, OSError, ValueError, KeyError):
        return {}
    return {"LABSETU_EINVOICE__SIGNING_KEYS": json.dumps(keys)}
