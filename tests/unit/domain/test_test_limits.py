from __future__ import annotations

from uuid import UUID

import pytest

from domain.test_limits import LimitKind, TestLimit

CHILD = TestLimit(id=UUID(int=1), kind=LimitKind.ABSURD, age_from_hours=24, age_to_hours=48)


@pytest.mark.parametrize(
    ("age_hours", "covered"),
    [(23, False), (24, True), (47, True), (48, False), (None, False)],
    ids=["before", "first", "last", "after", "unknown"],
)
def test_a_range_of_ages_is_half_open(age_hours: int | None, covered: bool) -> None:
    assert CHILD.covers_age(age_hours) is covered


def test_a_person_of_unknown_age_gets_what_holds_at_every_age() -> None:
    assert TestLimit(id=UUID(int=1), kind=LimitKind.ABSURD).covers_age(None)
