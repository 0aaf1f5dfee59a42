"""What every command function is given, and the loads they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from activities.people import Actor
from activities.resulting import TestLine, intervals_of
from domain.clock import utc_now
from domain.enums import SampleState
from domain.errors import ConflictError, NotFoundError, RuleError
from store import audit
from store.audit import Body
from store.progress import OrderFacts
from store.tables.catalogue import LabTest
from store.tables.orders import OrderLine, Sample
from store.tables.patients import Patient
from store.timeline import EventDetail, add_event

CLOCK_TOLERANCE = timedelta(minutes=2)
"""How far a time typed or scanned elsewhere may lie in the future."""


@dataclass(frozen=True)
class CommandContext:
    """One command being applied, in its transaction.

    Attributes:
        command_id: Also the idempotency key of what it writes.
    """

    session: AsyncSession
    facts: OrderFacts
    actor: Actor
    command_id: UUID

    async def event(self, kind: str, detail: EventDetail) -> None:
        """Add a line to the order's timeline."""
        await add_event(
            self.session, self.facts.order.id, source="staff", kind=kind, actor=self.actor.username, detail=detail
        )

    async def audit(self, action: str, object_kind: str, object_id: str, body: Body | None = None) -> None:
        """Add a line to the branch's audit chain; call it last."""
        await audit.record(
            self.session,
            chain=self.facts.branch.code,
            actor=self.actor.username,
            action=action,
            object_kind=object_kind,
            object_id=object_id,
            body=body,
        )

    async def sample(self, accession_no: str) -> Sample:
        """Load one of the order's samples, locked.

        Raises:
            NotFoundError: The number is none of the order's.
        """
        query = select(Sample).where(Sample.accession_no == accession_no, Sample.order_id == self.facts.order.id)
        sample = (await self.session.exec(query.with_for_update())).one_or_none()
        if sample is None:
            raise NotFoundError(
                f"sample {accession_no} does not belong to this order",
                code="SAMPLE_NOT_FOUND",
                action="Scan the label again; if it persists, look the number up in the sample search.",
            )
        return sample

    async def lines(self) -> Sequence[tuple[OrderLine, LabTest]]:
        """Load the order's tests, locked, in report order."""
        query = (
            select(OrderLine, LabTest)
            .join(LabTest, col(LabTest.id) == col(OrderLine.test_id))
            .where(OrderLine.order_id == self.facts.order.id)
            .order_by(col(OrderLine.position))
            .with_for_update(of=OrderLine)
        )
        return [(line, test) for line, test in (await self.session.exec(query)).all()]

    async def test_line(self, line: OrderLine, test: LabTest) -> TestLine:
        """Load what a result of `line` depends on.

        Raises:
            ConflictError: The sample has not been received.
        """
        sample = await self.session.get_one(Sample, line.sample_id)
        if sample.state is not SampleState.RECEIVED:
            raise ConflictError(
                f"the sample of {test.code} has not been received", code="SAMPLE_NOT_RECEIVED",
                action="Receive the sample first.",
            )  # fmt: skip
        patient = await self.session.get_one(Patient, self.facts.order.patient_id)
        return TestLine(line, test, sample, patient, await intervals_of(self.session, test.id))


def checked_time(moment: datetime | None, *, not_before: datetime | None, what: str) -> datetime:
    """Return `moment`, or now; times of one sample must be in order.

    Raises:
        RuleError: It lies in the future or before the step it follows.

    Source: ISO 15189:2022, 7.2.6.1: dates and times of collection and receipt are recorded; a result reported before
    its sample was taken is a defect that nobody can explain later.
    """
    now = utc_now()
    chosen = moment or now
    if chosen > now + CLOCK_TOLERANCE:
        raise RuleError(f"{what} lies in the future", code="TIME_IN_FUTURE", action="Check the clock and the time.")
    if not_before is not None and chosen < not_before - CLOCK_TOLERANCE:
        raise RuleError(
            f"{what} lies before the step it follows",
            code="TIME_OUT_OF_ORDER",
            action="Check the time that was entered.",
        )
    return chosen
