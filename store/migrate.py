"""Bring the schema to the newest revision, or tell where it is. Runs as the owning role."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import create_async_engine

_MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"


def _config(owner_url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.set_main_option("sqlalchemy.url", owner_url.replace("%", "%%"))
    return config


def upgrade(owner_url: str) -> None:
    """Run every migration that has not run yet. Safe to call again; blocks, and owns its event loop."""
    command.upgrade(_config(owner_url), "head")


def newest_revision() -> str:
    """Return the revision that this code expects."""
    return ScriptDirectory(str(_MIGRATIONS)).get_current_head() or ""


async def current_revision(url: str) -> str:
    """Return the revision the database is at, or "" where it has no schema."""
    engine = create_async_engine(url)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision() or "")
    finally:
        await engine.dispose()
