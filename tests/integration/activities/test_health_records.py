"""Steps with ABDM one by one: what may be linked, exchanges and tokens on record, records as FHIR."""

import uuid
from datetime import timedelta

import pytest
from pydantic import SecretStr
from sqlmodel import select

from activities import care_contexts
from activities.health_records import AskGateway, HealthRecordActivities, SetCareContext, TakeAnswer, TransferStep
from activities.record_bundle import diagnostic_record
from activities.sealing import SealError, seal, unseal
from connectors.abdm import fhir_json
from connectors.abdm.bundle import render_bundle
from domain.clock import utc_now
from domain.diagnostic_records import RecordStatus
from domain.enums import CareContextState, Sex
from domain.errors import NotFoundError, RejectedError, RequestError, RuleError
from domain.health_records import AnswerOutcome, GatewayAnswer
from domain.sharing_messages import ReportRef
from store import sharing
from store.tables.organisation import Branch
from store.tables.sharing import AbdmExchange, LinkToken
from tests.fixtures.sharing_desk import CONFIDENTIAL_TEST, HIP_ID, IssuedReport, SharingDesk


def key(report: IssuedReport) -> ReportRef:
    return ReportRef(order_no=report.order_no, report_id=report.report_id)


def ask(report: IssuedReport, request_id: str = "") -> AskGateway:
    return AskGateway(order_no=report.order_no, report_id=report.report_id, request_id=request_id or str(uuid.uuid4()))


async def give_token(desk: SharingDesk, report: IssuedReport, token: str = "") -> None:
    """Let the gateway have answered a request for a link token."""
    person = desk.network.people["asha.k@sbx"]
    answer = GatewayAnswer(
        str(uuid.uuid4()), AnswerOutcome.DONE, link_token=token or desk.network.link_token(person, HIP_ID)
    )
    async with desk.database.transaction() as session:
        await sharing.open_exchange(
            session, uuid.UUID(answer.request_id), api=care_contexts.LINK_TOKEN,
            business_key=care_contexts.token_key(report.patient_id, HIP_ID), workflow_id="w",
        )  # fmt: skip
        await care_contexts.record_answer(session, answer)


async def test_a_report_with_consent_is_to_be_linked_under_its_order_number(desk: SharingDesk):
    report = await desk.report()
    for _ in range(2):
        assert (await desk.run(desk.health_records.prepare_link, key(report))).step == "link"
    context = await desk.care_context(report)
    assert (context.reference, context.state) == (report.order_no, CareContextState.PENDING)
    assert context.display.startswith("Laboratory report ")


@pytest.mark.parametrize(
    "patient", [{"has_record_consent": False}, {"abha_number": "", "abha_address": ""}, {"erased_at": utc_now()}]
)
async def test_without_consent_or_abha_nothing_is_asked(desk: SharingDesk, patient: dict[str, object]):
    report = await desk.report(await desk.patient(**patient))
    for _ in range(2):
        assert (await desk.run(desk.health_records.prepare_link, key(report))).outcome == "no_consent"
    assert (await desk.care_context(report)).state is CareContextState.NO_CONSENT
    assert await desk.events(report) == ["record_not_shared"]


async def test_a_confidential_report_is_not_linked_even_when_asked_for(desk: SharingDesk):
    report = await desk.report(values={CONFIDENTIAL_TEST: "Non-reactive"})
    assert (await desk.run(desk.health_records.prepare_link, key(report))).outcome == "no_consent"
    for step in (desk.health_records.request_link_token, desk.health_records.link_care_context):
        with pytest.raises(RequestError) as caught:
            await desk.run(step, ask(report))
        assert caught.value.code == "RECORD_NOT_SHARED"
    assert desk.network.seen_requests == set()


async def test_a_branch_that_is_no_facility_is_left_out_and_another_facility_is_refused(desk: SharingDesk):
    report = await desk.report()
    outcomes = []
    for hip_id in ("", "IN9999999999"):
        async with desk.database.transaction() as session:
            branch = (await session.exec(select(Branch).where(Branch.code == "DEL"))).one()
            branch.hip_id = hip_id
            session.add(branch)
        try:
            outcomes.append((await desk.run(desk.health_records.prepare_link, key(report))).outcome)
            with pytest.raises(RequestError) as caught:
                await desk.run(desk.health_records.request_link_token, ask(report))
            outcomes.append(caught.value.code)
        finally:
            async with desk.database.transaction() as session:
                branch.hip_id = HIP_ID
                await session.merge(branch)
    assert outcomes == ["skipped", "FACILITY_NOT_CONNECTED", "", "FACILITY_NOT_CONNECTED"]


