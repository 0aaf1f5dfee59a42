"""Takes the catalogue over into the database: what is new is added, known tests are left as the lab has them."""

from __future__ import annotations

from uuid import UUID

from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from domain.catalogue import Catalogue, TestDefinition
from store.tables.catalogue import LabTest, Panel, PanelTest, ReferenceIntervalRow


async def add_catalogue(session: AsyncSession, catalogue: Catalogue) -> None:
    """Add what the catalogue has and the database has not."""
    ids: dict[str, UUID] = dict((await session.exec(select(LabTest.code, LabTest.id))).all())
    for test in catalogue.tests:
        if test.code not in ids:
            ids[test.code] = await _add_test(session, test)
    known = set((await session.exec(select(Panel.code))).all())
    for panel in catalogue.panels:
        if panel.code in known:
            continue
        row = Panel(code=panel.code, name=panel.name, loinc=panel.loinc, price_paise=panel.price_paise)
        session.add(row)
        await session.flush()
        session.add_all(
            PanelTest(panel_id=row.id, test_id=ids[code], position=position)
            for position, code in enumerate(panel.test_codes)
        )
    await session.flush()


async def _add_test(session: AsyncSession, test: TestDefinition) -> UUID:
    row = LabTest(
        code=test.code,
        name=test.name,
        loinc=test.loinc,
        department=test.department,
        specimen=test.specimen,
        container=test.container,
        method=test.method,
        kind=test.kind.value,
        unit=test.unit,
        unit_display=test.unit_display,
        decimals=test.decimals,
        price_paise=test.price_paise,
        sac=test.sac,
        gst_rate=test.gst_rate,
        is_taxable=test.taxable,
        critical_low=test.critical_low,
        critical_high=test.critical_high,
        critical_source=test.critical_source,
        is_confidential=test.is_confidential,
        is_research=test.is_research,
        tat_minutes=test.tat_minutes,
    )
    session.add(row)
    await session.flush()
    session.add_all(
        ReferenceIntervalRow(
            test_id=row.id,
            sex=interval.sex.value,
            age_from_days=interval.age_from_days,
            age_to_days=interval.age_to_days,
            low=interval.low,
            high=interval.high,
            text=interval.text,
            normal=list(interval.normal),
            source=interval.source,
        )
        for interval in test.reference_intervals
    )
    return row.id
