"""The simulated portal against the partner's documents, on raw requests that our connector would never send."""

import base64
import json
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from connectors.einvoice.crypto import encrypt, encrypt_login
from connectors.einvoice.mapping import invoice_to_wire
from connectors.einvoice.simulator.config import DEMO_SEZ_BUYER, DEMO_SUPPLIER, PortalConfig, Taxpayer
from connectors.einvoice.simulator.messages import RefusalError
from connectors.einvoice.simulator.portal import parsed
from domain.einvoice import SupplyType
from tests.contract.einvoice.documents import ABROAD, DAY, HOSPITAL, LAB, REAGENT, SEZ_PHARMA, invoice
from tests.contract.einvoice.portal import Bench, bench

GOOD = parsed(json.dumps(invoice_to_wire(invoice()).as_json()).encode())
GOODS = parsed(json.dumps(invoice_to_wire(invoice(supplies=(REAGENT,))).as_json()).encode())
EXPORT = parsed(
    json.dumps(invoice_to_wire(invoice(buyer=ABROAD, supply_type=SupplyType.EXPORT_WITH_PAYMENT)).as_json()).encode()
)
PLACE = {"Nm": "Store", "Addr1": "1 Road", "Loc": "Bengaluru", "Pin": 560001, "Stcd": "29"}
SHIP = {"LglNm": "Store", "Addr1": "1 Road", "Loc": "Bengaluru", "Pin": 560001, "Stcd": "29"}


def changed(body, path, value):
    """A copy with the member at a dotted path set, or removed where `value` is None."""
    copy = deepcopy(body)
    *way, last = path.split(".")
    place = copy
    for step in way:
        place = place[int(step)] if isinstance(place, list) else place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return copy


def refusals(body, *, config=None, gstin=LAB.gstin):
    portal = Bench("adaequare", config).portal
    try:
        portal.generate(gstin, body)
    except RefusalError as refusal:
        assert portal.registered == {}
        return {fault.code for fault in refusal.faults}
    return set()


@pytest.mark.parametrize("body", [GOOD, GOODS, EXPORT])
def test_good_requests_are_taken(body):
    assert refusals(body) == set()


@pytest.mark.parametrize(
    ("body", "path", "value", "code"),
    [
        (GOOD, "Version", "1.0", "2279"),
        (GOOD, "Version", None, "2279"),
        (GOOD, "ItemList", None, "5002"),
        (GOOD, "ItemList", [], "2228"),
        (GOOD, "ItemList", ["x"], "5002"),
        (GOOD, "SellerDtls", "x", "5002"),
        (GOOD, "TranDtls.SupTyp", "B2C", "5002"),
        (GOOD, "TranDtls.EcmGstin", HOSPITAL.gstin, "2299"),
        (GOOD, "TranDtls.IgstOnIntra", "Y", "2294"),
        (EXPORT, "TranDtls.IgstOnIntra", "Y", "2268"),
        (GOOD, "DocDtls.No", "0123", "5002"),
        (GOOD, "DocDtls.Dt", "2026-11-20", "5002"),
        (GOOD, "DocDtls.Dt", "31/02/2026", "2292"),
        (GOOD, "SellerDtls.Pin", "560025", "5002"),
        (GOOD, "SellerDtls.Pin", Decimal("560025.5"), "5002"),
        (GOOD, "SellerDtls.Addr2", "", "5002"),
        (GOOD, "BuyerDtls.Gstin", "29", "5002"),
        (GOOD, "BuyerDtls.Pin", None, "2244"),
        (GOOD, "BuyerDtls.Pos", "96", "2303"),
        (GOOD, "DispDtls", PLACE | {"Pin": 999999}, "2273"),
        (GOOD, "DispDtls", PLACE | {"Stcd": "25"}, "2200"),
        (GOOD, "DispDtls", PLACE | {"Pin": 400001}, "3039"),
        (GOOD, "ShipDtls", SHIP | {"Pin": 999999}, "2272"),
        (GOOD, "ShipDtls", SHIP | {"Loc": "x"}, "5002"),
        (GOOD, "ItemList.0.HsnCd", "999013", "2176"),
        (GOOD, "ItemList.0.HsnCd", "00000000", "5002"),
        (GOODS, "ItemList.0.HsnCd", "7701", "2176"),
        (GOODS, "ItemList.0.Qty", None, "2238"),
        (GOOD, "ItemList.0.AssAmt", Decimal("15000.00"), "2193"),
        (GOOD, "ItemList.0.CesRt", Decimal(10), "2266"),
        (GOOD, "ItemList.0.StateCesRt", Decimal(10), "2267"),
        (GOOD, "ItemList.0.CgstAmt", True, "5002"),
        (GOOD, "ItemList.0.CgstAmt", Decimal("0.001"), "5002"),
        (GOOD, "ItemList.0.UnitPrice", Decimal(-1), "5002"),
        (GOOD, "ValDtls.StCesVal", Decimal(5), "2187"),
        (GOOD, "ValDtls.RndOffAmt", Decimal(100), "5002"),
        (GOOD, "ValDtls.Discount", Decimal(500), "2189"),
        (GOOD, "RefDtls", {"PrecDocDtls": [{"InvNo": "0", "InvDt": "20/11/2026"}]}, "5002"),
        (GOOD, "RefDtls", {"PrecDocDtls": ["x"]}, "5002"),
    ],
)
def test_one_wrong_member_is_refused(body, path, value, code):
    assert code in refusals(changed(body, path, value))


