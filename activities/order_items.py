"""What is ordered: tests and panels, found in the catalogue, with each test's share of the price."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from activities.invoicing import BillItem
from domain.errors import NotFoundError, RuleError
from domain.money import split_by_weight
from store.tables.catalogue import LabTest, Panel, PanelTest
from store.tables.organisation import Payer

Coded = TypeVar("Coded", LabTest, Panel, Payer)


class OrderItem(BaseModel):
    """One ordered test or panel.

    Attributes:
        code: Of a test or panel.
        payer_code: Who is billed instead of the patient, or None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    code: str = Field(min_length=1, max_length=20)
    payer_code: str | None = Field(default=None, max_length=20)


@dataclass(frozen=True)
class OrderedItem:
    """One item resolved.

    Attributes:
        tests: The test itself, or the panel's in their order.
        shares: Paise of each test; together they are the price.
    """

    code: str
    name: str
    price_paise: int
    tests: Sequence[LabTest]
    shares: Sequence[int]
    panel: Panel | None
    payer: Payer | None


async def resolve(session: AsyncSession, items: Sequence[OrderItem]) -> list[OrderedItem]:
    """Look the items up in the catalogue, in their order.

    Raises:
        NotFoundError: A test, panel or payer is unknown or no longer offered.
        RuleError: A test is asked for twice, a panel has no test.
    """
    codes = {item.code for item in items}
    payers = await _by_code(session, Payer, {item.payer_code for item in items if item.payer_code is not None})
    tests = await _by_code(session, LabTest, codes, col(LabTest.is_active).is_(True))
    panels = await _by_code(session, Panel, codes - set(tests), col(Panel.is_active).is_(True))
    members = await _members(session, panels.values())
    ordered = []
    for item in items:
        payer = _known(payers, item.payer_code, "payer") if item.payer_code is not None else None
        if item.code in tests:
            test = tests[item.code]
            ordered.append(OrderedItem(item.code, test.name, test.price_paise, [test], [test.price_paise], None, payer))
        else:
            panel = _known(panels, item.code, "test or panel", code="TEST_NOT_FOUND")
            ordered.append(_ordered_panel(panel, members[panel.code], payer))
    _refuse_repeated_tests(ordered)
    return ordered


def bill_item(ordered: OrderedItem) -> BillItem:
    """Return the item as a line of a bill.

    Raises:
        RuleError: The panel's tests are taxed differently.
    """
    first = ordered.tests[0]
    if any((test.is_taxable, test.gst_rate) != (first.is_taxable, first.gst_rate) for test in ordered.tests):
        raise RuleError(
            f"panel {ordered.code} mixes taxable and exempt tests", code="PANEL_TAX_MIXED",
            action="Split the panel in the catalogue, or order its tests one by one.",
        )  # fmt: skip
    return BillItem(
        description=ordered.name,
        sac=first.sac,
        price_paise=ordered.price_paise,
        gst_rate=first.gst_rate,
        is_taxable=first.is_taxable,
        payer=ordered.payer,
    )


async def _by_code(
    session: AsyncSession, table: type[Coded], codes: set[str], *conditions: ColumnElement[bool]
) -> dict[str, Coded]:
    if not codes:
        return {}
    query = select(table).where(col(table.code).in_(codes), *conditions)
    return {row.code: row for row in (await session.exec(query)).all()}


def _known(rows: dict[str, Coded], wanted: str, what: str, *, code: str = "NOT_FOUND") -> Coded:
    if wanted not in rows:
        raise NotFoundError(f"there is no {what} {wanted}", code=code)
    return rows[wanted]


async def _members(session: AsyncSession, panels: Collection[Panel]) -> dict[str, list[LabTest]]:
    members: dict[str, list[LabTest]] = {panel.code: [] for panel in panels}
    if members:
        query = (
            select(Panel.code, LabTest)
            .join(PanelTest, col(PanelTest.panel_id) == col(Panel.id))
            .join(LabTest, col(LabTest.id) == col(PanelTest.test_id))
            .where(col(Panel.code).in_(members))
            .order_by(col(PanelTest.position))
        )
        for code, test in (await session.exec(query)).all():
            members[code].append(test)
    return members


def _ordered_panel(panel: Panel, tests: Sequence[LabTest], payer: Payer | None) -> OrderedItem:
    if not tests:
        raise RuleError(
            f"panel {panel.code} has no test", code="PANEL_EMPTY",
            action="Add tests to the panel in the catalogue, or order tests one by one.",
        )  # fmt: skip
    shares = split_by_weight(panel.price_paise, [max(test.price_paise, 1) for test in tests])
    return OrderedItem(panel.code, panel.name, panel.price_paise, tests, shares, panel, payer)


def _refuse_repeated_tests(ordered: Sequence[OrderedItem]) -> None:
    counts = Counter(test.code for entry in ordered for test in entry.tests)
    repeated = sorted(code for code, count in counts.items() if count > 1)
    if repeated:
        raise RuleError(
            f"asked for more than once: {', '.join(repeated)}",
            code="TEST_REPEATED",
            action="Remove the single test or one of the panels that contain it.",
        )
