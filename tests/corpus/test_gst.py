"""IRNs, GSTINs, signatures, error codes, schema and documents of the real e-invoice system."""

import base64
import csv
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import jsonschema
import pytest
from cryptography.hazmat.primitives import serialization

from connectors.einvoice.crypto import decrypt, decrypt_login
from connectors.einvoice.errors import Fault, FaultClass, faults_from_message
from connectors.einvoice.mapping import invoice_to_wire
from connectors.einvoice.simulator.config import PortalConfig, Taxpayer
from connectors.einvoice.simulator.messages import TEXTS
from connectors.einvoice.simulator.portal import parsed
from connectors.einvoice.simulator.schema import canonical, problems
from connectors.einvoice.simulator.validations import AFTER_DUPLICATE, BEFORE_DUPLICATE, Case
from connectors.einvoice.verify import verify_signed_invoice, verify_signed_qr
from connectors.einvoice.wire import AdaequareEnvelope, Registration
from domain.einvoice import SupplyType, gstin_check_character, has_valid_check_character, precompute_irn
from domain.errors import AuthError
from domain.gst_masters import STATES, UNIT_CODES, gst_rates, is_pin_of_state
from rules.gst_checks import is_tolerated
from rules.gst_tax import Supply, credit_note, taxed_lines
from tests.contract.einvoice.documents import (
    ABROAD,
    CBC,
    DAY,
    HOSPITAL_MUMBAI,
    REAGENT,
    TRAINING,
    invoice,
)

GST = Path(os.environ.get("LABSETU_CORPUS", Path(__file__).parents[2] / ".." / "shared" / "data")) / "gst"

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not (GST / "error_codes.csv").exists(), reason="no e-invoice vectors under LABSETU_CORPUS"),
]