@pytest.mark.parametrize("body", [None, [], {}, "x", 5])
def test_empty_request_is_refused(body):
    assert refusals(body) == {"2255"}


def test_keys_are_taken_in_any_case_and_unknown_ones_ignored():
    odd = changed(GOOD, "Nonsense", 1)
    odd["SELLERDTLS"] = {key.upper(): value for key, value in odd.pop("SellerDtls").items()}
    assert refusals(odd) == set()


def test_more_than_a_thousand_items_are_refused():
    items = [GOOD["ItemList"][0] | {"SlNo": str(serial)} for serial in range(1, 1002)]
    assert "2173" in refusals(changed(GOOD, "ItemList", items))


def test_reverse_charge_in_the_state_may_take_igst():
    body = changed(changed(GOOD, "TranDtls.RegRev", "Y"), "TranDtls.IgstOnIntra", "Y")
    assert refusals(body) == {"2174", "2235"}
    assert refusals(changed(body, "BuyerDtls.Pos", "27")) == {"2262"}


def test_header_and_supplier_must_agree():
    assert refusals(GOOD, gstin=HOSPITAL.gstin) == {"2169"}


def _with(**changes):
    return PortalConfig(taxpayers={LAB.gstin: replace(Taxpayer(LAB.gstin), **changes)})


@pytest.mark.parametrize(
    ("config", "code"),
    [
        (_with(status="CNL"), "3029"),
        (_with(enabled=False), "3026"),
        (_with(kind="SEZ"), "2231"),
        (_with(kind="COM"), "2300"),
        (_with(kind="SED"), "2174 2235"),
    ],
)
def test_supplier_must_be_able_to(config, code):
    assert refusals(GOOD, config=config) == set(code.split())


@pytest.mark.parametrize(
    ("changes", "supply_type", "code"),
    [
        ({"kind": "SEZ"}, "B2B", "2246"),
        ({}, "SEZWP", "2247"),
        ({"kind": "COM"}, "DEXP", "2298"),
        ({"status": "CNL"}, "B2B", "3075"),
        ({"status": "CNL", "deregistered_on": DAY - timedelta(days=1)}, "B2B", "3074"),
        ({"status": "CNL", "deregistered_on": DAY, "registered_on": DAY + timedelta(days=1)}, "B2B", "3077"),
        ({"status": "INA"}, "B2B", "3029"),
        ({"registered_on": DAY + timedelta(days=1)}, "B2B", "3079"),
    ],
)
def test_buyer_must_fit(changes, supply_type, code):
    config = PortalConfig(taxpayers={HOSPITAL.gstin: replace(Taxpayer(HOSPITAL.gstin), **changes)})
    assert refusals(changed(GOOD, "TranDtls.SupTyp", supply_type), config=config) == {code}


@pytest.mark.parametrize("changes", [{"status": "SUS"}, {"status": "CNL", "deregistered_on": DAY}])
def test_buyer_registered_on_the_day_is_good(changes):
    config = PortalConfig(taxpayers={HOSPITAL.gstin: replace(Taxpayer(HOSPITAL.gstin), **changes)})
    assert refusals(GOOD, config=config) == set()


