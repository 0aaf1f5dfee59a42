"""Reads and writes what leaves the lab: notifications, care contexts, exchanges with ABDM, consents, transfers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from domain.clock import utc_now
from domain.enums import CareContextState, ReportState
from domain.errors import NotFoundError
from domain.ids import new_id
from domain.messaging import DeliveryState
from store.progress import OrderFacts, order_facts
from store.tables.orders import Order, OrderEvent
from store.tables.organisation import Branch
from store.tables.patients import Patient
from store.tables.results import Report
from store.tables.sharing import (
    AbdmExchange,
    CareContextRow,
    Consent,
    HealthInfoTransferRow,
    LinkToken,
    Notification,
)
from store.timeline import EventDetail, add_event

QUEUED = "queued"
SENDING = "sending"
UNKNOWN = "unknown"

_OPEN_CONTEXTS = (CareContextState.LINKED, CareContextState.NOTIFIED)


@dataclass(frozen=True)
class SharedReport:
    """A report version with everything that decides whether it may leave."""

    facts: OrderFacts
    report: Report
    patient: Patient

    @property
    def is_in_force(self) -> bool:
        """False once another version replaced it, or it was withdrawn."""
        return self.report.state is ReportState.ISSUED


async def shared_report(
    session: AsyncSession, order_no: str, report_id: str, *, for_update: bool = False
) -> SharedReport:
    """Load a report version with its order and patient.

    Args:
        session: The transaction.
        order_no: Of the order.
        report_id: Row id of the version.
        for_update: Lock the order's row, so that what is noted about it is noted once.

    Raises:
        NotFoundError: There is none.
    """
    facts = await order_facts(session, order_no, for_update=for_update)
    query = select(Report).where(Report.id == UUID(report_id), Report.order_id == facts.order.id)
    report = (await session.exec(query)).one_or_none()
    if report is None:
        raise NotFoundError(f"order {order_no} has no such report", code="REPORT_NOT_FOUND")
    return SharedReport(facts, report, await session.get_one(Patient, facts.order.patient_id))


async def branch_code_of(session: AsyncSession, order_id: UUID) -> str:
    """Return the code of the branch that an order belongs to, which is the name of its audit chain."""
    query = select(Branch.code).join(Order, col(Order.branch_id) == col(Branch.id)).where(Order.id == order_id)
    return (await session.exec(query)).one()


async def event_once(
    session: AsyncSession, order_id: UUID, *, source: str, kind: str, key: str, detail: EventDetail
) -> bool:
    """Add a line to an order's timeline unless there is one of this kind with the same `detail[key]`.

    The order's row must be locked.

    Returns:
        True when it was added.
    """
    query = select(OrderEvent.seq).where(
        OrderEvent.order_id == order_id,
        OrderEvent.kind == kind,
        col(OrderEvent.detail)[key].astext == str(detail[key]),
    )
    if (await session.exec(query)).first() is not None:
        return False
    await add_event(session, order_id, source=source, kind=kind, detail=detail)
    return True


# Notifications


async def claim_notification(
    session: AsyncSession, order_id: UUID, *, purpose_key: str, template: str, channel: str, language: str
) -> Notification:
    """Return the one row of a purpose and channel, locked; made now if there was none."""
    facts = {
        "id": new_id(), "created_at": utc_now(), "order_id": order_id, "purpose_key": purpose_key,
        "template": template, "channel": channel, "language": language, "provider_id": "", "state": QUEUED,
        "error_code": "", "updated_at": utc_now(),
    }  # fmt: skip
    await session.execute(insert(Notification).values(facts).on_conflict_do_nothing())
    query = select(Notification).where(Notification.purpose_key == purpose_key, Notification.channel == channel)
    return (await session.exec(query.with_for_update())).one()


async def lock_notification(session: AsyncSession, notification_id: UUID) -> Notification:
    """Return a notification, locked."""
    query = select(Notification).where(Notification.id == notification_id)
    return (await session.exec(query.with_for_update().execution_options(populate_existing=True))).one()


async def find_notification(session: AsyncSession, channel: str, *, reference: str, provider_id: str) -> UUID | None:
    """Return whom a status report is about: by our id that it echoes, else by the provider's."""
    query = select(Notification.id).where(Notification.channel == channel)
    own = as_uuid(reference)
    if own is not None:
        query = query.where(Notification.id == own)
    elif provider_id:
        query = query.where(Notification.provider_id == provider_id)
    else:
        return None
    return (await session.exec(query.limit(1))).one_or_none()


def reached(row: Notification) -> DeliveryState | None:
    """Return how far a message got, or None while that is not known."""
    return DeliveryState(row.state) if row.state in set(DeliveryState) else None


def advance(row: Notification, reported: DeliveryState) -> bool:
    """Move a message's state upwards; False when the report says nothing new."""
    before = reached(row)
    after = reported if before is None else before.advanced(reported)
    if after is before:
        return False
    row.state, row.updated_at = after.value, utc_now()
    return True


# Linking at ABDM

_KEEP_TOKEN = text(
    "insert into link_tokens (id, created_at, patient_id, hip_id, sealed_token, expires_at)"
    " values (:id, :now, :patient_id, :hip_id, :sealed, :expires_at) on conflict (patient_id, hip_id)"
    " do update set sealed_token = :sealed, expires_at = :expires_at"
)
_EXPIRE_TOKEN = text(
    "update link_tokens set expires_at = :now where patient_id = :patient_id and hip_id = :hip_id and expires_at > :now"
)