async def test_a_lab_without_abdm_says_what_to_set(desk: SharingDesk):
    report = await desk.report()
    alone = HealthRecordActivities(desk.database, None, None, desk.files)
    with pytest.raises(RequestError) as caught:
        await desk.run(alone.request_link_token, ask(report))
    assert caught.value.code == "PARTNER_NOT_CONFIGURED"
    assert "LABSETU_ABDM__" in caught.value.action


async def test_a_patient_who_cannot_be_matched_is_not_asked_about(desk: SharingDesk):
    report = await desk.report(await desk.patient(sex=Sex.UNKNOWN))
    with pytest.raises(RuleError) as caught:
        await desk.run(desk.health_records.request_link_token, ask(report))
    assert caught.value.code == "ABHA_GENDER_INVALID"


async def test_a_request_is_on_record_before_it_is_sent(desk: SharingDesk):
    report = await desk.report()
    desk.abdm.state.sender.behaviour.down = True
    request = ask(report)
    with pytest.raises(Exception, match="503"):
        await desk.run(desk.health_records.request_link_token, request)
    async with desk.database.transaction() as session:
        row = await session.get_one(AbdmExchange, uuid.UUID(request.request_id))
    assert (row.api, row.answered_at, row.business_key) == ("link_token", None, f"{HIP_ID}:{report.patient_id}")


async def test_a_refusal_given_at_once_is_kept(desk: SharingDesk):
    report = await desk.report(await desk.patient(abha_number="", abha_address="nobody@sbx"))
    request = ask(report)
    with pytest.raises(RejectedError):
        await desk.run(desk.health_records.request_link_token, request)
    wanted = TakeAnswer(**key(report).model_dump(), request_ids=(request.request_id,))
    answer = await desk.run(desk.health_records.take_answer, wanted)
    assert (answer.outcome, answer.code) == (AnswerOutcome.REFUSED, "ABDM-9999")


async def test_a_link_token_is_kept_sealed_and_used(desk: SharingDesk):
    report = await desk.report()
    await give_token(desk, report, "a-secret-token")
    async with desk.database.transaction() as session:
        (row,) = (await session.exec(select(LinkToken).where(LinkToken.patient_id == report.patient_id))).all()
        assert "a-secret-token" not in row.sealed_token
        assert row.expires_at > utc_now() + timedelta(days=170)
        token = await care_contexts.valid_token(session, report.patient_id, HIP_ID)
    assert token == SecretStr("a-secret-token")
    answer = await desk.run(desk.health_records.request_link_token, ask(report))
    assert answer.outcome is AnswerOutcome.DONE
    assert desk.network.seen_requests == set()


async def test_a_dropped_token_is_not_used_again(desk: SharingDesk):
    report = await desk.report()
    await give_token(desk, report)
    await desk.run(desk.health_records.drop_link_token, key(report))
    answer = await desk.run(desk.health_records.link_care_context, ask(report))
    assert answer.outcome is AnswerOutcome.TOKEN_INVALID


async def test_a_seal_opens_only_where_it_belongs(desk: SharingDesk):
    async with desk.database.transaction() as session:
        sealed = seal(session, SecretStr("x"), bound_to="here")
        assert unseal(session, sealed, bound_to="here") == SecretStr("x")
        for text, place in ((sealed, "there"), (sealed[:-4] + "AAA=", "here"), ("1.??", "here"), ("", "here")):
            with pytest.raises(SealError):
                unseal(session, text, bound_to=place)


async def test_an_abha_address_that_the_gateway_tells_is_kept(desk: SharingDesk):
    report = await desk.report(await desk.patient(abha_address=""))
    with pytest.raises(RequestError) as caught:
        await desk.run(desk.health_records.notify_care_context, ask(report))
    assert caught.value.code == "ABHA_ADDRESS_MISSING"
    request = ask(report)
    await desk.run(desk.health_records.request_link_token, request)
    async with desk.database.transaction() as session:
        answer = GatewayAnswer(request.request_id, AnswerOutcome.DONE, abha_address="asha.k@sbx", link_token="token")
        await care_contexts.record_answer(session, answer)
        shared = await sharing.shared_report(session, report.order_no, report.report_id)
    assert shared.patient.abha_address == "asha.k@sbx"


