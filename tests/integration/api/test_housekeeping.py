"""Old answers are forgotten while the API runs, young ones are kept."""

import asyncio
from datetime import timedelta

from api.housekeeping import keeping_house
from store.session import open_database
from tests.fixtures.database import AUDIT_KEY, SEAL_KEY
from tests.fixtures.running_api import CONFIG

SOON = timedelta(milliseconds=20)


async def _keys(api):
    return {row.key for row in await api.execute("select key from idempotent_requests")}


async def test_answers_are_forgotten_after_a_week(api):
    desk = api.staff_as("front_desk")
    body = {"branch": "DEL", "name": "Somebody", "sex": "male", "age_years": 3}
    await desk.post("/v1/patients", body, key="an-old-request")
    await desk.post("/v1/patients", body, key="a-young-request")
    await api.execute(
        "update idempotent_requests set created_at = now() - interval '8 days' where key = 'an-old-request'"
    )
    async with keeping_house(api.database, CONFIG, every=SOON, watch_every=SOON):
        async with asyncio.timeout(10):
            while "an-old-request" in await _keys(api):  # noqa: ASYNC110  nothing tells when it is done
                await asyncio.sleep(0.02)
    assert await _keys(api) == {"a-young-request"}


async def test_it_goes_on_when_the_database_was_away():
    away = open_database("postgresql+asyncpg://x:x@127.0.0.1:1/x", audit_key=AUDIT_KEY, seal_key=SEAL_KEY)
    async with keeping_house(away, CONFIG, every=SOON, watch_every=SOON):
        await asyncio.sleep(0.2)
    await away.close()


async def test_it_goes_on_where_the_schema_is_older_than_the_program(api, superuser, caplog):
    """An API that starts before `labsetu migrate` must answer its health checks, not end."""
    async with keeping_house(api.database, CONFIG, every=timedelta(hours=1), watch_every=SOON):
        await superuser.execute("alter table device_links rename to device_links_before")
        try:
            async with asyncio.timeout(10):
                while "analyzers not watched" not in caplog.text:  # noqa: ASYNC110  nothing tells when it is done
                    await asyncio.sleep(0.02)
        finally:
            await superuser.execute("alter table device_links_before rename to device_links")
    assert "UndefinedTable" in caplog.text or "Error" in caplog.text
