"""Derives an order's stage from what has been done to its samples and tests. The stage is never set by hand."""

from __future__ import annotations

from dataclasses import dataclass

from domain.enums import OrderStage

RULES_VERSION = "progress-1"


@dataclass(frozen=True)
class Tally:
    """What has been done, counted over the samples and tests still wanted.

    Attributes:
        samples: Drawn or to be drawn; rejected ones that were replaced do not count.
        resulted: Tests with a usable result, whatever came after.
    """

    samples: int
    collected: int
    received: int
    tests: int
    resulted: int
    verified: int
    authorised: int
    is_reported: bool = False
    is_closed: bool = False
    is_cancelled: bool = False


def stage_of(tally: Tally) -> OrderStage:
    """Return the furthest stage whose condition holds with all before it."""
    if tally.is_cancelled:
        return OrderStage.CANCELLED
    if tally.is_closed:
        return OrderStage.CLOSED
    if tally.is_reported:
        return OrderStage.REPORTED
    ladder = (
        (OrderStage.COLLECTED, tally.collected == tally.samples),
        (OrderStage.RECEIVED, tally.received == tally.samples),
        (OrderStage.RESULTED, tally.resulted == tally.tests),
        (OrderStage.VERIFIED, tally.verified == tally.tests),
        (OrderStage.AUTHORISED, tally.authorised == tally.tests),
    )
    stage = OrderStage.REGISTERED
    for reached, holds in ladder:
        if not holds:
            break
        stage = reached
    return stage
