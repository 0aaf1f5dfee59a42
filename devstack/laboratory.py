"""Adds the demo laboratory to the database of the settings; its logins go to a file."""

from __future__ import annotations

import asyncio

from activities.resources import database_of
from devstack import credentials
from devstack.seed import seed
from settings import Settings


def make_laboratory(settings: Settings) -> str:
    """Add what is missing of the demo laboratory and say what was done.

    New logins and API keys go to `<home>/users.env`: in clear they exist nowhere else.
    """

    async def fill() -> dict[str, str]:
        database = database_of(settings)
        try:
            made = await seed(database)
        finally:
            await database.close()
        return {**made.passwords, **{f"api_key.{code}": key for code, key in made.api_keys.items()}}

    clear = asyncio.run(fill())
    file = settings.home / "users.env"
    if not clear:
        return f"already there, logins in {file}"
    credentials.write(file, credentials.read(file) | clear)
    return f"made, logins in {file}"