def _rows(name):
    with (GST / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _json(name):
    return json.loads((GST / name).read_text(encoding="utf-8"))


def _day(text):
    return date(int(text[6:]), int(text[3:5]), int(text[:2]))


def _keys() -> dict[str, str]:
    return {file.stem: file.read_text() for file in (GST / "vectors" / "nic_public_keys").glob("*.pem")}


def test_irns_issued_by_the_portal():
    rows = _rows("vectors/irn_vectors.csv")
    assert len(rows) >= 9
    for row in rows:
        day = _day(row["doc_date"])
        folded = row["doc_no_as_sent"].upper() in row["hash_input"]
        irn = precompute_irn(row["seller_gstin"], day, row["doc_type"], row["doc_no_as_sent"], fold_case=folded)
        assert irn == row["irn"], row


def test_check_characters():
    for row in _rows("vectors/gstin_vectors.csv"):
        assert gstin_check_character(row["gstin"][:14]) == row["expected_check_char"]
        assert has_valid_check_character(row["gstin"]) == (row["checksum_ok"] == "True")


def test_signatures_of_the_real_portal_verify():
    tokens, keys = _json("vectors/nic_signed_jws.json"), _keys()
    assert len(tokens) == 12
    for token in tokens:
        verify = verify_signed_invoice if token["kind"] == "SignedInvoice" else verify_signed_qr
        content = verify(token["jws"], keys)
        assert content["Irn"] == token["data"]["Irn"]
        head, body, signature = token["jws"].split(".")
        with pytest.raises(AuthError):
            verify(f"{head}.{body}.{signature[:-8]}AAAAAAAA", keys)
        others = {kid: pem for kid, pem in keys.items() if kid != token["header"]["kid"]}
        with pytest.raises(AuthError):
            verify(token["jws"], others)


def test_key_exchange_of_the_real_sandbox():
    handshake = _json("vectors/crypto_handshake.json")
    real, made = handshake["nic_real_sek_example"], handshake["synthetic"]
    assert decrypt(_b64(real["AppKey_b64"]), real["Sek_encrypted_b64"]) == _b64(real["Sek_plain_b64"])
    assert decrypt(_b64(made["AppKey_b64"]), made["SEK_in_auth_response_b64"]) == _b64(made["SEK_plain_b64"])
    assert decrypt(_b64(made["SEK_plain_b64"]), made["request_body"]["Data"]).decode() == made["request_json"]
    key = serialization.load_pem_private_key(made["rsa_private_key_pem"].encode(), None)
    assert decrypt_login(key, made["auth_body"]["Data"]) == json.loads(made["login_json"])


def _b64(text):
    return base64.b64decode(text)


EXPECTED: Mapping[str, set[FaultClass]] = {
    "retry": {FaultClass.RETRY, FaultClass.NOT_PROCESSED},
    "backoff": {FaultClass.BACKOFF},
    "reauth": {FaultClass.REAUTH},
    "config": {FaultClass.CONFIG, FaultClass.CREDENTIALS},
    "stop": {FaultClass.STOP},
    "duplicate": {FaultClass.DUPLICATE},
    # 4002, an e-way bill that exists, is not the answer to a cancellation
    "already_done": {FaultClass.ALREADY_DONE, FaultClass.DUPLICATE},
    "not_found": {FaultClass.NOT_FOUND},
    # a look-up answers 2148 and 3001 for an IRN that does not exist
    "final": {FaultClass.FINAL, FaultClass.NOT_FOUND},
    "sync_gstin": {FaultClass.SYNC_GSTIN},
    "fix_data": {FaultClass.FIX_DATA},
    # 5001 and 5002 carry schema errors too: the text decides
    "inspect": {FaultClass.RETRY, FaultClass.FIX_DATA},
    # never an answer to our calls; to a person, like every unknown code
    "portal": {FaultClass.FIX_DATA},
    "unknown": {FaultClass.FIX_DATA},
}


def test_every_code_of_the_portal_has_its_class():
    rows = [row for row in _rows("error_codes.csv") if row["list"] != "INFO"]
    assert len(rows) > 240
    wrong = {
        row["code"]: Fault(row["code"], row["message"]).fault_class
        for row in rows
        if row["suggested_class"] != "info"
        and Fault(row["code"], row["message"]).fault_class not in EXPECTED[row["suggested_class"]]
    }
    assert wrong == {}


def test_simulator_answers_real_codes_in_real_words():
    known = {row["code"]: row["message"] for row in _rows("error_codes.csv")}
    assert TEXTS.keys() <= known.keys()
    same = [code for code, text in TEXTS.items() if _words(text) <= _words(known[code]) | {"turnover", "this", "with"}]
    assert len(same) > 0.9 * len(TEXTS)


def _words(text):
    return set(text.lower().replace("-", " ").replace(",", " ").replace(".", " ").split())


SENT = {
    "inside": invoice(),
    "between": invoice(buyer=HOSPITAL_MUMBAI),
    "abroad": invoice(buyer=ABROAD, supply_type=SupplyType.EXPORT_WITHOUT_PAYMENT),
    "goods": invoice(supplies=(REAGENT,)),
    "mixed": invoice(supplies=(TRAINING, CBC)),
    "note": credit_note(invoice(), document_no="C1", document_date=DAY),
    "odd texts": invoice(supplies=(replace(TRAINING, description='5" "tube" \\ rack ' + "x" * 400),)),
}


@pytest.mark.parametrize("name", SENT)
def test_requests_fit_the_published_schema(name):
    schema = _json("schema/inv01_v1.1.schema.json")
    body = invoice_to_wire(SENT[name]).as_json()
    errors = [error.message for error in jsonschema.Draft7Validator(schema).iter_errors(body)]
    assert errors == []
    listed = {row["path"] for row in _rows("schema/inv01_v1.1_fields.csv")}
    for section in ("TranDtls", "DocDtls", "SellerDtls", "BuyerDtls", "ValDtls"):
        assert {f"{section}.{key}" for key in body[section]} <= listed
    for item in body["ItemList"]:
        assert {f"ItemList[].{key}" for key in item} <= listed


def _payloads():
    if not GST.exists():
        return
    for name, case in _json("vectors/lab_b2b_examples.json")["cases"].items():
        yield name, case["payload"], case["expected_irn"]
    for token in _json("vectors/nic_signed_jws.json"):
        if token["kind"] == "SignedInvoice":
            yield token["source"], token["data"], token["data"]["Irn"]


PAYLOADS = list(_payloads())


@pytest.mark.parametrize(("name", "payload", "irn"), PAYLOADS, ids=[f"{at}" for at, _ in enumerate(PAYLOADS)])
def test_simulator_takes_what_the_real_portal_took(name, payload, irn):
    body = canonical(parsed(json.dumps(payload).encode()))
    assert problems(body) == []
    gstins = [payload[side]["Gstin"] for side in ("SellerDtls", "BuyerDtls")]
    config = PortalConfig(
        taxpayers={gstin: Taxpayer(gstin, above_5_crore=False) for gstin in gstins},
        earliest_document=date(2017, 7, 1),
    )
    case = Case(body, gstins[0], date(2026, 11, 20), config)
    refused = [fault.code for stage in (*BEFORE_DUPLICATE, *AFTER_DUPLICATE) for fault in stage(case)]
    assert refused == [], name
    document = payload["DocDtls"]
    day = _day(document["Dt"])
    assert irn in {
        precompute_irn(gstins[0], day, document["Typ"], document["No"], fold_case=fold) for fold in (True, False)
    }


def test_recorded_answers_of_the_gsp_are_read():
    recorded = _json("vectors/india_compliance_test_e_invoice.json")
    read = 0
    for case in recorded.values():
        answer = case.get("response_data")
        if not answer or "Irn" not in str(answer):
            continue
        envelope = AdaequareEnvelope.model_validate(answer)
        if envelope.success and "SignedInvoice" in envelope.result:
            assert Registration.model_validate(envelope.result).Irn
            read += 1
        elif not envelope.success:
            assert faults_from_message(envelope.message or "")[0].code == "2150"
            read += 1
    assert read >= 6


def test_arithmetic_vectors():
    vectors = _json("vectors/arithmetic_cases.json")
    for example in vectors["nic_examples"]:
        paise = Decimal(str(example["calc"])) * 100
        least, most = int(example["min"] * 100), int(example["max"] * 100)
        assert is_tolerated(paise, least)
        assert is_tolerated(paise, most)
        assert not is_tolerated(paise, least - 1)
        assert not is_tolerated(paise, most + 1)
    rounding = vectors["erpnext_progressive_rounding"]
    lines = taxed_lines([Supply("x", "998113", 7_60, Decimal(12))] * 2, interstate=False)
    assert [line.cgst_paise / 100 for line in lines] == rounding["line_cgst"]
    assert [line.total_paise / 100 for line in lines] == rounding["line_total"]


def test_masters_agree():
    assert {row["code"]: row["name"] for row in _rows("masters/state_codes.csv")}.keys() == STATES.keys()
    assert {row["code"] for row in _rows("masters/uqc.csv")} == UNIT_CODES
    for row in _rows("masters/pincode_first3_state_ranges.csv"):
        for first3 in (row["first3_from"], row["first3_to"]):
            assert is_pin_of_state(int(first3) * 1000 + 1, row["state_code"]), row
    rates = _json("masters/enums.json")["GstRates_percent"]
    before = {Decimal(str(rate)) for rate in rates["india_compliance_2024_10"]}
    assert gst_rates(date(2025, 9, 21)) == before
    assert gst_rates(date(2025, 9, 22)) == before | {
        Decimal(str(rate)) for rate in rates["added_by_GST_2.0_2025_09_22"]
    }
