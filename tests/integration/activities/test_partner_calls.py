"""The journal of what was said to partners."""

import pytest
from sqlmodel import select

from activities.partner_calls import StoredJournal
from connectors.http import CallRecord
from store.session import Database, open_database
from store.tables.exchange import PartnerCall
from tests.fixtures.database import AUDIT_KEY, SEAL_KEY


def call(**changes: object) -> CallRecord:
    facts = {
        "connector": "razorpay", "operation": "create_payment_link", "reference": "DELB2627-000001", "method": "POST",
        "url": "https://partner.example/v1", "request_headers": {"accept": "application/json"},
        "request_body": '{"amount": 100}', "status": 200, "response_body": "{}", "outcome": "ok", "elapsed_ms": 12,
    }  # fmt: skip
    return CallRecord(**{**facts, **changes})


async def calls(database: Database, reference: str) -> list[PartnerCall]:
    async with database.transaction() as session:
        return list((await session.exec(select(PartnerCall).where(PartnerCall.reference == reference))).all())


async def test_a_call_is_kept(database: Database):
    await StoredJournal(database).record(call(reference="kept"))
    (row,) = await calls(database, "kept")
    assert (row.operation, row.status, row.elapsed_ms) == ("create_payment_link", 200, 12)
    assert row.request_headers == {"accept": "application/json"}


@pytest.mark.parametrize(("body", "kept"), [("a\x00b", "a\ufffdb"), ("a\ud800b", "a?b"), ("नमस्ते", "नमस्ते")])
async def test_no_answer_of_a_partner_undoes_the_call(database: Database, body, kept):
    await StoredJournal(database).record(call(reference=kept, response_body=body, request_headers={"x": body}))
    (row,) = await calls(database, kept)
    assert (row.response_body, row.request_headers) == (kept, {"x": kept})


async def test_a_database_that_is_away_costs_the_entry_and_not_the_call():
    gone = open_database("postgresql+asyncpg://x:x@127.0.0.1:1/x", audit_key=AUDIT_KEY, seal_key=SEAL_KEY)
    await StoredJournal(gone).record(call())
    await gone.close()
