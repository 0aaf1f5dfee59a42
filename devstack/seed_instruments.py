"""Three analyzers of the demo laboratory, each with its profile, its test codes and an API key for HTTP."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from domain.device_profile import DeviceProfile
from store.instrument_messages import add_api_key
from store.tables.catalogue import LabTest
from store.tables.results import Analyzer, AnalyzerTest


@dataclass(frozen=True)
class DemoAnalyzer:
    """One device: where it stands and what it calls the lab's tests.

    Attributes:
        tests: Device code to (our test code, unit text as the device sends it).
    """

    code: str
    name: str
    model: str
    branch: str
    profile: DeviceProfile
    tests: Mapping[str, tuple[str, str]]


ANALYZERS: tuple[DemoAnalyzer, ...] = ()


async def add_analyzers(session: AsyncSession, branches: Mapping[str, UUID]) -> dict[str, str]:
    """Add the analyzers that are missing; return the API keys of the new ones in clear."""
    tests: dict[str, UUID] = dict((await session.exec(select(LabTest.code, LabTest.id))).all())
    known = set((await session.exec(select(Analyzer.code))).all())
    keys: dict[str, str] = {}
    for demo in ANALYZERS:
        if demo.code in known:
            continue
        row = Analyzer(
            branch_id=branches[demo.branch], code=demo.code, name=demo.name, model=demo.model,
            protocol=demo.profile.protocol, profile=demo.profile.model_dump(mode="json"), peers=["127.0.0.1"],
        )  # fmt: skip
        session.add(row)
        await session.flush()
        session.add_all(
            AnalyzerTest(analyzer_id=row.id, device_code=device_code, test_id=tests[code], unit=unit)
            for device_code, (code, unit) in demo.tests.items()
        )
        keys[demo.code] = secrets.token_urlsafe(32)
        await add_api_key(session, analyzer_id=row.id, name="demo", key=keys[demo.code])
    await session.flush()
    return keys
