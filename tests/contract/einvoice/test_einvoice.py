"""The connector against the simulated portal, in both dialects, and the portal against the partner's samples."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from connectors.einvoice.mapping import invoice_to_wire
from connectors.einvoice.simulator.config import DEMO_BUYER, PortalConfig, Taxpayer
from connectors.einvoice.simulator.messages import RefusalError
from connectors.einvoice.simulator.portal import parsed
from domain.einvoice import CancelReason, IrnState, SupplyType
from domain.errors import AuthError, MessageError, OutcomeUnknownError, RejectedError, RequestError, UnavailableError
from rules.gst_tax import credit_note
from tests.contract.einvoice.cases import CASES
from tests.contract.einvoice.defects import DEFECTS
from tests.contract.einvoice.documents import (
    ABROAD,
    CBC,
    DAY,
    HOSPITAL,
    HOSPITAL_MUMBAI,
    LAB,
    REAGENT,
    SEZ_PHARMA,
    TRAINING,
    bill_of_supply,
    invoice,
)
from tests.contract.einvoice.portal import BOTH, Bench, bench

CANCEL = {"supplier_gstin": LAB.gstin, "reason_code": CancelReason.ORDER_CANCELLED, "remark": "Order cancelled"}


@BOTH
async def test_generate_get_cancel(dialect):
    async with bench(dialect) as made:
        document = invoice()
        record = await made.connector.generate_irn(document=document)
        assert record.irn == document.irn
        assert record.state is IrnState.ACTIVE
        assert record.ack_at == datetime(2026, 11, 20, 10, 35, 30, tzinfo=UTC)
        made.connector.verify(record=record, document=document)

        found = await made.connector.get_by_irn(irn=document.irn, supplier_gstin=LAB.gstin)
        assert replace(found, ack_at=record.ack_at) == record
        assert found.ack_at == record.ack_at.replace(second=0)
        made.connector.verify(record=found, document=document)

        made.clock.forward(hours=1)
        cancelled = await made.connector.cancel_irn(irn=document.irn, **CANCEL)
        assert cancelled.state is IrnState.CANCELLED
        assert cancelled.cancelled_at == made.clock.now
        found = await made.connector.get_by_irn(irn=document.irn, supplier_gstin=LAB.gstin)
        assert found.state is IrnState.CANCELLED
        assert found.cancelled_at == made.clock.now


@BOTH
@pytest.mark.parametrize(
    "document",
    [
        invoice(buyer=HOSPITAL_MUMBAI),
        invoice(buyer=SEZ_PHARMA, supply_type=SupplyType.SEZ_WITH_PAYMENT),
        invoice(buyer=ABROAD, supply_type=SupplyType.EXPORT_WITHOUT_PAYMENT),
        invoice(supplies=(REAGENT,)),
        invoice(supplies=(TRAINING, CBC)),
        invoice(reverse_charge=True),
        credit_note(invoice(), document_no="C1-2627-000007", document_date=DAY),
        credit_note(invoice(), document_no="C1-2627-000008", document_date=DAY, credited={1: 1}),
    ],
)
async def test_every_kind_of_document_is_taken_and_verifies(dialect, document):
    async with bench(dialect) as made:
        record = await made.connector.generate_irn(document=document)
        made.connector.verify(record=record, document=document)


@BOTH
async def test_unknown_irn_is_none(dialect):
    async with bench(dialect) as made:
        assert await made.connector.get_by_irn(irn="0" * 64, supplier_gstin=LAB.gstin) is None


@BOTH
@pytest.mark.parametrize("code", ["2148", "2154", "2296", "3001"])
async def test_every_word_for_not_found_is_none(dialect, code):
    async with bench(dialect) as made:
        made.portal.drill.refuse_next = code
        assert await made.connector.get_by_irn(irn="0" * 64, supplier_gstin=LAB.gstin) is None


@BOTH
async def test_lost_answer_is_found_by_the_irn(dialect):
    async with bench(dialect) as made:
        document = invoice()
        await made.connector.sign_in()
        made.behaviour.drop_after_next = 1
        with pytest.raises(OutcomeUnknownError):
            await made.connector.generate_irn(document=document)
        found = await made.connector.get_by_irn(irn=document.irn, supplier_gstin=LAB.gstin)
        made.connector.verify(record=found, document=document)


@BOTH
async def test_failure_before_processing_leaves_nothing(dialect):
    async with bench(dialect) as made:
        await made.connector.sign_in()
        made.behaviour.fail_next = 1
        with pytest.raises(OutcomeUnknownError):
            await made.connector.generate_irn(document=invoice())
        assert await made.connector.get_by_irn(irn=invoice().irn, supplier_gstin=LAB.gstin) is None


@BOTH
async def test_portal_down_is_unavailable(dialect):
    async with bench(dialect) as made:
        made.behaviour.down = True
        with pytest.raises(UnavailableError):
            await made.connector.generate_irn(document=invoice())


@BOTH
async def test_duplicate_names_the_earlier_registration(dialect):
    async with bench(dialect) as made:
        record = await made.connector.generate_irn(document=invoice())
        with pytest.raises(RejectedError) as caught:
            await made.connector.generate_irn(document=invoice())
        error = caught.value
        assert error.partner_code == "2150"
        assert error.context == {
            "class": "duplicate",
            "irn": record.irn,
            "ack_no": record.ack_no,
            "ack_at": record.ack_at.isoformat(),
        }


@BOTH
@pytest.mark.parametrize(("hours", "taken"), [(23.99, True), (24, False)])
async def test_cancellation_ends_after_24_hours(dialect, hours, taken):
    async with bench(dialect) as made:
        record = await made.connector.generate_irn(document=invoice())
        made.clock.forward(hours=hours)
        if taken:
            assert (await made.connector.cancel_irn(irn=record.irn, **CANCEL)).state is IrnState.CANCELLED
            return
        with pytest.raises(RejectedError) as caught:
            await made.connector.cancel_irn(irn=record.irn, **CANCEL)
        assert caught.value.partner_code == "2270"


@BOTH
async def test_cancelling_twice_is_cancelled(dialect):
    async with bench(dialect) as made:
        record = await made.connector.generate_irn(document=invoice())
        await made.connector.cancel_irn(irn=record.irn, **CANCEL)
        again = await made.connector.cancel_irn(irn=record.irn, **CANCEL)
        assert (again.state, again.cancelled_at) == (IrnState.CANCELLED, None)


@BOTH
async def test_cancelled_number_is_burnt_for_the_year(dialect):
    async with bench(dialect) as made:
        record = await made.connector.generate_irn(document=invoice())
        await made.connector.cancel_irn(irn=record.irn, **CANCEL)
        with pytest.raises(RejectedError) as caught:
            await made.connector.generate_irn(document=invoice(supplies=(TRAINING,)))
        assert caught.value.partner_code == "2278"
        made.clock.now = datetime(2027, 4, 2, 6, 0, tzinfo=UTC)
        next_year = await made.connector.generate_irn(document=invoice(document_date=date(2027, 4, 1)))
        assert next_year.irn != record.irn


@BOTH
async def test_details_are_shown_for_days_only(dialect):
    async with bench(dialect) as made:
        record = await made.connector.generate_irn(document=invoice())
        made.clock.forward(days=2, hours=23)
        assert await made.connector.get_by_irn(irn=record.irn, supplier_gstin=LAB.gstin) is not None
        made.clock.forward(hours=1)
        with pytest.raises(RejectedError) as caught:
            await made.connector.get_by_irn(irn=record.irn, supplier_gstin=LAB.gstin)
        assert caught.value.partner_code == "2283"


@BOTH
async def test_lost_session_is_renewed_once(dialect):
    async with bench(dialect) as made:
        await made.connector.sign_in()
        await made.client.post("/_sim/portal", json={"revoke_sessions": True})
        record = await made.connector.generate_irn(document=invoice())
        assert record.irn == invoice().irn


@BOTH
async def test_expired_session_is_renewed_before_the_call(dialect):
    async with bench(dialect) as made:
        await made.connector.sign_in()
        before = await _sign_ins(made)
        made.clock.forward(days=2)
        await made.connector.generate_irn(document=invoice())
        await made.connector.get_by_irn(irn=invoice().irn, supplier_gstin=LAB.gstin)
        assert await _sign_ins(made) == before + 1


async def test_nic_gives_a_new_token_near_the_end_by_force_only():
    async with bench("nic") as made:
        await made.connector.sign_in()
        made.clock.forward(minutes=49, seconds=59)
        assert await made.connector.sign_in() is None
        made.clock.forward(seconds=1)
        await made.connector.generate_irn(document=invoice())
        made.clock.forward(minutes=30)
        await made.connector.get_by_irn(irn=invoice().irn, supplier_gstin=LAB.gstin)
        assert await _sign_ins(made) == 2


async def test_nic_session_is_shared_by_two_connectors_of_one_user():
    async with bench("nic") as made:
        other = type(made.connector)(made.client, made.settings, now=made.clock)
        await made.connector.generate_irn(document=invoice())
        made.clock.forward(minutes=55)
        found = await other.get_by_irn(irn=invoice().irn, supplier_gstin=LAB.gstin)
        assert found.irn == invoice().irn


async def _sign_ins(made: Bench) -> int:
    calls = (await made.client.get("/_sim/state")).json()["calls"]
    return sum(count for path, count in calls.items() if "auth" in path)


@BOTH
@pytest.mark.parametrize("wrong", [{"password": "nope"}, {"client_secret": "nope"}, {"username": "nobody"}])
async def test_wrong_credentials_are_an_auth_error(dialect, wrong):
    async with bench(dialect, **wrong) as made:
        with pytest.raises(AuthError):
            await made.connector.generate_irn(document=invoice())


@BOTH
async def test_gstin_that_is_not_enabled(dialect):
    config = PortalConfig(taxpayers={LAB.gstin: Taxpayer(LAB.gstin, enabled=False)})
    async with bench(dialect, config) as made:
        with pytest.raises(RequestError) as caught:
            await made.connector.generate_irn(document=invoice())
        assert caught.value.partner_code == "3026"


@BOTH
async def test_base64_error_details_are_read(dialect):
    async with bench(dialect, PortalConfig(error_details_base64=True)) as made:
        with pytest.raises(RejectedError) as caught:
            await made.connector.generate_irn(document=invoice(document_date=DAY + timedelta(days=9)))
        assert caught.value.partner_code == "2163"


@BOTH
@pytest.mark.parametrize("operation", ["generate", "get", "cancel"])
async def test_another_gstin_is_never_sent(dialect, operation):
    async with bench(dialect) as made:
        calls = {
            "generate": lambda: made.connector.generate_irn(document=invoice(supplier=HOSPITAL_MUMBAI, buyer=HOSPITAL)),
            "get": lambda: made.connector.get_by_irn(irn="0" * 64, supplier_gstin=HOSPITAL.gstin),
            "cancel": lambda: made.connector.cancel_irn(irn="0" * 64, **(CANCEL | {"supplier_gstin": HOSPITAL.gstin})),
        }
        with pytest.raises(RequestError) as caught:
            await calls[operation]()
        assert caught.value.code == "EINVOICE_WRONG_GSTIN"
        assert (await made.client.get("/_sim/state")).json()["calls"] == {}


@BOTH
async def test_what_cannot_be_sent_is_not_sent(dialect):
    async with bench(dialect) as made:
        with pytest.raises(RequestError):
            await made.connector.generate_irn(document=bill_of_supply())
        for remark in ("", " ", "x" * 101):
            with pytest.raises(RequestError):
                await made.connector.cancel_irn(irn="0" * 64, **(CANCEL | {"remark": remark}))
        with pytest.raises(RequestError):
            await made.connector.get_by_irn(irn="../x", supplier_gstin=LAB.gstin)


@BOTH
async def test_tampered_signature_is_refused(dialect):
    async with bench(dialect) as made:
        made.portal.drill.wrong_signature = True
        record = await made.connector.generate_irn(document=invoice())
        with pytest.raises(AuthError) as caught:
            made.connector.verify(record=record, document=invoice())
        assert caught.value.code == "EINVOICE_SIGNATURE_INVALID"


async def test_signed_document_must_be_ours():
    async with bench("adaequare") as made:
        record = await made.connector.generate_irn(document=invoice())
        with pytest.raises(MessageError) as caught:
            made.connector.verify(record=record, document=invoice(supplies=(TRAINING,)))
        assert caught.value.code == "EINVOICE_CONTENT_DIFFERS"
        assert "TotInvVal" in caught.value.message


@pytest.mark.parametrize(("code", "document"), DEFECTS, ids=[f"{code}-{at}" for at, (code, _) in enumerate(DEFECTS)])
def test_portal_refuses_every_defect_with_the_same_code(code, document):
    portal = Bench("adaequare").portal
    body = parsed(json.dumps(invoice_to_wire(document).as_json()).encode())
    with pytest.raises(RefusalError) as caught:
        portal.generate(document.supplier.gstin, body)
    assert code in {fault.code for fault in caught.value.faults}
    assert portal.registered == {}


async def test_portal_takes_the_request_sample_and_makes_the_answer_sample():
    async with bench("adaequare") as made:
        token = (
            await made.client.post(
                "/gsp/authenticate?grant_type=token",
                headers={"gspappid": made.config.client_id, "gspappsecret": made.config.client_secret},
            )
        ).json()
        headers = {
            "authorization": f"{token['token_type']} {token['access_token']}",
            "user_name": made.config.username,
            "password": made.config.password,
            "gstin": LAB.gstin,
        }
        for path, operation in (("", "generate_irn"), ("/cancel", "cancel_irn")):
            answer = await made.client.post(
                f"/test/enriched/ei/api/invoice{path}",
                content=CASES.wire(f"{operation}.request.json"),
                headers=headers | {"requestid": operation},
            )
            sample = json.loads(CASES.wire(f"{operation}.response.json"))
            body = answer.json()
            assert {"success": body["success"], "message": body["message"]} == {
                "success": True,
                "message": sample["message"],
            }
            assert body["result"].keys() == sample["result"].keys()
        again = await made.client.post("/enriched/ei/api/invoice", headers=headers | {"requestid": "cancel_irn"})
        assert again.json()["success"] is False


async def test_portal_checks_the_buyer_in_its_master():
    config = PortalConfig(
        taxpayers={
            LAB.gstin: Taxpayer(LAB.gstin, above_10_crore=True),
            DEMO_BUYER: Taxpayer(DEMO_BUYER, status="CNL", deregistered_on=date(2026, 1, 31)),
        }
    )
    async with bench("nic", config) as made:
        with pytest.raises(RejectedError) as caught:
            await made.connector.generate_irn(document=invoice())
        assert caught.value.partner_code == "3074"
        unknown = replace(HOSPITAL, gstin="29AAECH8765L1ZA")
        with pytest.raises(RejectedError) as caught:
            await made.connector.generate_irn(document=invoice(buyer=unknown))
        assert caught.value.partner_code == "3028"
        late = invoice(document_date=DAY - timedelta(days=30))
        with pytest.raises(RejectedError) as caught:
            await made.connector.generate_irn(document=late)
        assert caught.value.partner_code == "2305"


async def test_pages_and_switches():
    async with bench("adaequare") as made:
        await made.connector.generate_irn(document=invoice())
        page = await made.client.get("/")
        assert "B1-2627-000123" in page.text
        keys = (await made.client.get("/_sim/public-key")).json()
        assert keys["signing_keys"] == made.settings.signing_keys
        state = (await made.client.get("/_sim/state")).json()
        assert [entry["irn"] for entry in state["registered"]] == [invoice().irn]
        changed = await made.client.post("/_sim/portal", json={"refuse_next": "2147", "wrong_signature": True})
        assert changed.json() == {"wrong_signature": True, "refuse_next": "2147"}
        with pytest.raises(UnavailableError):
            await made.connector.generate_irn(document=invoice())
        assert made.portal.drill.refuse_next == ""
