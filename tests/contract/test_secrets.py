"""No secret in a repr, an error, a log line or the journal of calls."""

import logging

import httpx
import pytest

from domain.errors import ConnectorError
from tests.contract.suites import RecordingJournal, Wire, all_operations

PAIRS = all_operations()
IDS = [f"{cases.name}-{operation.name}" for cases, operation in PAIRS]


@pytest.mark.parametrize("status", [200, 400, 401, 500])
@pytest.mark.parametrize(("cases", "operation"), PAIRS, ids=IDS)
async def test_secrets_stay_inside(cases, operation, status, caplog):
    caplog.set_level(logging.DEBUG)
    body = cases.wire(operation.response_file) if status == 200 else b'{"error": "no"}'
    journal = RecordingJournal()
    connector = cases.build(Wire(cases, lambda _: httpx.Response(status, content=body)).client, journal)
    shown = [repr(connector), str(connector)]
    try:
        await operation.invoke(connector)
    except ConnectorError as error:
        shown += [repr(error), str(error), repr(error.context)]
    shown += [repr(call) for call in journal.calls]
    shown.append(caplog.text)
    assert journal.calls, "every call is journalled"
    for secret in cases.secrets:
        assert all(secret not in text for text in shown)
