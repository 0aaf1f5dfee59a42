"""Verify what the portal signed: that NIC signed it, and that it is our document.

Source: NIC e-invoice API, signed invoice and signed QR code: JWS, RS256, key chosen by `kid`, payload `data` is JSON in
a string; as measured on tokens of the production and sandbox portals, 2020 to 2023.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from connectors.einvoice.errors import CONNECTOR
from connectors.einvoice.mapping import wire_date
from domain.einvoice import IRP_TYPES, UNREGISTERED, IrnRecord, TaxDocument
from domain.errors import AuthError, MessageError
from domain.money import rupees

MAX_TOKEN_CHARS = 4 * 1024 * 1024
_KEYS_ACTION = "Download the portal's signing certificate (Verify signed invoice) and add it to the signing keys."


def verify_signed_invoice(jws: str, public_keys: Mapping[str, str]) -> dict[str, object]:
    """Return the signed invoice after checking its signature; amounts are exact decimals.

    Args:
        jws: `SignedInvoice`.
        public_keys: PEM by key id. An unknown key id is never trusted.

    Raises:
        AuthError: No keys are configured, the key is unknown, or the signature is not by it.
        MessageError: What is signed is not readable.
    """
    return _verified(jws, public_keys)


def verify_signed_qr(jws: str, public_keys: Mapping[str, str]) -> dict[str, object]:
    """Return the ten fields of the signed QR code after checking its signature. Raises as `verify_signed_invoice`."""
    return _verified(jws, public_keys)


def verify_record(record: IrnRecord, document: TaxDocument, public_keys: Mapping[str, str]) -> None:
    """Check both signatures of a registration and compare what is signed with the document.

    Raises:
        AuthError: As `verify_signed_invoice`.
        MessageError: As there; or something differs (`EINVOICE_CONTENT_DIFFERS`, names of the fields only).
    """
    invoice = verify_signed_invoice(record.signed_invoice, public_keys)
    qr_code = verify_signed_qr(record.signed_qr, public_keys)
    differences = [*_invoice_differences(invoice, document), *_qr_differences(qr_code, document)]
    if record.irn != document.irn:
        differences.append("irn")
    if differences:
        raise MessageError(
            f"the portal signed something other than document {document.document_no}: {', '.join(differences)}",
            code="EINVOICE_CONTENT_DIFFERS",
            action="Do not print it; compare the registration on the portal with the document.",
            context={"document_no": document.document_no},
        )


def _verified(token: str, public_keys: Mapping[str, str]) -> dict[str, object]:
    if not public_keys:
        raise _refused("no signing key of the portal is configured", "EINVOICE_NO_SIGNING_KEYS", _KEYS_ACTION)
    if len(token) > MAX_TOKEN_CHARS:
        raise _unreadable("too long")
    try:
        key_id = str(jwt.get_unverified_header(token).get("kid", ""))
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise _unreadable("not a signed token") from None
    pem = public_keys.get(key_id)
    if pem is None:
        raise _refused("the signing key of this answer is unknown", "EINVOICE_SIGNING_KEY_UNKNOWN", _KEYS_ACTION)
    try:
        claims = jwt.decode(token, _public_key(pem), algorithms=["RS256"])
        data = json.loads(claims["data"], parse_float=Decimal, parse_int=int)
    except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError):
        raise _refused(
            "the signature of the portal's answer is wrong",
            "EINVOICE_SIGNATURE_INVALID",
            "Do not print it; look the registration up again, and call the NIC helpdesk if it stays wrong.",
        ) from None
    except jwt.PyJWTError as error:
        raise _refused(f"the signed answer cannot be checked ({type(error).__name__})", "", _KEYS_ACTION) from None
    except (KeyError, TypeError, ValueError, RecursionError):
        raise _unreadable("no invoice in it") from None
    if not isinstance(data, dict):
        raise _unreadable("no object in it")
    return data


def _public_key(pem: str) -> RSAPublicKey:
    try:
        key = serialization.load_pem_public_key(pem.encode())
    except ValueError:
        key = None
    if not isinstance(key, RSAPublicKey):
        raise _refused("a configured signing key is no RSA public key", "EINVOICE_SIGNING_KEY_INVALID", _KEYS_ACTION)
    return key


def _refused(what: str, code: str, action: str) -> AuthError:
    return AuthError(
        what, code=code or "EINVOICE_SIGNATURE_INVALID", action=action, connector=CONNECTOR, operation="verify"
    )


def _unreadable(what: str) -> MessageError:
    return MessageError(
        f"the portal's signed answer is unreadable ({what})",
        code="EINVOICE_SIGNED_UNREADABLE",
        action="Look the registration up again; if it stays unreadable, call the NIC helpdesk.",
    )


def _invoice_differences(signed: Mapping[str, object], document: TaxDocument) -> list[str]:
    details, seller, buyer, totals = (
        _object(signed.get(name)) for name in ("DocDtls", "SellerDtls", "BuyerDtls", "ValDtls")
    )
    expected = _expected(document)
    found = {
        "Irn": signed.get("Irn"),
        "SellerGstin": seller.get("Gstin"),
        "BuyerGstin": buyer.get("Gstin"),
        "DocNo": details.get("No"),
        "DocTyp": details.get("Typ"),
        "DocDt": details.get("Dt"),
        "TotInvVal": totals.get("TotInvVal"),
    }
    return [f"invoice {name}" for name, value in expected.items() if not _same(found[name], value)]


def _qr_differences(signed: Mapping[str, object], document: TaxDocument) -> list[str]:
    expected = _expected(document)
    return [f"QR {name}" for name, value in expected.items() if not _same(signed.get(name), value)]


def _expected(document: TaxDocument) -> dict[str, str | Decimal]:
    return {
        "Irn": document.irn,
        "SellerGstin": document.supplier.gstin,
        "BuyerGstin": document.buyer.gstin or UNREGISTERED,
        "DocNo": document.document_no.upper(),
        "DocTyp": IRP_TYPES[document.kind],
        "DocDt": wire_date(document.document_date),
        "TotInvVal": rupees(document.total_paise),
    }


def _same(found: object, expected: str | Decimal) -> bool:
    if isinstance(expected, Decimal):
        return isinstance(found, Decimal | int) and found == expected
    # The portal folds the case of document numbers since June 2025
    return isinstance(found, str) and found.upper() == expected.upper()


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}
