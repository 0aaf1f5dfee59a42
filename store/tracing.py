"""Everything the database knows of one tube on its way from order to report. Ids, codes and times; no values."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlmodel.ext.asyncio.session import AsyncSession

from domain.enums import (
    DeviceWorkState,
    ExceptionKind,
    ExceptionState,
    LineState,
    MessageState,
    OrderStage,
    ReportState,
    ResultState,
    SampleState,
    VerificationDecision,
    VerificationLevel,
)
from domain.errors import NotFoundError
from domain.sample_trace import (
    DecisionFacts,
    EventFacts,
    ExceptionFacts,
    LineFacts,
    MessageFacts,
    QueryFacts,
    ReportFacts,
    ResultFacts,
    TraceFacts,
    WorkFacts,
)

MAX_ROWS: Final = 200
"""Of each kind; the newest count."""

_CODE: Final = "case when t.is_confidential and not cast(:shows as boolean) then '***' else t.code end as code"


def _query(statement: str) -> TextClause:
    """Return a statement in which `$code` is a test's code, masked where it is confidential."""
    return text(statement.replace("$code", _CODE))


_SAMPLE = text(
    "select s.id, s.order_id, s.branch_id, s.accession_no, o.order_no, o.stage, o.attention, o.created_at as placed_at,"
    " p.username as placed_by, o.closed_at, o.cancel_reason, s.state as sample_state, s.collected_at,"
    " coalesce(c.username, '') as collected_by, s.received_at, coalesce(r.username, '') as received_by,"
    " s.rejected_at, s.reject_reason, coalesce((select n.accession_no from samples n where n.replaces_id = s.id"
    "   limit 1), '') as replaced_by"
    " from samples s join orders o on o.id = s.order_id join users p on p.id = o.placed_by"
    " left join users c on c.id = s.collected_by left join users r on r.id = s.received_by"
    " where s.accession_no = :accession_no and s.branch_id = any(cast(:branches as uuid[]))"
)
_LINES = _query(
    "select $code, l.state from order_lines l join tests t on t.id = l.test_id"
    " where l.sample_id = :sample_id order by l.position desc"
)
_MESSAGES = text(
    "select m.id, coalesce(a.code, '') as analyzer, m.received_at, m.read_at, m.state, m.reason, m.readings"
    " from instrument_messages m left join analyzers a on a.id = m.analyzer_id"
    " where m.id in (select i.id from instrument_messages i where i.specimen_ids @> array[:accession_no]"
    "  union select e.message_id from instrument_exceptions e where e.specimen_id = :accession_no"
    "  union select c.message_id from specimen_corrections c where c.accession_no = :accession_no"
    "   and c.undone_at is null)"
    " order by m.received_at desc limit :most"
)
_EXCEPTIONS = text(
    "select e.message_id, coalesce(a.code, '') as analyzer, e.created_at as at, e.kind, e.device_code, e.state"
    " from instrument_exceptions e left join analyzers a on a.id = e.analyzer_id"
    " where e.specimen_id = :accession_no or e.id in (select o.id from specimen_corrections c"
    "  join instrument_exceptions o on o.message_id = c.message_id and o.specimen_id = left(c.specimen_id, 100)"
    "  where c.accession_no = :accession_no and c.undone_at is null)"
    " order by e.created_at desc limit :most"
)
_QUERIES = text(
    "select a.code as analyzer, q.created_at as at, q.found, q.elapsed_ms::int as elapsed_ms"
    " from device_queries q join analyzers a on a.id = q.analyzer_id"
    " where q.created_at >= :since and q.specimen_ids @> array[:accession_no] order by q.created_at desc limit :most"
)
_WORK = text(
    "select a.code as analyzer, w.created_at as at, w.action, cardinality(w.codes) as tests, w.state, w.attempts,"
    " w.settled_at, w.note from device_work w join analyzers a on a.id = w.analyzer_id"
    " where w.order_id = :order_id and w.sample_id = :sample_id order by w.created_at desc limit :most"
)
_RESULTS = _query(
    "select $code, r.version, r.state, r.source, coalesce(a.code, '') as analyzer, r.created_at as at, r.hold_reason"
    " from results r join order_lines l on l.id = r.order_line_id join tests t on t.id = l.test_id"
    " left join analyzers a on a.id = r.analyzer_id where r.sample_id = :sample_id"
    " order by r.created_at desc limit :most"
)
_DECISIONS = _query(
    "select $code, v.level, v.decision, u.username as by, v.created_at as at from verifications v"
    " join order_lines l on l.id = v.order_line_id join tests t on t.id = l.test_id join users u on u.id = v.user_id"
    " where l.sample_id = :sample_id order by v.created_at desc limit :most"
)
_REPORTS = text(
    "select report_no, version, state, issued_at as at from reports where order_id = :order_id order by version desc"
    " limit :most"
)
_EVENTS = text(
    "select kind, source, actor, at from order_events where order_id = :order_id"
    " and (source in ('ReportDelivery', 'HealthRecordPush') or kind = 'report_withheld')"
    " order by seq desc limit :most"
)


