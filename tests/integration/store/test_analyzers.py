"""Devices, their versions and mappings as rows."""

import pytest
from sqlalchemy import text

from domain.enums import MappingState
from domain.errors import ConflictError, NotFoundError
from store import analyzers, profiles
from store.profiles import Proposal
from store.tables.results import Analyzer


@pytest.fixture
async def everywhere(lab):
    return list(lab.branches.values())


async def test_codes_that_a_person_stands_behind_are_counted_once(database, everywhere):
    async with database.transaction() as session:
        before = (await analyzers.analyzer_row(session, "BS-1", everywhere)).test_count
        analyzer = await analyzers.locked_analyzer(session, "BS-1", everywhere)
        added = await profiles.propose_mappings(
            session, analyzer.id, [Proposal("NEW", "GLU", "mg/dL"), Proposal("GLU", "GLU"), Proposal("X", "NO-SUCH")],
            origin="model", user_id=None,
        )  # fmt: skip
        assert added == ["NEW"], "GLU is known already"
        assert (await analyzers.analyzer_row(session, "BS-1", everywhere)).test_count == before
        await session.execute(text("update device_mappings set state = 'confirmed'"))
        assert (await analyzers.analyzer_row(session, "BS-1", everywhere)).test_count == before + 1
        mappings = {row.device_code: row for row in await profiles.confirmed_mappings(session, analyzer.id)}
        assert (mappings["NEW"].test_code, mappings["NEW"].unit) == ("GLU", "mg/dL")
        assert (mappings["SGPT"].test_code, mappings["SGPT"].factor) == ("ALT", None)


async def test_a_proposal_is_made_once_and_says_where_it_came_from(database, everywhere):
    async with database.transaction() as session:
        analyzer = await analyzers.locked_analyzer(session, "BS-2", everywhere)
        for expected in (["9"], []):
            added = await profiles.propose_mappings(
                session, analyzer.id, [Proposal("9", "GLU")], origin="alias", user_id=None
            )
            assert added == expected
        rows = (await session.execute(text("select state, origin from device_mappings where device_code = '9'"))).all()
        assert [tuple(row) for row in rows] == [(MappingState.PROPOSED.value, "alias")]


async def test_a_device_entered_without_a_version_has_its_first_one(database, everywhere):
    async with database.transaction() as session:
        analyzer = await analyzers.locked_analyzer(session, "XN-1", everywhere)
        (only,) = await profiles.versions(session, analyzer)
        assert (only.version, only.note, only.profile) == (1, "as entered", analyzer.profile)
        assert await profiles.profile_version(session, analyzer, 1) == analyzer.profile
        with pytest.raises(NotFoundError):
            await profiles.profile_version(session, analyzer, 2)


async def test_versions_are_numbered_and_put_in_force(database, everywhere, lab):
    user = lab.users["admin"]
    async with database.transaction() as session:
        analyzer = await analyzers.locked_analyzer(session, "XN-1", everywhere)
        before = analyzer.profile
        draft = await profiles.add_version(session, analyzer, {"protocol": "astm"}, note="bare", user_id=user)
        assert (draft.version, analyzer.profile) == (2, before)
        assert await profiles.activate(session, analyzer, 2, user_id=user) is True
        assert await profiles.activate(session, analyzer, 2, user_id=user) is False
        assert (analyzer.profile, analyzer.profile_version) == ({"protocol": "astm"}, 2)
        assert await profiles.activate(session, analyzer, 1, user_id=user) is True
        assert analyzer.profile == before
        rows = await profiles.versions(session, analyzer)
        assert [(row.version, row.activated_by) for row in rows] == [(2, "admin"), (1, "admin")]
        with pytest.raises(NotFoundError):
            await profiles.activate(session, analyzer, 3, user_id=user)


async def test_a_code_is_taken_once_in_the_whole_laboratory(database, lab):
    async with database.transaction() as session:
        known = await analyzers.setups(session)
        assert {row.code for row in known} >= {"XN-1", "BS-2"}
        twin = Analyzer(
            branch_id=lab.branches["BLR"], code="XN-1", name="x", model="other", protocol="astm", profile={}, peers=[]
        )
        with pytest.raises(ConflictError) as caught:
            await analyzers.add_analyzer(session, twin)
        assert caught.value.code == "ANALYZER_CODE_TAKEN"


async def test_another_branch_s_device_is_not_there(database, lab):
    async with database.transaction() as session:
        for look in (analyzers.analyzer_row, analyzers.locked_analyzer):
            with pytest.raises(NotFoundError):
                await look(session, "XN-1", [lab.branches["BLR"]])
        codes = {row.code for row in await analyzers.analyzers(session, [lab.branches["BLR"]])}
        assert codes == {"BS-2"}
