"""Transport of tubes between branches: packed, counted, dispatched, scanned on arrival, closed with what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from activities.handling.tubes import tubes_of
from activities.people import Actor
from domain.clock import lab_day, utc_now
from domain.enums import SampleState
from domain.errors import ConflictError, NotFoundError, RuleError
from domain.handling import ManifestState
from store import audit
from store.counters import next_number
from store.session import also_see
from store.tables.handling import Manifest, ManifestSample
from store.tables.orders import Order, Sample
from store.tables.organisation import Branch
from store.timeline import add_event

MISSING = "Transport:sample_missing"
"""Attention on an order whose tube did not arrive."""

_UNDER_WAY = text(
    "select x.accession_no from manifest_samples x join manifests m on m.id = x.manifest_id"
    " where x.sample_id = any(cast(:ids as uuid[])) and m.state <> 'closed' and x.arrived_at is null"
    " order by x.accession_no"
)
_RAISE = text(
    "update orders set attention = array_append(attention, :key) where id = :id and not (:key = any(attention))"
)
_CLEAR = text("update orders set attention = array_remove(attention, :key) where id = :id and :key = any(attention)")


@dataclass(frozen=True)
class Temperatures:
    """How cold and warm the tubes may be, in degrees Celsius; None: no matter."""

    lowest: Decimal | None = None
    highest: Decimal | None = None

    def allow(self, celsius: Decimal) -> bool:
        """Tell whether a temperature is within them."""
        return (self.lowest is None or celsius >= self.lowest) and (self.highest is None or celsius <= self.highest)


async def pack(
    session: AsyncSession, actor: Actor, *, origin: Branch, target: Branch, numbers: Sequence[str], carrier: str,
    temperatures: Temperatures,
) -> Manifest:  # fmt: skip
    """Put collected tubes of a branch on a manifest.

    Raises:
        NotFoundError: A tube is not of this branch.
        ConflictError: A tube is not collected, or is on its way already.
        RuleError: Both branches are the same, or the temperatures contradict each other.
    """
    if origin.id == target.id:
        raise RuleError("a transport goes to another branch", code="MANIFEST_REFUSED", action="Choose its target.")
    if temperatures.lowest is not None and not temperatures.allow(temperatures.lowest):
        raise RuleError("the lowest temperature is above the highest", code="MANIFEST_REFUSED", action="Swap them.")
    tubes = await tubes_of(session, numbers, [origin.id], for_update=True)
    unfit = [tube.sample.accession_no for tube in tubes if tube.sample.state is not SampleState.COLLECTED]
    if unfit:
        raise ConflictError(f"not collected, or past it: {', '.join(unfit)}", code="SAMPLE_NOT_COLLECTED")
    ids = [tube.sample.id for tube in tubes]
    if under_way := [row.accession_no for row in await session.execute(_UNDER_WAY, {"ids": ids})]:
        raise ConflictError(f"on another manifest: {', '.join(under_way)}", code="SAMPLE_UNDER_WAY")
    day = lab_day()
    number = await next_number(session, f"manifest:{origin.code}:{day}")
    manifest = Manifest(
        manifest_no=f"M-{origin.code}-{day:%y%m%d}-{number:04d}",
        from_branch_id=origin.id,
        to_branch_id=target.id,
        packed_by=actor.user_id,
        carrier=carrier,
        lowest_celsius=temperatures.lowest,
        highest_celsius=temperatures.highest,
    )
    session.add(manifest)
    await session.flush()
    session.add_all(
        ManifestSample(manifest_id=manifest.id, sample_id=tube.sample.id, accession_no=tube.sample.accession_no)
        for tube in tubes
    )
    for tube in tubes:
        detail = {"accession_no": tube.sample.accession_no, "manifest": manifest.manifest_no}
        await add_event(
            session, tube.order.id, source="staff", kind="sample_packed", actor=actor.username, detail=detail
        )
    await _audit(session, manifest, actor, "manifest.packed", at=origin.id, body={"samples": len(tubes)})
    return manifest


async def dispatch(
    session: AsyncSession, actor: Actor, manifest: Manifest, *, counted: int, celsius: Decimal | None
) -> None:
    """Send a transport off, after somebody has counted its tubes.

    Raises:
        ConflictError: It was dispatched before.
        RuleError: The count is wrong, or the temperature is missing or out of range.
    """
    if manifest.state is not ManifestState.PACKED:
        raise ConflictError(f"{manifest.manifest_no} is {manifest.state.value}", code="MANIFEST_NOT_PACKED")
    packed = await rows(session, manifest)
    if counted != len(packed):
        raise RuleError(
            f"{counted} tubes were counted, {len(packed)} are on the manifest", code="MANIFEST_COUNT_WRONG",
            action="Scan every tube again and pack a manifest of what is there.",
        )  # fmt: skip
    limits = Temperatures(manifest.lowest_celsius, manifest.highest_celsius)
    if limits != Temperatures() and (celsius is None or not limits.allow(celsius)):
        raise RuleError(
            "the temperature of the box is missing or out of its range", code="MANIFEST_TEMPERATURE",
            action="Measure it again; change the cold packs before the tubes leave.",
        )  # fmt: skip
    manifest.state, manifest.dispatched_at, manifest.dispatched_by = ManifestState.DISPATCHED, utc_now(), actor.user_id
    manifest.dispatch_celsius = celsius
    session.add(manifest)
    await _audit(session, manifest, actor, "manifest.dispatched", at=manifest.from_branch_id, body={"counted": counted})


async def arrive(
    session: AsyncSession, actor: Actor, manifest: Manifest, *, scanned: Sequence[str], celsius: Decimal | None
) -> list[str]:
    """Note which tubes were scanned at the other end; may be repeated until the manifest is closed.

    Returns:
        Numbers that were scanned but are not on the manifest: they came in another box.

    Raises:
        ConflictError: It was not dispatched, or is closed.
    """
    if manifest.state not in {ManifestState.DISPATCHED, ManifestState.ARRIVED}:
        raise ConflictError(f"{manifest.manifest_no} is {manifest.state.value}", code="MANIFEST_NOT_UNDER_WAY")
    now, by_number = utc_now(), {row.accession_no: row for row in await rows(session, manifest)}
    for number in scanned:
        row = by_number.get(number)
        if row is not None and row.arrived_at is None:
            row.arrived_at, row.arrived_by = now, actor.user_id
            session.add(row)
    manifest.state, manifest.arrived_at = ManifestState.ARRIVED, manifest.arrived_at or now
    manifest.arrived_by = manifest.arrived_by or actor.user_id
    manifest.arrival_celsius = celsius if celsius is not None else manifest.arrival_celsius
    session.add(manifest)
    unexpected = [number for number in scanned if number not in by_number]
    body: audit.Body = {"scanned": len(scanned), "unexpected": unexpected}
    await _audit(session, manifest, actor, "manifest.scanned", at=manifest.to_branch_id, body=body)
    return unexpected


async def close(session: AsyncSession, actor: Actor, manifest: Manifest, *, note: str) -> list[str]:
    """Close a transport; what did not arrive is shown on its order until it is received.

    Returns:
        The missing numbers.

    Raises:
        ConflictError: Nothing of it was scanned yet, or it is closed.
        RuleError: Tubes are missing or the box was too warm or cold, and there is no note.
    """
    if manifest.state is not ManifestState.ARRIVED:
        raise ConflictError(f"{manifest.manifest_no} is {manifest.state.value}", code="MANIFEST_NOT_ARRIVED")
    missing = [row for row in await rows(session, manifest) if row.arrived_at is None]
    if (missing or not is_temperature_right(manifest)) and len(note) < 3:  # noqa: PLR2004
        raise RuleError(
            f"{len(missing)} tubes are missing, or the temperature was wrong", code="MANIFEST_NOTE_MISSING",
            action="Say what was found out and what is done about it.",
        )  # fmt: skip
    manifest.state, manifest.closed_at, manifest.closed_by = ManifestState.CLOSED, utc_now(), actor.user_id
    manifest.close_note = note
    session.add(manifest)
    # whoever unpacks a box says what was not in it, though the orders are the other branch's
    await also_see(session, manifest.from_branch_id)
    for row in missing:
        sample = await session.get(Sample, row.sample_id)
        if sample is not None and sample.state is SampleState.COLLECTED:
            await session.execute(_RAISE, {"key": MISSING, "id": sample.order_id})
            detail = {"accession_no": row.accession_no, "manifest": manifest.manifest_no}
            await add_event(
                session, sample.order_id, source="staff", kind="sample_missing", actor=actor.username, detail=detail
            )
    numbers = [row.accession_no for row in missing]
    await _audit(session, manifest, actor, "manifest.closed", at=manifest.to_branch_id, body={"missing": numbers})
    return numbers


def is_temperature_right(manifest: Manifest) -> bool:
    """Tell whether the box arrived within its temperatures, where it has any."""
    limits = Temperatures(manifest.lowest_celsius, manifest.highest_celsius)
    if limits == Temperatures():
        return True
    return manifest.arrival_celsius is not None and limits.allow(manifest.arrival_celsius)


async def note_arrival(session: AsyncSession, sample: Sample, user_id: UUID) -> None:
    """Note on its manifests that a tube was received; an order stops asking for a missing one."""
    query = select(ManifestSample).where(
        ManifestSample.sample_id == sample.id, col(ManifestSample.arrived_at).is_(None)
    )
    for row in (await session.exec(query)).all():
        row.arrived_at, row.arrived_by = sample.received_at, user_id
        session.add(row)
    await session.flush()
    await session.execute(_CLEAR, {"key": MISSING, "id": sample.order_id})
    order = await session.get(Order, sample.order_id)
    if order is not None:
        await session.refresh(order, ["attention"])


async def manifest_of(session: AsyncSession, manifest_no: str, branches: Sequence[UUID]) -> Manifest:
    """Return a manifest, locked, that leaves or reaches one of the branches.

    Raises:
        NotFoundError: There is none.
    """
    query = select(Manifest).where(Manifest.manifest_no == manifest_no).with_for_update()
    found = (await session.exec(query)).one_or_none()
    if found is None or not {found.from_branch_id, found.to_branch_id} & set(branches):
        raise NotFoundError(f"there is no manifest {manifest_no[:30]}", code="MANIFEST_NOT_FOUND")
    return found


async def rows(session: AsyncSession, manifest: Manifest) -> list[ManifestSample]:
    """Return the tubes of a manifest by number."""
    query = select(ManifestSample).where(ManifestSample.manifest_id == manifest.id)
    return list((await session.exec(query.order_by(ManifestSample.accession_no))).all())


async def _audit(
    session: AsyncSession, manifest: Manifest, actor: Actor, action: str, *, at: UUID, body: audit.Body
) -> None:
    chain = (await session.get_one(Branch, at)).code
    await audit.record(
        session, chain=chain, actor=actor.username, action=action, object_kind="manifest",
        object_id=manifest.manifest_no, body=body,
    )  # fmt: skip
