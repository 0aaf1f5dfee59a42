"""The schema: built from nothing, in step with the models, taken down and built again."""

import asyncio
import uuid
from collections.abc import Iterator

import asyncpg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel import SQLModel

import store.tables
from devstack.postgres import PostgresServer
from store import migrate

ROOT = migrate._MIGRATIONS


@pytest.fixture
def empty(postgres_server: PostgresServer) -> Iterator[str]:
    name = f"migrated_{uuid.uuid4().hex[:10]}"
    postgres_server.create_database(name)
    yield name
    postgres_server.drop_database(name)


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(ROOT))
    config.set_main_option("sqlalchemy.url", url)
    return config


def _differences(connection: Connection) -> list[object]:
    """Return what alembic would change: tables, columns, nullability; types and indexes are written by hand."""
    context = MigrationContext.configure(connection, opts={"compare_type": False})
    found = []
    for entry in compare_metadata(context, SQLModel.metadata):
        for difference in entry if isinstance(entry, list) else [entry]:
            kind, thing = difference[0], difference[1]
            if kind.endswith("_index") or getattr(thing, "name", "") == "alembic_version":
                continue
            found.append(difference)
    return found


def test_there_is_one_head():
    script = ScriptDirectory(str(ROOT))
    assert len(script.get_heads()) == 1
    assert len(script.get_bases()) == 1
    assert migrate.newest_revision() == script.get_heads()[0]


async def test_a_database_without_a_schema_has_no_revision(postgres_server: PostgresServer, empty):
    assert await migrate.current_revision(postgres_server.owner_url(empty)) == ""


async def test_the_application_can_tell_the_revision(postgres_server: PostgresServer, database_name):
    assert await migrate.current_revision(postgres_server.app_url(database_name)) == migrate.newest_revision()


async def test_the_schema_is_that_of_the_models(postgres_server: PostgresServer, database_name):
    assert store.tables.__all__
    engine = create_async_engine(postgres_server.owner_url(database_name))
    try:
        async with engine.connect() as connection:
            assert await connection.run_sync(_differences) == []
    finally:
        await engine.dispose()


async def test_a_second_upgrade_changes_nothing(postgres_server: PostgresServer, empty):
    url = postgres_server.owner_url(empty)
    await asyncio.to_thread(migrate.upgrade, url)
    await asyncio.to_thread(migrate.upgrade, url)
    assert await migrate.current_revision(url) == migrate.newest_revision()


async def test_two_that_upgrade_at_once_take_turns(postgres_server: PostgresServer, empty):
    url = postgres_server.owner_url(empty)
    await asyncio.gather(*(asyncio.to_thread(_in_process, url) for _ in range(2)))
    assert await migrate.current_revision(url) == migrate.newest_revision()


def _in_process(url: str) -> None:
    """Upgrade in a process of its own: alembic keeps its context in a global."""
    import subprocess
    import sys

    subprocess.run(
        [sys.executable, "-c", "import sys; from store.migrate import upgrade; upgrade(sys.argv[1])", url],
        check=True, cwd=ROOT.parent, capture_output=True,
    )  # fmt: skip


async def test_down_and_up_again(postgres_server: PostgresServer, empty):
    url = postgres_server.owner_url(empty)
    await asyncio.to_thread(migrate.upgrade, url)
    before = await _objects(url)
    script = ScriptDirectory(str(ROOT))
    for revision in list(script.walk_revisions())[:-1]:
        await asyncio.to_thread(command.downgrade, _config(url), "-1")
        assert await migrate.current_revision(url) == revision.down_revision
    await asyncio.to_thread(command.upgrade, _config(url), "head")
    assert await _objects(url) == before
    await asyncio.to_thread(command.downgrade, _config(url), "base")
    assert {name for kind, name in await _objects(url) if kind == "r"} <= {"alembic_versionp"}
    await asyncio.to_thread(command.upgrade, _config(url), "head")
    assert await _objects(url) == before


async def test_what_was_not_ordered_is_joined_and_what_was_dismissed_stays(postgres_server: PostgresServer, empty):
    url = postgres_server.owner_url(empty)
    await asyncio.to_thread(command.upgrade, _config(url), "0007")
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        message = await connection.fetchval(
            "insert into instrument_messages (id, created_at, protocol, transport, peer, raw, sha256, received_at,"
            " framing_error, state, reason, control_id, specimen_ids, readings) values (gen_random_uuid(), now(),"
            " 'hl7', 'tcp', '', 'x', '', now(), '', 'matched', '', '', '{}', 1) returning id"
        )
        for number, (specimen, code, state) in enumerate(
            [("S1", "MCV", "open"), ("S1", "RDW", "open"), ("S1", "PDW", "dismissed"), ("S2", "MCV", "open")]
        ):
            await connection.execute(
                "insert into instrument_exceptions (id, created_at, message_id, kind, specimen_id, device_code, detail,"
                " state, close_reason) values ($1, now(), $2, 'not_ordered', $3, $4, '', $5, '')",
                uuid.UUID(int=number + 1), message, specimen, code, state,
            )  # fmt: skip
        await asyncio.to_thread(command.upgrade, _config(url), "head")
        rows = await connection.fetch(
            "select specimen_id, device_code, codes, state, detail from instrument_exceptions order by id"
        )
    finally:
        await connection.close()
    assert [tuple(row) for row in rows] == [
        ("S1", "", ["MCV", "RDW"], "open", "not ordered on this tube: MCV, RDW"),
        ("S1", "RDW", [], "resolved", ""), ("S1", "PDW", [], "dismissed", ""),
        ("S2", "", ["MCV"], "open", "not ordered on this tube: MCV"),
    ]  # fmt: skip


async def _objects(url: str) -> list[tuple[str, str]]:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        rows = await connection.fetch(
            "select relkind::text as kind, relname::text || case when relkind = 'r' then relpersistence::text else ''"
            " end as name from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'i')"
            " union all select 'trigger', tgname || ' on ' || tgrelid::regclass::text from pg_trigger"
            " where not tgisinternal"
            " union all select 'policy', polname || ' on ' || polrelid::regclass::text from pg_policy"
            " union all select 'grant', grantee || ' ' || privilege_type || ' on ' || table_name"
            " from information_schema.role_table_grants where table_schema = 'public' order by 1, 2"
        )
        return [(row["kind"], row["name"]) for row in rows]
    finally:
        await connection.close()


async def test_every_table_of_a_branch_is_scoped(superuser: asyncpg.Connection):
    """A table with a `branch_id` is held to the scope, or is one that the whole laboratory shares."""
    shared = {"user_roles", "analyzers", "patients"}
    rows = await superuser.fetch(
        "select c.relname, c.relrowsecurity and c.relforcerowsecurity as is_scoped from pg_class c"
        " join pg_attribute a on a.attrelid = c.oid and a.attname = 'branch_id'"
        " where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'"
    )
    assert {row["relname"] for row in rows if not row["is_scoped"]} == shared
