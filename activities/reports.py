"""Issuing a report: rendered, stored, then made known, in this order, so that no row points to a missing document."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from sqlalchemy import func
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession
from temporalio import activity

from activities.people import system
from activities.report_content import ReportedTest, ReportIdentity, report_content, reported_tests
from connectors.files import FilesConnector, StoredObject, object_key
from domain.clock import utc_now
from domain.enums import LineState, ReportState, VerificationLevel
from domain.errors import ConflictError, RuleError
from domain.ids import new_id
from domain.report import ReportContent, faults_of
from rendering.report import render_report
from store import audit
from store.progress import OrderFacts, count_rows, order_facts
from store.session import Database
from store.tables.results import Report, Verification
from store.timeline import EventDetail, add_event

PDF = "application/pdf"
_TOKEN_BYTES = 16


class IssueReport(BaseModel):
    """Asks for the next version of an order's report."""

    model_config = ConfigDict(frozen=True)
    order_no: str


class IssuedReport(BaseModel):
    """The version now in force."""

    model_config = ConfigDict(frozen=True)
    report_id: str
    report_no: str
    version: int


@dataclass(frozen=True)
class _Draft:
    """A version that is about to be issued.

    Attributes:
        results: Row ids of the result versions that it prints.
    """

    report_id: UUID
    results: frozenset[UUID]
    check_token: str
    content: ReportContent
    is_confidential: bool


@dataclass(frozen=True)
class ReportActivities:
    """Rendering runs on threads: typst and the object store block.

    Attributes:
        public_url: Where patients reach the lab's check page, without a slash at the end.
    """

    database: Database
    files: FilesConnector
    public_url: str

    @activity.defn(name="reports.issue_report")
    async def issue_report(self, request: IssueReport) -> IssuedReport:
        """Issue the next version, or return the one in force when it covers the order as it stands.

        Raises:
            ConflictError: Not every test is authorised any more, or the order was cancelled: the run counts again.
            RuleError: Something that a report must say is not on record: a person must look.
        """
        async with self.database.transaction() as session:
            facts = await order_facts(session, request.order_no)
            issued = await _in_force(session, facts)
            if issued is not None:
                return issued
            draft = await self._draft(session, facts)
        pdf = await asyncio.to_thread(render_report, draft.content)
        key = object_key("reports", str(draft.report_id), draft.content.version, hashlib.sha256(pdf).hexdigest())
        stored = await asyncio.to_thread(self.files.put, key, pdf, PDF)
        async with self.database.transaction() as session:
            facts = await order_facts(session, request.order_no, for_update=True)
            return await _in_force(session, facts) or await _record(session, facts, draft, stored)

    async def _draft(self, session: AsyncSession, facts: OrderFacts) -> _Draft:
        await _require_authorised(session, facts)
        tests = await reported_tests(session, facts)
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        version = await _next_version(session, facts)
        identity = ReportIdentity(
            report_no=f"{facts.order.order_no}-R{version}",
            version=version,
            verification_url=f"{self.public_url}/check/{token}",
            reported_at=utc_now(),
        )
        content = await report_content(session, facts, tests, identity)
        faults = faults_of(content)
        if faults:
            raise RuleError(
                f"the report may not be issued: {'; '.join(faults)}", code="REPORT_INCOMPLETE",
                action="Complete the record (patient, sample times, signatory), then retry the step.",
            )  # fmt: skip
        results = frozenset(reported.result.id for reported in tests)
        return _Draft(new_id(), results, token, content, _is_confidential(tests))


async def _require_authorised(session: AsyncSession, facts: OrderFacts) -> None:
    counts = await count_rows(session, facts.order)
    if (
        facts.order.cancel_reason
        or counts.lines[LineState.AUTHORISED] != counts.tests_wanted
        or not counts.tests_wanted
    ):
        raise ConflictError("not every test of the order is authorised", code="ORDER_NOT_AUTHORISED")


async def _next_version(session: AsyncSession, facts: OrderFacts) -> int:
    last = await session.exec(select(func.max(Report.version)).where(Report.order_id == facts.order.id))
    return (last.one() or 0) + 1


async def _in_force(session: AsyncSession, facts: OrderFacts) -> IssuedReport | None:
    query = select(Report).where(Report.order_id == facts.order.id, Report.state == ReportState.ISSUED)
    report = (await session.exec(query)).one_or_none()
    if report is None:
        return None
    return IssuedReport(report_id=str(report.id), report_no=report.report_no, version=report.version)


def _is_confidential(tests: Sequence[ReportedTest]) -> bool:
    return any(reported.test.is_confidential for reported in tests)


async def _record(session: AsyncSession, facts: OrderFacts, draft: _Draft, stored: StoredObject) -> IssuedReport:
    await _require_authorised(session, facts)
    results = frozenset(reported.result.id for reported in await reported_tests(session, facts))
    if results != draft.results:
        raise ConflictError("the results changed while the report was made", code="ORDER_NOT_AUTHORISED")
    signer = await session.exec(
        select(Verification.user_id)
        .where(
            Verification.level == VerificationLevel.MEDICAL,
            col(Verification.result_id).in_(results),
        )
        .order_by(col(Verification.created_at).desc())
        .limit(1)
    )
    content = draft.content
    session.add(
        Report(
            id=draft.report_id,
            order_id=facts.order.id,
            branch_id=facts.branch.id,
            report_no=content.report_no,
            version=content.version,
            state=ReportState.ISSUED,
            bucket=stored.bucket,
            object_key=stored.key,
            object_version=stored.version_id,
            sha256=stored.sha256,
            size_bytes=stored.size,
            check_token=draft.check_token,
            is_confidential=draft.is_confidential,
            issued_at=content.reported_at,
            signed_by=signer.one(),
        )
    )
    await session.flush()
    detail: EventDetail = {"report_no": content.report_no, "version": content.version, "sha256": stored.sha256}
    await add_event(session, facts.order.id, source="LabOrder", kind="report_issued", detail=detail)
    await audit.record(
        session, chain=facts.branch.code, actor=system("LabOrder"), action="report.issued", object_kind="report",
        object_id=content.report_no, body=detail,
    )  # fmt: skip
    return IssuedReport(report_id=str(draft.report_id), report_no=content.report_no, version=content.version)
