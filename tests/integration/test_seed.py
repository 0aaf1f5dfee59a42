"""The demo laboratory: complete, orderable, and safe to make again."""

from sqlalchemy import text

from devstack.seed import USERNAMES, seed
from domain.device_profile import DeviceProfile
from domain.einvoice import has_valid_check_character, is_gstin_shaped
from domain.enums import Role


async def _all(database, query):
    async with database.transaction() as session:
        return (await session.execute(text(query))).all()


async def test_seeding_again_changes_nothing(database, lab):
    tables = (
        "branches",
        "users",
        "user_roles",
        "payers",
        "doctors",
        "tests",
        "panels",
        "analyzers",
        "patients",
        "api_keys",
    )
    counts = " union all ".join(f"select '{table}', count(*) from {table}" for table in tables)
    before = await _all(database, counts)
    again = await seed(database)
    assert await _all(database, counts) == before
    assert again.passwords == {}
    assert again.api_keys == {}
    assert again.patients == lab.patients
    assert again.branches == lab.branches


async def test_every_role_has_somebody_of_its_name(database, lab):
    held = {
        (row.username, row.role)
        for row in await _all(database, "select u.username, r.role from users u join user_roles r on r.user_id = u.id")
    }
    assert {(role.value, role.value) for role in Role} <= held
    assert set(lab.users) == set(USERNAMES)


async def test_branches_and_payers_have_valid_gstins(database):
    gstins = [
        row.gstin
        for row in await _all(database, "select gstin from branches union select gstin from payers where gstin <> ''")
    ]
    assert len(gstins) == 3
    assert all(is_gstin_shaped(gstin) and has_valid_check_character(gstin) for gstin in gstins)


async def test_analyzers_have_readable_profiles_and_mapped_tests(database):
    rows = await _all(
        database,
        "select a.code, a.profile, (select count(*) from analyzer_tests t where t.analyzer_id = a.id) as tests"
        " from analyzers a",
    )
    assert len(rows) == 4
    for row in rows:
        DeviceProfile.model_validate(row.profile)
        assert row.tests >= 10, row.code


async def test_one_patient_is_linked_to_abdm_and_one_is_a_child_of_estimated_age(database):
    rows = await _all(
        database, "select abha_number, has_record_consent, is_birth_date_estimated, birth_date from patients"
    )
    assert [row.has_record_consent for row in rows].count(True) == 1
    assert [len(row.abha_number) for row in rows if row.abha_number] == [14]
    assert [row.is_birth_date_estimated for row in rows].count(True) == 1