async def trace_facts(
    session: AsyncSession, accession_no: str, branches: Sequence[UUID], *, clinical: Collection[UUID]
) -> TraceFacts:
    """Return what is known of a tube of one of the branches; each list is oldest first.

    Args:
        session: A transaction that sees these branches.
        accession_no: The number on the tube.
        branches: Where the caller may look.
        clinical: Branches where the caller may see results; elsewhere confidential tests are `***`, and what devices
            say of codes is left out.

    Raises:
        NotFoundError: There is no such tube there.
    """
    found = (
        (await session.execute(_SAMPLE, {"accession_no": accession_no, "branches": list(branches)})).mappings().first()
    )
    if found is None:
        raise NotFoundError("there is no sample with this number", code="SAMPLE_NOT_FOUND")
    sample = dict(found)
    shows_confidential = sample.pop("branch_id") in clinical
    ids = {"sample_id": sample.pop("id"), "order_id": sample.pop("order_id")}
    keys = {"accession_no": accession_no, "most": MAX_ROWS}
    shown = {**ids, "most": MAX_ROWS, "shows": shows_confidential}
    sample["stage"] = OrderStage(sample["stage"])
    sample["sample_state"] = SampleState(sample["sample_state"])
    sample["attention"] = tuple(sample["attention"])
    return TraceFacts(
        **sample,
        lines=tuple(
            LineFacts(row["code"], LineState(row["state"]))
            for row in await _rows(session, _LINES, sample_id=ids["sample_id"], shows=shows_confidential)
        ),
        messages=tuple(
            MessageFacts(
                **{
                    **row, "id": str(row["id"]), "state": MessageState(row["state"]),
                    "reason": row["reason"] if shows_confidential else "",
                }
            )
            for row in await _rows(session, _MESSAGES, **keys)
        ),
        exceptions=tuple(
            ExceptionFacts(
                **{
                    **row, "message_id": str(row["message_id"]), "kind": ExceptionKind(row["kind"]),
                    "state": ExceptionState(row["state"]),
                    "device_code": row["device_code"] if shows_confidential else "",
                }
            )
            for row in await _rows(session, _EXCEPTIONS, **keys)
        ),
        queries=tuple(
            QueryFacts(**row) for row in await _rows(session, _QUERIES, since=sample["placed_at"], **keys)
        ),
        work=tuple(
            WorkFacts(**{**row, "state": DeviceWorkState(row["state"])})
            for row in await _rows(session, _WORK, most=MAX_ROWS, **ids)
        ),
        results=tuple(
            ResultFacts(**{**row, "state": ResultState(row["state"])})
            for row in await _rows(session, _RESULTS, **_without(shown, "order_id"))
        ),
        decisions=tuple(
            DecisionFacts(
                **{
                    **row, "level": VerificationLevel(row["level"]), "decision": VerificationDecision(row["decision"]),
                }
            )
            for row in await _rows(session, _DECISIONS, **_without(shown, "order_id"))
        ),
        reports=tuple(
            ReportFacts(**{**row, "state": ReportState(row["state"])})
            for row in await _rows(session, _REPORTS, order_id=ids["order_id"], most=MAX_ROWS)
        ),
        events=tuple(
            EventFacts(**row) for row in await _rows(session, _EVENTS, order_id=ids["order_id"], most=MAX_ROWS)
        ),
    )  # fmt: skip


async def _rows(session: AsyncSession, query: TextClause, **facts: object) -> list[dict[str, Any]]:
    """Return rows that were asked for newest first, oldest first."""
    return [dict(row) for row in (await session.execute(query, facts)).mappings()][::-1]


def _without(facts: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in facts.items() if key != name}
