"""Chooses the limit that holds for a person and a device: the most specific one that fits."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from domain.catalogue import SexScope
from domain.enums import Sex
from domain.test_limits import LimitKind, TestLimit

_SCOPES = {Sex.MALE: SexScope.MALE, Sex.FEMALE: SexScope.FEMALE}


def limit_for(
    limits: Iterable[TestLimit], kind: LimitKind, *, sex: Sex, age_hours: int | None, analyzer_id: UUID | None = None
) -> TestLimit | None:
    """Return the limit of that kind for a person, None where none fits.

    One for the device comes before one for every device, one for the sex before one for everybody, a narrower range
    of ages before a wider one. A person of other or unknown sex gets only what holds for everybody.

    Args:
        limits: Of one test, all in force.
        kind: What is to be decided.
        sex: The person's.
        age_hours: At collection; None where it is not known.
        analyzer_id: Device that measured; None for a result typed in.
    """
    scope = _SCOPES.get(sex)
    fitting = [
        limit
        for limit in limits
        if limit.kind is kind
        and limit.covers_age(age_hours)
        and limit.sex in {SexScope.ANY, scope}
        and limit.analyzer_id in {None, analyzer_id}
    ]
    return min(
        fitting,
        key=lambda limit: (
            limit.analyzer_id is None,
            limit.sex is SexScope.ANY,
            limit.age_to_hours - limit.age_from_hours,
            limit.id,
        ),
        default=None,
    )
