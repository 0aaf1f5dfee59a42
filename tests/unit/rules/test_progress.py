"""Both sides of every stage, and what holds for all counts."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.enums import OrderStage
from rules.progress import Tally, stage_of

LADDER = [
    OrderStage.REGISTERED, OrderStage.COLLECTED, OrderStage.RECEIVED, OrderStage.RESULTED, OrderStage.VERIFIED,
    OrderStage.AUTHORISED,
]  # fmt: skip
START = Tally(samples=2, collected=0, received=0, tests=3, resulted=0, verified=0, authorised=0)


@pytest.mark.parametrize(
    ("field", "whole", "before", "reached"),
    [
        ("collected", 2, OrderStage.REGISTERED, OrderStage.COLLECTED),
        ("received", 2, OrderStage.COLLECTED, OrderStage.RECEIVED),
        ("resulted", 3, OrderStage.RECEIVED, OrderStage.RESULTED),
        ("verified", 3, OrderStage.RESULTED, OrderStage.VERIFIED),
        ("authorised", 3, OrderStage.VERIFIED, OrderStage.AUTHORISED),
    ],
)
def test_a_stage_is_reached_with_the_last_of_all(field, whole, before, reached):
    done = {"collected": 2, "received": 2, "resulted": 3, "verified": 3, "authorised": 3}
    earlier = {name: count for name, count in done.items() if list(done).index(name) < list(done).index(field)}
    tally = replace(START, **earlier)
    assert stage_of(tally) is before
    assert stage_of(replace(tally, **{field: whole - 1})) is before
    assert stage_of(replace(tally, **{field: whole})) is reached


@pytest.mark.parametrize(
    ("changes", "stage"),
    [
        ({"is_reported": True}, OrderStage.REPORTED),
        ({"is_reported": True, "is_closed": True}, OrderStage.CLOSED),
        ({"is_cancelled": True}, OrderStage.CANCELLED),
        ({"is_cancelled": True, "is_reported": True, "is_closed": True}, OrderStage.CANCELLED),
    ],
)
def test_the_ends(changes, stage):
    assert stage_of(replace(START, **changes)) is stage


@st.composite
def tallies(draw: st.DrawFn) -> Tally:
    samples, tests = draw(st.integers(1, 5)), draw(st.integers(1, 8))
    return Tally(
        samples=samples,
        collected=draw(st.integers(0, samples)),
        received=draw(st.integers(0, samples)),
        tests=tests,
        resulted=draw(st.integers(0, tests)),
        verified=draw(st.integers(0, tests)),
        authorised=draw(st.integers(0, tests)),
    )


@given(tallies())
def test_a_stage_is_never_skipped(tally):
    """Nothing counts before all that comes before it is complete."""
    reached = LADDER.index(stage_of(tally))
    complete = [
        tally.collected == tally.samples, tally.received == tally.samples, tally.resulted == tally.tests,
        tally.verified == tally.tests, tally.authorised == tally.tests,
    ]  # fmt: skip
    assert all(complete[:reached])
    assert reached == len(complete) or not complete[reached]


@given(tallies(), st.sampled_from(["collected", "received", "resulted", "verified", "authorised"]))
def test_doing_more_never_sets_an_order_back(tally, field):
    limit = tally.samples if field in {"collected", "received"} else tally.tests
    more = replace(tally, **{field: min(getattr(tally, field) + 1, limit)})
    assert LADDER.index(stage_of(more)) >= LADDER.index(stage_of(tally))
