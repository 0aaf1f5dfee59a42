"""For every operation: the request on the wire, the call, the answer understood, each refusal understood."""

import json

import httpx
import pytest

from tests.contract.suites import ConnectorCases, OperationCase, RecordingJournal, Wire, all_operations

PAIRS = all_operations()
IDS = [f"{cases.name}-{operation.name}" for cases, operation in PAIRS]


def _answer(cases: ConnectorCases, operation: OperationCase) -> httpx.Response:
    headers = {"content-type": "application/json"}
    return httpx.Response(operation.status, content=cases.wire(operation.response_file), headers=headers)


@pytest.mark.parametrize(("cases", "operation"), PAIRS, ids=IDS)
async def test_request_and_answer(cases: ConnectorCases, operation: OperationCase):
    wire = Wire(cases, lambda _: _answer(cases, operation))
    connector = cases.build(wire.client, RecordingJournal())
    result = await operation.invoke(connector)
    (request,) = wire.requests
    assert (request.method, request.url.path) == (operation.method, operation.path)
    for name, value in operation.headers.items():
        assert request.headers.get(name) == value
    if operation.query is not None:
        assert dict(request.url.params) == dict(operation.query)
    if operation.request_file:
        assert wire.body() == json.loads(cases.wire(operation.request_file))
    assert result == operation.expected


ERRORS = [(cases, operation, sample) for cases, operation in PAIRS for sample in operation.errors]


@pytest.mark.parametrize(("cases", "operation", "sample"), ERRORS, ids=[f"{c.name}-{s.file}" for c, _, s in ERRORS])
async def test_refusal_is_understood(cases, operation, sample):
    def refuse(_):
        return httpx.Response(
            sample.status, content=cases.wire(sample.file), headers={"content-type": "application/json"}
        )

    connector = cases.build(Wire(cases, refuse).client, RecordingJournal())
    with pytest.raises(sample.error) as caught:
        await operation.invoke(connector)
    assert type(caught.value) is sample.error
    if sample.partner_code:
        assert caught.value.partner_code == sample.partner_code


def test_every_operation_has_a_refusal_sample():
    missing = [f"{cases.name}.{operation.name}" for cases, operation in PAIRS if not operation.errors]
    assert not missing
