"""Issuing reports: rendered, kept in a real object store, and made known once."""

import asyncio
import hashlib
from collections.abc import Callable
from io import BytesIO

import pytest
from pydantic import SecretStr
from pypdf import PdfReader
from sqlalchemy import text
from sqlmodel import select

from activities.reports import IssuedReport, IssueReport, ReportActivities
from connectors.files import FilesConnector
from connectors.files.connector import StoredObject
from connectors.files.settings import FilesSettings
from devstack.objectstore import ObjectStore
from domain.clock import utc_now
from domain.enums import ReportState
from domain.errors import ConflictError, RuleError, UnavailableError
from domain.messages import CommandKind
from store.tables.results import Report
from tests.fixtures.bench import Bench

URL = "https://lab.example"


@pytest.fixture(scope="module")
def files(object_store: ObjectStore) -> FilesConnector:
    connector = FilesConnector(
        FilesSettings(
            endpoint=object_store.endpoint, access_key=object_store.access_key,
            secret_key=SecretStr(object_store.secret_key), bucket="issued-reports", secure=False,
        )
    )  # fmt: skip
    connector.ensure_bucket()
    return connector


@pytest.fixture
def reports(bench: Bench, files: FilesConnector) -> ReportActivities:
    return ReportActivities(bench.database, files, URL)


async def rows(bench: Bench, order) -> list[Report]:
    async with bench.database.transaction() as session:
        query = select(Report).where(Report.order_id == order.order_id).order_by(Report.version)
        return list((await session.exec(query)).all())


async def issue(reports: ReportActivities, order) -> IssuedReport:
    return await reports.issue_report(IssueReport(order_no=order.order_no))


async def printed(files: FilesConnector, report: Report) -> str:
    pdf = await asyncio.to_thread(files.get, report.object_key, report.object_version, sha256=report.sha256)
    return " ".join(" ".join(page.extract_text() for page in PdfReader(BytesIO(pdf)).pages).split())


class Interrupted:
    """A store during whose writing something happens."""

    def __init__(self, files: FilesConnector, happens: Callable[[], None]) -> None:
        self.files = files
        self.happens = happens

    def put(self, key: str, data: bytes, content_type: str) -> StoredObject:
        stored = self.files.put(key, data, content_type)
        self.happens()
        return stored


def during(bench: Bench, files: FilesConnector, statement: str, order) -> ReportActivities:
    """Return activities during whose upload `statement` is committed by somebody else."""
    loop = asyncio.get_running_loop()

    async def change() -> None:
        async with bench.database.transaction() as session:
            await session.execute(text(statement), {"id": order.order_id})

    return ReportActivities(
        bench.database, Interrupted(files, lambda: asyncio.run_coroutine_threadsafe(change(), loop).result(10)), URL
    )


async def test_a_report_is_kept_and_made_known(bench: Bench, reports, files: FilesConnector):
    order = await bench.authorised(CREA="1.137", K="6.9")
    issued = await issue(reports, order)
    assert (issued.report_no, issued.version) == (f"{order.order_no}-R1", 1)
    (row,) = await rows(bench, order)
    assert (str(row.id), row.state, row.is_confidential) == (issued.report_id, ReportState.ISSUED, False)
    assert row.signed_by == bench.lab.users["pathologist"]
    pdf = await asyncio.to_thread(files.get, row.object_key, row.object_version)
    assert pdf.startswith(b"%PDF-")
    assert (row.sha256, row.size_bytes) == (hashlib.sha256(pdf).hexdigest(), len(pdf))
    (event,) = [event for event in await bench.events(order) if event.kind == "report_issued"]
    assert event.detail == {"report_no": issued.report_no, "version": 1, "sha256": row.sha256}
    (entry,) = await bench.audited(issued.report_no)
    assert (entry.actor, entry.action) == ("system:LabOrder", "report.issued")


async def test_it_prints_what_was_measured_and_who_signed(bench: Bench, reports, files: FilesConnector):
    order = await bench.authorised(CREA="1.137", K="6.9", CRP="<0.3")
    await issue(reports, order)
    (row,) = await rows(bench, order)
    words = await printed(files, row)
    for expected in (
        "Asha Verma", order.order_no, order.samples[0].accession_no, "Creatinine", "1.14", "6.9", "< 0.3",
        "Dr. Meera Krishnan", "Suresh Pillai",
    ):  # fmt: skip
        assert expected.replace(" ", "") in words.replace(" ", ""), expected
    assert row.check_token not in row.object_key


async def test_a_repeated_step_returns_the_report_in_force(bench: Bench, reports):
    order = await bench.authorised(CREA="1.0")
    first = await issue(reports, order)
    assert await issue(reports, order) == first
    assert len(await rows(bench, order)) == 1
    assert (await bench.kinds(order)).count("report_issued") == 1