def test_distributor_takes_no_reverse_charge():
    config = PortalConfig(taxpayers={HOSPITAL.gstin: Taxpayer(HOSPITAL.gstin, kind="ISD")})
    assert refusals(changed(GOOD, "TranDtls.RegRev", "Y"), config=config) == {"2297"}


def test_e_way_bill_of_a_service_fails_beside_the_irn():
    portal = Bench("adaequare").portal
    result, notes = portal.generate(LAB.gstin, changed(GOOD, "EwbDtls", {"Distance": 0}))
    assert result["Status"] == "ACT"
    assert notes[0]["InfCd"] == "EWBERR"


def test_demo_buyer_in_the_zone_is_one():
    assert SEZ_PHARMA.gstin == DEMO_SEZ_BUYER
    assert Bench("nic").portal.config.taxpayer(DEMO_SEZ_BUYER).kind == "SEZ"
    assert LAB.gstin == DEMO_SUPPLIER


def test_qr_code_names_the_leading_item():
    portal = Bench("adaequare").portal
    portal.generate(LAB.gstin, GOOD)
    (entry,) = portal.registered.values()
    padding = "=" * 3
    claims = json.loads(base64.urlsafe_b64decode(entry.signed_qr.split(".")[1] + padding))
    content = json.loads(claims["data"])
    assert len(content) == 10
    assert (content["MainHsnCode"], content["ItemCnt"]) == ("998113", 2)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"CnlRsn": "5"}, "5002"),
        ({"CnlRem": ""}, "5002"),
        ({"CnlRem": "x" * 101}, "5002"),
        ({"Irn": "0" * 64}, "2148"),
    ],
)
def test_cancellation_is_checked(body, code):
    portal = Bench("adaequare").portal
    result, _ = portal.generate(LAB.gstin, GOOD)
    with pytest.raises(RefusalError) as caught:
        portal.cancel(LAB.gstin, {"Irn": result["Irn"], "CnlRsn": "1", "CnlRem": "x"} | body)
    assert caught.value.faults[0].code == code
    with pytest.raises(RefusalError) as caught:
        portal.cancel(HOSPITAL.gstin, {"Irn": result["Irn"], "CnlRsn": "1", "CnlRem": "x"})
    assert caught.value.faults[0].code == "2143"
    with pytest.raises(RefusalError) as caught:
        portal.get(HOSPITAL.gstin, result["Irn"])
    assert caught.value.faults[0].code == "2226"


def test_look_up_by_document():
    portal = Bench("adaequare").portal
    result, _ = portal.generate(LAB.gstin, GOOD)
    found = portal.get_by_document(LAB.gstin, "inv", "b1-2627-000123", "20/11/2026")
    assert found["Irn"] == result["Irn"]
    with pytest.raises(RefusalError) as caught:
        portal.get_by_document(LAB.gstin, "CRN", "B1-2627-000123", "20/11/2026")
    assert caught.value.faults[0].code == "2154"


HEADERS = {"client_id": "demo-client", "client_secret": "demo-secret", "Gstin": LAB.gstin}
KEY = base64.b64encode(b"k" * 32).decode()
LOGIN = {"UserName": "demo_lab", "Password": "Demo@2026", "AppKey": KEY}


async def _nic(made, path, *, headers=HEADERS, body=None):
    answer = await made.client.post(path, json=body, headers=headers)
    return answer.json()


async def _nic_code(made, path, **options):
    return (await _nic(made, path, **options))["ErrorDetails"][0]["ErrorCode"]


@pytest.mark.parametrize(
    ("headers", "login", "code"),
    [
        ({}, LOGIN, "1011"),
        ({"client-id": "x"}, LOGIN, "1012"),
        ({"client_id": "x", "client_secret": "y"}, LOGIN, "1004"),
        (HEADERS | {"client_secret": "y"}, LOGIN, "1010"),
        (HEADERS, None, "5003"),
        (HEADERS, "not encrypted", "1020"),
        (HEADERS, LOGIN | {"UserName": ""}, "1006"),
        (HEADERS, LOGIN | {"Password": "no"}, "1008"),
        (HEADERS, LOGIN | {"AppKey": "AAAA"}, "1016"),
        (HEADERS, LOGIN | {"AppKey": "é"}, "1016"),
        (HEADERS | {"Gstin": HOSPITAL.gstin}, LOGIN, "1015"),
    ],
)
async def test_nic_login_is_checked(headers, login, code):
    async with bench("nic") as made:
        sealed = encrypt_login(made.settings.nic_public_key, login) if isinstance(login, dict) else login
        found = await _nic_code(made, "/eivital/v1.04/auth", headers=headers, body={"Data": sealed})
        assert found == code


