"""Which tube a specimen id of a device is. Strict on purpose, and never a guess.

Small integers appear in rack positions, sequence numbers and specimen ids alike, so only a number with the lab's
length and check digit, of a sample in the lab's hands, collected not too long ago, of an open order of the device's
own branch, is a match.

Source: matching rules drawn from captures and from field reports of Indian laboratories, read in specs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from activities.instruments.source import Source
from activities.resulting import TestLine, intervals_of
from domain.accession import is_accession_no
from domain.device_profile import DeviceProfile
from domain.enums import SampleState
from domain.observations import SpecimenReport
from store.claims import hold_barcode
from store.tables.catalogue import LabTest
from store.tables.orders import Order, OrderLine, Sample
from store.tables.patients import Patient

_IN_HAND = {SampleState.COLLECTED, SampleState.RECEIVED}
_MAX_ID_CHARS = 64


@dataclass(frozen=True)
class Tube:
    """A sample whose results may be written, with its order locked."""

    order: Order
    sample: Sample
    barcode: str


@dataclass(frozen=True)
class NoTube:
    """Why a specimen is no such sample, in words without a name."""

    why: str


def barcode_in(specimen_id: str, profile: DeviceProfile) -> str | NoTube:
    """Return the accession number in what a device sent, by its profile's pattern."""
    barcode = specimen_id
    if profile.specimen_pattern:
        found = re.match(profile.specimen_pattern, specimen_id[:_MAX_ID_CHARS])
        if found is None:
            return NoTube("does not fit the device's pattern")
        barcode = (found[1] or "") if found.re.groups else specimen_id
    return barcode if is_accession_no(barcode) else NoTube("not an accession number")


async def find_tube(session: AsyncSession, source: Source, report: SpecimenReport) -> Tube | NoTube:
    """Return the tube and lock its order. What is returned was read after the lock was had."""
    corrected = source.corrections.get(report.specimen_id)
    barcode = corrected or barcode_in(report.specimen_id, source.profile)
    if isinstance(barcode, NoTube):
        return barcode
    located = await _locate(session, barcode)
    if located is None:
        return NoTube("no sample with this number")
    order, sample = located
    why = _refusal(source, order, sample)
    if not why and corrected is None and await _is_of_another(session, order, report.patient_ids):
        why = "the message names another patient"
    return NoTube(why) if why else Tube(order, sample, barcode)


def _refusal(source: Source, order: Order, sample: Sample) -> str:
    """Return why a tube may not take results of this device now, or ""."""
    if order.branch_id != source.analyzer.branch_id:
        return "the order belongs to another branch"
    if sample.state not in _IN_HAND or order.closed_at or order.cancel_reason:
        return f"sample is {sample.state.value}, order is {order.stage.value}"
    longest = timedelta(days=source.profile.specimen_max_age_days)
    drawn_at = sample.collected_at or sample.received_at
    if drawn_at is None or source.row.received_at - drawn_at > longest:
        return f"collected more than {longest.days} days before"
    return ""


async def _is_of_another(session: AsyncSession, order: Order, patient_ids: Sequence[str]) -> bool:
    """Tell whether the ids are numbers of the laboratory's patients, and none of them of the order's.

    Ids that are none of the laboratory's say nothing: devices put bed numbers, names and running numbers there.
    """
    if not patient_ids:
        return False
    named = await session.exec(select(Patient.id).where(col(Patient.patient_no).in_(patient_ids)))
    found = set(named.all())
    return bool(found) and order.patient_id not in found


async def _locate(session: AsyncSession, barcode: str) -> tuple[Order, Sample] | None:
    owner = select(Sample.order_id).where(Sample.accession_no == barcode)
    order_id = (await session.exec(owner)).one_or_none()
    if order_id is None:
        await hold_barcode(session, barcode)
        order_id = (await session.exec(owner)).one_or_none()
    if order_id is None:
        return None
    fresh = {"populate_existing": True}
    order = await session.exec(select(Order).where(Order.id == order_id).with_for_update().execution_options(**fresh))
    sample = await session.exec(select(Sample).where(Sample.accession_no == barcode).execution_options(**fresh))
    found = sample.one_or_none()
    return (order.one(), found) if found is not None else None


async def lines_of(session: AsyncSession, tube: Tube) -> dict[UUID, TestLine]:
    """Return the tests ordered on a tube, by the test's id."""
    query = (
        select(OrderLine, LabTest)
        .join(LabTest, col(LabTest.id) == col(OrderLine.test_id))
        .where(OrderLine.order_id == tube.order.id, OrderLine.sample_id == tube.sample.id)
        .execution_options(populate_existing=True)
    )
    patient = await session.get_one(Patient, tube.order.patient_id)
    rows: Sequence[tuple[OrderLine, LabTest]] = (await session.exec(query)).all()
    return {
        test.id: TestLine(line, test, tube.sample, patient, await intervals_of(session, test.id)) for line, test in rows
    }