async def test_two_at_once_make_one_report(bench: Bench, reports):
    order = await bench.authorised(CREA="1.0")
    first, second = await asyncio.gather(issue(reports, order), issue(reports, order))
    assert first == second
    assert len(await rows(bench, order)) == 1


async def test_what_is_not_authorised_is_not_reported(bench: Bench, reports):
    order = await bench.received("CREA", "UREA")
    await bench.enter(order, CREA="1.0", UREA="30")
    await bench.verify(order)
    await bench.authorise(order, {"test_code": "CREA"})
    with pytest.raises(ConflictError) as caught:
        await issue(reports, order)
    assert caught.value.code == "ORDER_NOT_AUTHORISED"
    assert await rows(bench, order) == []


async def test_a_cancelled_order_is_not_reported(bench: Bench, reports):
    order = await bench.authorised(CREA="1.0")
    await bench.do(CommandKind.CANCEL_ORDER, order, {"reason": "wrong patient"})
    with pytest.raises(ConflictError):
        await issue(reports, order)


@pytest.mark.parametrize(
    "statement",
    [
        "update order_lines set state = 'verified' where order_id = :id",
        "update orders set cancel_reason = 'wrong patient' where id = :id",
        "update results set state = 'superseded' from order_lines l where l.id = order_line_id and l.order_id = :id",
    ],
)
async def test_a_test_that_goes_back_while_the_report_is_made(bench: Bench, files, statement):
    order = await bench.authorised(CREA="1.0")
    with pytest.raises(ConflictError) as caught:
        await issue(during(bench, files, statement, order), order)
    assert caught.value.code == "ORDER_NOT_AUTHORISED"
    assert await rows(bench, order) == []


async def test_a_confidential_test_marks_the_report(bench: Bench, reports):
    order = await bench.authorised(HIV12="Non-reactive")
    await issue(reports, order)
    assert [row.is_confidential for row in await rows(bench, order)] == [True]


async def test_a_rejected_tube_is_mentioned(bench: Bench, reports, files: FilesConnector):
    order = await bench.received()
    payload = {"accession_no": order.samples[0].accession_no, "reason_code": "haemolysed"}
    await bench.do(CommandKind.REJECT_SAMPLE, order, payload)
    new = (await bench.samples(order))[1].accession_no
    await bench.do(CommandKind.COLLECT_SAMPLES, order, {"samples": [{"accession_no": new}]})
    await bench.do(CommandKind.RECEIVE_SAMPLES, order, {"accession_nos": [new]})
    await bench.enter(order, CREA="1.0")
    await bench.verify(order)
    await bench.authorise(order)
    await issue(reports, order)
    assert "haemolysed" in await printed(files, (await rows(bench, order))[0])


async def test_an_incomplete_record_waits_for_a_person(bench: Bench, reports):
    """No ConflictError: the run would count again and come straight back."""
    order = await bench.authorised(CREA="1.0")
    async with bench.database.transaction() as session:
        moved = text("update samples set collected_at = received_at + interval '1 day' where order_id = :id")
        await session.execute(moved, {"id": order.order_id})
    with pytest.raises(RuleError) as caught:
        await issue(reports, order)
    assert caught.value.code == "REPORT_INCOMPLETE"
    assert not isinstance(caught.value, ConflictError)


async def test_two_clocks_that_differ_a_little_do_not_stop_a_report(bench: Bench, reports):
    from datetime import timedelta

    order, fast = await bench.order(), utc_now() + timedelta(seconds=2)
    drawn = {"accession_no": order.samples[0].accession_no, "collected_at": fast.isoformat()}
    await bench.do(CommandKind.COLLECT_SAMPLES, order, {"samples": [drawn]})
    await bench.receive(order)
    (sample,) = await bench.samples(order)
    assert sample.received_at >= sample.collected_at
    await bench.enter(order, CREA="1.0")
    await bench.verify(order)
    await bench.authorise(order)
    await asyncio.sleep(max(0.0, (fast - utc_now()).total_seconds()))
    assert (await issue(reports, order)).version == 1


async def test_a_store_that_is_away_leaves_no_row(bench: Bench):
    gone = FilesConnector(FilesSettings(endpoint="127.0.0.1:1", access_key="a", secret_key=SecretStr("secret-key"),
                                        secure=False, connect_timeout_s=1))  # fmt: skip
    order = await bench.authorised(CREA="1.0")
    with pytest.raises(UnavailableError):
        await issue(ReportActivities(bench.database, gone, URL), order)
    assert await rows(bench, order) == []
