"""What anybody may open: the page behind a report's QR code, and a patient's own signed link."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse, PlainTextResponse

from api.deps import FromApp
from api.errors import responses
from domain.enums import ReportState
from domain.errors import NotFoundError
from rendering.check_page import CHECK_PAGE_POLICY, CheckOutcome, ReportCheck, initials_of, render_check_page
from store.reports import ReportRow, newest_version, report_by_check_token, report_by_id

router = APIRouter(tags=["public"])

_CHECK_TOKEN = re.compile(r"[A-Za-z0-9_-]{20,64}")
_ERRORS_PAGE = Path(__file__).parents[1] / "docs" / "errors.md"

_OUTCOMES = {
    ReportState.ISSUED: CheckOutcome.VALID,
    ReportState.SUPERSEDED: CheckOutcome.SUPERSEDED,
    ReportState.WITHDRAWN: CheckOutcome.WITHDRAWN,
}


@router.get("/check/{token}", responses=responses(), response_class=HTMLResponse)
async def check(token: str, resources: FromApp) -> HTMLResponse:
    """Say whether a report is genuine and the newest. It shows no result and no full name."""
    found: ReportRow | None = None
    newest = 0
    if _CHECK_TOKEN.fullmatch(token):
        async with resources.database.transaction() as session:
            found = await report_by_check_token(session, token)
            newest = await newest_version(session, found.order_id) if found else 0
    page = render_check_page(_checked(found, newest) if found else ReportCheck(CheckOutcome.UNKNOWN))
    return HTMLResponse(page, 200 if found else 404, headers={"Content-Security-Policy": CHECK_PAGE_POLICY})


def _checked(row: ReportRow, newest: int) -> ReportCheck:
    return ReportCheck(
        outcome=_OUTCOMES[row.state],
        lab_name=row.lab_name,
        report_no=row.report_no,
        version=row.version,
        newest_version=newest,
        issued_at=row.issued_at,
        patient_initials=initials_of(row.patient_name),
        sha256=row.sha256,
    )


@router.get("/r/{token}", responses=responses(404, 502), response_class=Response)
async def patient_report(token: str, resources: FromApp) -> Response:
    """Give a patient the report that the link was signed for, until the link expires.

    A confidential report is never given out this way, nor one that was replaced or withdrawn.
    """
    report_id = resources.links.report_of(token)
    async with resources.database.transaction() as session:
        found = await report_by_id(session, report_id)
    if found is None or found.is_confidential or found.state is not ReportState.ISSUED:
        raise NotFoundError(
            "the report is not available here", code="REPORT_NOT_AVAILABLE", action="Ask the laboratory for it."
        )
    content = await asyncio.to_thread(
        resources.documents.get, found.object_key, found.object_version, sha256=found.sha256
    )
    disposition = f'inline; filename="{found.report_no}-v{found.version}.pdf"'
    return Response(content, media_type="application/pdf", headers={"Content-Disposition": disposition})


@router.get("/docs/errors", response_class=PlainTextResponse, include_in_schema=False)
async def errors_page() -> PlainTextResponse:
    """Explain every error code: where the `docs` member of a problem points."""
    if not _ERRORS_PAGE.is_file():
        raise NotFoundError("this installation has no pages", code="PAGE_UNKNOWN")
    return PlainTextResponse(await asyncio.to_thread(_ERRORS_PAGE.read_text, encoding="utf-8"))
