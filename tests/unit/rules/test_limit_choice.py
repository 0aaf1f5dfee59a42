from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from domain.catalogue import SexScope
from domain.enums import Sex
from domain.test_limits import LimitKind, TestLimit
from rules.limit_choice import limit_for

DEVICE, OTHER_DEVICE = UUID(int=71), UUID(int=72)


def limit(number: int, **given: Any) -> TestLimit:
    return TestLimit(id=UUID(int=number), kind=LimitKind.CRITICAL, high=Decimal(number), **given)


ANYBODY = limit(1)
MEN = limit(2, sex=SexScope.MALE)
NEWBORN = limit(3, age_to_hours=24)
AT_DEVICE = limit(4, analyzer_id=DEVICE)
ALL = (ANYBODY, MEN, NEWBORN, AT_DEVICE)


@pytest.mark.parametrize(
    ("sex", "age_hours", "analyzer_id", "expected"),
    [
        pytest.param(Sex.FEMALE, 9000, None, ANYBODY, id="everybody"),
        pytest.param(Sex.MALE, 9000, None, MEN, id="the sex"),
        pytest.param(Sex.OTHER, 9000, None, ANYBODY, id="another sex"),
        pytest.param(Sex.FEMALE, 23, None, NEWBORN, id="last hour of the range"),
        pytest.param(Sex.FEMALE, 24, None, ANYBODY, id="the end is not in it"),
        pytest.param(Sex.FEMALE, None, None, ANYBODY, id="unknown age"),
        pytest.param(Sex.MALE, 5, DEVICE, AT_DEVICE, id="the device before all"),
        pytest.param(Sex.MALE, 9000, OTHER_DEVICE, MEN, id="another device"),
    ],
)
def test_the_most_specific_limit_that_fits_is_chosen(
    sex: Sex, age_hours: int | None, analyzer_id: UUID | None, expected: TestLimit
) -> None:
    assert limit_for(ALL, LimitKind.CRITICAL, sex=sex, age_hours=age_hours, analyzer_id=analyzer_id) is expected


def test_there_is_none_of_another_kind() -> None:
    assert limit_for(ALL, LimitKind.DELTA, sex=Sex.MALE, age_hours=9000) is None