async def link_token_of(session: AsyncSession, patient_id: UUID, hip_id: str) -> LinkToken | None:
    """Return a patient's link token at a facility while it is valid."""
    query = select(LinkToken).where(
        LinkToken.patient_id == patient_id, LinkToken.hip_id == hip_id, col(LinkToken.expires_at) > utc_now()
    )
    return (await session.exec(query)).one_or_none()


async def keep_link_token(
    session: AsyncSession, patient_id: UUID, hip_id: str, *, sealed: str, expires_at: datetime
) -> None:
    """Store a link token in place of the one before."""
    facts = {
        "id": new_id(), "now": utc_now(), "patient_id": patient_id, "hip_id": hip_id, "sealed": sealed,
        "expires_at": expires_at,
    }  # fmt: skip
    await session.execute(_KEEP_TOKEN, facts)


async def expire_link_token(session: AsyncSession, patient_id: UUID, hip_id: str) -> None:
    """Stop using a patient's link token."""
    await session.execute(_EXPIRE_TOKEN, {"now": utc_now(), "patient_id": patient_id, "hip_id": hip_id})


async def open_exchange(
    session: AsyncSession, request_id: UUID, *, api: str, business_key: str, workflow_id: str
) -> AbdmExchange:
    """Return the record of a request, made before it is first sent."""
    facts = {
        "id": request_id, "created_at": utc_now(), "api": api, "business_key": business_key,
        "workflow_id": workflow_id, "answered_at": None, "error_code": "",
    }  # fmt: skip
    await session.execute(insert(AbdmExchange).values(facts).on_conflict_do_nothing())
    return await session.get_one(AbdmExchange, request_id)


async def lock_exchange(session: AsyncSession, request_id: UUID) -> AbdmExchange | None:
    """Return the record of a request, locked, or None where it is not one of ours."""
    return (
        await session.exec(select(AbdmExchange).where(AbdmExchange.id == request_id).with_for_update())
    ).one_or_none()


async def exchanges_of(session: AsyncSession, request_ids: Sequence[str]) -> Sequence[AbdmExchange]:
    """Return the records of requests, in the order in which they were made."""
    wanted = [UUID(request_id) for request_id in request_ids]
    query = select(AbdmExchange).where(col(AbdmExchange.id).in_(wanted)).order_by(col(AbdmExchange.created_at))
    return (await session.exec(query)).all()


async def care_context_of(session: AsyncSession, reference: str) -> CareContextRow | None:
    """Return the care context with a reference, locked."""
    query = select(CareContextRow).where(CareContextRow.reference == reference)
    return (await session.exec(query.with_for_update())).one_or_none()


# Consents and transfers at ABDM


async def consent_of(session: AsyncSession, consent_id: str) -> Consent | None:
    """Return a consent by the network's id."""
    return (await session.exec(select(Consent).where(Consent.consent_id == consent_id))).one_or_none()


async def claim_consent(session: AsyncSession, row: Consent) -> tuple[Consent, bool]:
    """Return the stored consent of this id, locked, and whether `row` was stored as it just now."""
    added = insert(Consent).values(row.model_dump()).on_conflict_do_nothing().returning(col(Consent.id))
    is_new = (await session.execute(added)).first() is not None
    query = select(Consent).where(Consent.consent_id == row.consent_id).with_for_update()
    return (await session.exec(query)).one(), is_new


async def add_transfer(session: AsyncSession, row: HealthInfoTransferRow) -> None:
    """Store a request for health information; a repeated one changes nothing."""
    await session.execute(insert(HealthInfoTransferRow).values(row.model_dump()).on_conflict_do_nothing())


async def transfer_of(session: AsyncSession, transaction_id: str, *, for_update: bool = False) -> HealthInfoTransferRow:
    """Return a stored request.

    Raises:
        NotFoundError: There is none.
    """
    query = select(HealthInfoTransferRow).where(HealthInfoTransferRow.transaction_id == transaction_id)
    if for_update:
        query = query.with_for_update()
    found = (await session.exec(query)).one_or_none()
    if found is None:
        raise NotFoundError("there is no such request for health information", code="TRANSFER_NOT_FOUND")
    return found


async def linked_reports(session: AsyncSession, references: Sequence[str]) -> list[SharedReport]:
    """Return the reports in force behind the linked care contexts among `references`; confidential ones never."""
    query = (
        select(Order, Branch, Report, Patient)
        .join(Branch, col(Branch.id) == col(Order.branch_id))
        .join(Report, col(Report.order_id) == col(Order.id))
        .join(Patient, col(Patient.id) == col(Order.patient_id))
        .join(CareContextRow, col(CareContextRow.reference) == col(Order.order_no))
        .where(
            col(CareContextRow.reference).in_(references),
            col(CareContextRow.state).in_(_OPEN_CONTEXTS),
            Report.state == ReportState.ISSUED,
            col(Report.is_confidential).is_(False),
            col(Patient.erased_at).is_(None),
        )
        .order_by(col(Order.order_no))
    )
    rows = (await session.exec(query)).all()
    return [SharedReport(OrderFacts(order, branch), report, patient) for order, branch, report, patient in rows]


def as_uuid(value: str) -> UUID | None:
    """Return `value` as a row id, or None where it is none."""
    try:
        return UUID(value)
    except ValueError:
        return None