async def test_nic_session_is_needed_and_the_same_until_its_end():
    async with bench("nic") as made:
        path = "/eicore/v1.03/Invoice"
        assert await _nic_code(made, path, body={"Data": "x"}) == "1005"
        sealed = {"Data": encrypt_login(made.settings.nic_public_key, LOGIN | {"ForceRefreshAccessToken": True})}
        first = await _nic(made, "/eivital/v1.04/auth", body=sealed)
        again = await _nic(made, "/eivital/v1.04/auth", body=sealed)
        assert first["Data"]["AuthToken"] == again["Data"]["AuthToken"]
        signed_in = HEADERS | {"AuthToken": first["Data"]["AuthToken"], "user_name": "demo_lab"}
        assert await _nic_code(made, path, headers=signed_in, body={}) == "5003"
        assert await _nic_code(made, path, headers=signed_in, body={"Data": "x"}) == "1020"
        wrong_key = {"Data": encrypt(b"w" * 32, b"{}")}
        assert await _nic_code(made, path, headers=signed_in, body=wrong_key) == "1020"
        assert await _nic_code(made, path, headers=signed_in | {"user_name": "x"}, body={"Data": "x"}) == "1005"
        made.clock.forward(minutes=50)
        forced = await _nic(made, "/eivital/v1.04/auth", body=sealed)
        assert forced["Data"]["AuthToken"] != first["Data"]["AuthToken"]
        ping = await made.client.get("/eivital/v1.04/heartbeat/ping")
        assert ping.text.startswith("e-Invoice Vital")
        lost = await made.client.get(
            "/eicore/v1.03/Invoice/irnbydocdetails?doctype=INV&docnum=A&docdate=20/11/2026",
            headers=HEADERS | {"AuthToken": forced["Data"]["AuthToken"], "user_name": "demo_lab"},
        )
        assert lost.json()["ErrorDetails"][0]["ErrorCode"] == "2154"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"requestid": ""}, "requestid"),
        ({"gstin": ""}, "1004 : "),
        ({"password": "no"}, "1008 : "),
        ({"gstin": HOSPITAL.gstin}, "1015 : "),
    ],
)
async def test_gsp_checks_who_calls(changes, said):
    async with bench("adaequare") as made:
        token = await made.client.post(
            "/gsp/authenticate", headers={"gspappid": "demo-client", "gspappsecret": "demo-secret"}
        )
        headers = {
            "authorization": f"Bearer {token.json()['access_token']}",
            "user_name": "demo_lab",
            "password": "Demo@2026",
            "gstin": LAB.gstin,
            "requestid": "1",
        }
        path = "/test/enriched/ei/api/invoice/irnbydocdetails?doctype=INV&docnum=A&docdate=20/11/2026"
        answer = (await made.client.get(path, headers=headers | changes)).json()
        assert answer["success"] is False
        assert said in answer["message"]
        good = (await made.client.get(path, headers=headers | {"requestid": "2"})).json()
        assert good["message"].startswith("2154")


@pytest.mark.parametrize("raw", [b"", b"not json", b"[" * 100_000, b'{"a": NaN}', b"\xff"])
async def test_hostile_bodies_are_refused_in_an_envelope(raw):
    async with bench("adaequare") as made:
        await made.connector.sign_in()
        token = await made.client.post(
            "/gsp/authenticate", headers={"gspappid": "demo-client", "gspappsecret": "demo-secret"}
        )
        headers = {
            "authorization": f"Bearer {token.json()['access_token']}",
            "user_name": "demo_lab",
            "password": "Demo@2026",
            "gstin": LAB.gstin,
            "requestid": "1",
        }
        answer = await made.client.post("/enriched/ei/api/invoice", content=raw, headers=headers)
        assert answer.json()["success"] is False
