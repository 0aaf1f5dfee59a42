"""Four analyzers of the demo laboratory, each with its profile, its test codes and an API key for HTTP."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from uuid import UUID

from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from connectors.analyzers.driver import MODELS
from domain.clock import utc_now
from domain.enums import MappingState
from store.instrument_messages import add_api_key
from store.tables.catalogue import LabTest
from store.tables.devices import DeviceMapping
from store.tables.results import Analyzer, AnalyzerTest

ANALYZERS = (
    ("XN-1", "Haematology reserve, Saket", "sysmex_xn", "DEL", "127.0.0.2"),
    ("BC-1", "Haematology, Saket", "mindray_bc", "DEL", "127.0.0.1"),
    ("BS-1", "Chemistry, Saket", "mindray_bs", "DEL", "127.0.0.1"),
    ("BS-2", "Chemistry, Indiranagar", "mindray_bs", "BLR", "127.0.0.3"),
)
"""Code, name, model, branch and address of each device; an address and a protocol name one device."""


async def add_analyzers(session: AsyncSession, branches: Mapping[str, UUID]) -> dict[str, str]:
    """Add the analyzers that are missing; return the API keys of the new ones in clear."""
    tests: dict[str, UUID] = dict((await session.exec(select(LabTest.code, LabTest.id))).all())
    units: dict[str, str] = dict((await session.exec(select(LabTest.code, LabTest.unit))).all())
    known = set((await session.exec(select(Analyzer.code))).all())
    keys: dict[str, str] = {}
    for code, name, model_key, branch, address in ANALYZERS:
        if code in known:
            continue
        model = MODELS[model_key]
        row = Analyzer(
            branch_id=branches[branch], code=code, name=name, model=model.key, protocol=model.profile.protocol,
            profile=model.profile.model_dump(mode="json"), peers=[address],
        )  # fmt: skip
        session.add(row)
        await session.flush()
        session.add_all(
            AnalyzerTest(analyzer_id=row.id, device_code=test.code, test_id=tests[test.lab_code], unit=test.unit)
            for test in model.tests
            if test.lab_code in tests
        )
        session.add_all(
            DeviceMapping(
                analyzer_id=row.id, device_code=test.code, test_id=tests[test.lab_code], unit=test.unit,
                state=MappingState.CONFIRMED, origin="model", confirmed_at=utc_now(), target_unit=units[test.lab_code],
            )
            for test in model.tests
            if test.lab_code in tests
        )  # fmt: skip
        keys[code] = secrets.token_urlsafe(32)
        await add_api_key(session, analyzer_id=row.id, name="demo", key=keys[code])
    await session.flush()
    return keys