async def test_a_notice_that_overtakes_its_link_is_told_apart(desk: SharingDesk):
    report = await desk.report()
    answer = await desk.run(desk.health_records.notify_care_context, ask(report))
    assert answer.outcome is AnswerOutcome.NOT_LINKED_YET


async def test_a_new_version_is_notified_in_the_same_context(desk: SharingDesk):
    first = await desk.report()
    await desk.run(desk.health_records.prepare_link, key(first))
    for state in (CareContextState.LINKED, CareContextState.NOTIFIED, CareContextState.NOTIFIED):
        await desk.run(desk.health_records.set_care_context, SetCareContext(**key(first).model_dump(), state=state))
    assert (await desk.run(desk.health_records.prepare_link, key(first))).outcome == "notified"
    second = await desk.issue(first)
    assert (await desk.run(desk.health_records.prepare_link, key(first))).outcome == "superseded"
    assert (await desk.run(desk.health_records.prepare_link, key(second))).step == "notify"
    context = await desk.care_context(first)
    assert (str(context.report_id), context.state) == (second.report_id, CareContextState.LINKED)
    assert await desk.events(first) == ["record_linked", "record_notified"]


async def test_a_confidential_new_version_closes_the_context(desk: SharingDesk):
    first = await desk.report()
    await desk.run(desk.health_records.prepare_link, key(first))
    await desk.run(
        desk.health_records.set_care_context, SetCareContext(**key(first).model_dump(), state=CareContextState.LINKED)
    )
    second = await desk.issue(first, is_confidential=True)
    assert (await desk.run(desk.health_records.prepare_link, key(second))).outcome == "no_consent"
    async with desk.database.transaction() as session:
        assert await sharing.linked_reports(session, [first.order_no]) == []


async def test_a_record_holds_the_digits_of_the_report(desk: SharingDesk):
    report = await desk.report(values={"HGB": "10.00", "TSH": "<0.01", "VDRL": "Non-reactive"})
    async with desk.database.transaction() as session:
        shared = await sharing.shared_report(session, report.order_no, report.report_id)
        record = await diagnostic_record(session, shared, facility_id=HIP_ID, pdf=b"%PDF-1.7")
    found = {one.name: one for one in record.observations}
    haemoglobin = found["Haemoglobin"]
    assert (haemoglobin.value, haemoglobin.ucum, haemoglobin.low, haemoglobin.high, haemoglobin.interpretation) == (
        "10.0", "g/dL", "12.0", "15.1", "L",
    )  # fmt: skip
    assert haemoglobin.loinc is not None
    assert haemoglobin.loinc.code == "718-7"
    assert record.status is RecordStatus.FINAL
    assert record.practitioner.registration_no == "DMC/R/00000"
    bundle = fhir_json.loads(render_bundle(record))
    quantities = {
        entry["resource"]["code"]["text"]: str(entry["resource"].get("valueQuantity", {}).get("comparator", ""))
        + str(entry["resource"].get("valueQuantity", {}).get("value", entry["resource"].get("valueString")))
        for entry in bundle["entry"]
        if entry["resource"]["resourceType"] == "Observation"
    }
    assert quantities["Haemoglobin"] == "10.0"
    assert next(text for name, text in quantities.items() if "TSH" in name or "Thyroid" in name).startswith("<0.01")
    assert "Non-reactive" in quantities.values()


async def test_a_corrected_version_is_the_same_record_amended(desk: SharingDesk):
    first = await desk.report()
    second = await desk.issue(first)
    records = []
    for report in (first, second):
        async with desk.database.transaction() as session:
            shared = await sharing.shared_report(session, report.order_no, report.report_id)
            records.append(await diagnostic_record(session, shared, facility_id=HIP_ID))
    assert records[0].report_id == records[1].report_id
    assert [record.status for record in records] == [RecordStatus.FINAL, RecordStatus.AMENDED]


async def test_a_request_that_is_not_on_record_is_refused(desk: SharingDesk):
    with pytest.raises(NotFoundError):
        await desk.run(desk.health_records.push_records, TransferStep(transaction_id="unheard-of"))
