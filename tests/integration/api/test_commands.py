"""Staff commands: answered with the new state, refused with a reason, or 202 while Temporal is away."""

import asyncio
import json
import uuid

import pytest

from domain.messages import CommandKind
from workflows.gateway import RefusedByWorkflowError, WorkflowGoneError


@pytest.fixture(autouse=True)
def temporal_is_there(api):
    api.gateway.reset()


def _collect(placed):
    return {"samples": [{"accession_no": placed["samples"][0]["accession_no"]}]}


async def test_an_applied_command_is_answered_with_the_new_state(api):
    placed = await api.place()
    number = placed["order_no"]
    answer = await api.staff_as("phlebotomist").post(f"/v1/orders/{number}/samples/collect", _collect(placed))
    assert answer.status_code == 200
    body = answer.json()
    assert body["state"] == "applied"
    assert body["kind"] == "collect_samples"
    assert body["stage"] == "registered"
    (sent,) = api.gateway.sent
    assert str(sent.id) == body["command_id"]
    assert sent.workflow_id == f"order:LAB1:{number}"
    audit = await api.execute(
        "select actor, body from audit_entries where action = 'command.accepted' and object_id = :n", n=number
    )
    assert audit[0].actor == "phlebotomist"
    assert json.loads(audit[0].body)["command"] == body["command_id"]


async def test_a_refused_command_says_why(api):
    placed = await api.place()
    api.gateway.refusal = ("SAMPLE_ALREADY_COLLECTED", "the sample was collected before", "Reload the order.")
    answer = await api.staff_as("phlebotomist").post(
        f"/v1/orders/{placed['order_no']}/samples/collect", _collect(placed)
    )
    assert answer.status_code == 409
    problem = answer.json()
    assert (problem["code"], problem["detail"], problem["action"]) == api.gateway.refusal
    assert problem["context"]["stage"] == "registered"
    shown = await api.staff_as("phlebotomist").get(f"/v1/commands/{problem['context']['command_id']}")
    assert shown.status_code == 409


@pytest.mark.parametrize(
    ("code", "status"), [("TEST_UNKNOWN", 422), ("RULE_REFUSED", 422), ("NOT_PERMITTED", 403), ("WRONG_STAGE", 409)]
)
async def test_refusals_have_the_status_of_their_reason(api, code, status):
    placed = await api.place()
    api.gateway.refusal = (code, "no", "Do something else.")
    answer = await api.staff_as("phlebotomist").post(
        f"/v1/orders/{placed['order_no']}/samples/collect", _collect(placed)
    )
    assert answer.status_code == status


async def test_a_validator_s_refusal_is_kept(api):
    placed = await api.place()
    api.gateway.error = RefusedByWorkflowError("the order is closed", code="ORDER_CLOSED", action="Amend it.")
    key = str(uuid.uuid4())
    path = f"/v1/orders/{placed['order_no']}/samples/collect"
    answer = await api.staff_as("phlebotomist").post(path, _collect(placed), key=key)
    assert answer.status_code == 409
    assert answer.json()["code"] == "ORDER_CLOSED"
    api.gateway.error = None
    again = await api.staff_as("phlebotomist").post(path, _collect(placed), key=key)
    assert again.json()["code"] == "ORDER_CLOSED", "refused is final: the same key asks nothing again"
    assert len(api.gateway.sent) == 1


async def test_while_temporal_is_away_the_answer_is_202_and_the_same_key_finishes_it(api):
    placed = await api.place()
    api.gateway.is_away = True
    clerk, key = api.staff_as("phlebotomist"), str(uuid.uuid4())
    path = f"/v1/orders/{placed['order_no']}/samples/collect"
    pending = await clerk.post(path, _collect(placed), key=key)
    assert pending.status_code == 202
    assert pending.json()["state"] == "accepted"
    location = pending.headers["Location"]
    assert location == f"/v1/commands/{pending.json()['command_id']}"
    assert (await clerk.get(location)).status_code == 202
    api.gateway.is_away = False
    done = await clerk.post(path, _collect(placed), key=key)
    assert done.status_code == 200
    assert done.json()["command_id"] == pending.json()["command_id"], "applied once, under one id"
    assert done.headers["Idempotency-Replayed"] == "true"
    assert (await clerk.get(location)).json()["state"] == "applied"


async def test_a_command_for_an_order_that_temporal_never_saw_starts_it_first(api):
    api.gateway.is_away = True
    placed = await api.place()
    api.gateway.is_away = False
    answer = await api.staff_as("phlebotomist").post(
        f"/v1/orders/{placed['order_no']}/samples/collect", _collect(placed)
    )
    assert answer.status_code == 200
    assert api.gateway.started == [placed["order_no"]]


async def test_a_run_that_is_not_there_yet_is_waited_for_and_one_that_ended_is_not(api):
    placed = await api.place()
    api.gateway.error = WorkflowGoneError("the workflow has ended or was never started")
    clerk, path = api.staff_as("phlebotomist"), f"/v1/orders/{placed['order_no']}/samples/collect"
    assert (await clerk.post(path, _collect(placed))).status_code == 202
    await api.execute(
        "update orders set created_at = now() - interval '1 hour' where order_no = :n", n=placed["order_no"]
    )
    ended = await clerk.post(path, _collect(placed))
    assert ended.status_code == 409
    assert ended.json()["code"] == "WORKFLOW_ENDED"


async def test_the_same_command_sent_at_once_is_stored_once(api):
    placed = await api.place()
    clerk, key = api.staff_as("phlebotomist"), str(uuid.uuid4())
    path = f"/v1/orders/{placed['order_no']}/samples/collect"
    answers = await asyncio.gather(*(clerk.post(path, _collect(placed), key=key) for _ in range(4)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["command_id"] for answer in answers}) == 1
    rows = await api.execute("select count(*) as n from commands where idempotency_key = :key", key=key)
    assert rows[0].n == 1


async def test_a_key_is_good_for_one_request_whatever_its_kind(api):
    placed = await api.place()
    clerk, key = api.staff_as("front_desk"), str(uuid.uuid4())
    body = {"branch": "DEL", "name": "Somebody", "sex": "male", "age_years": 40}
    assert (await clerk.post("/v1/patients", body, key=key)).status_code == 201
    reused = await clerk.post(f"/v1/orders/{placed['order_no']}/samples/collect", _collect(placed), key=key)
    assert reused.status_code == 422
    assert reused.json()["code"] == "IDEMPOTENCY_KEY_REUSED"


async def test_commands_go_to_the_run_they_are_about(api):
    placed = await api.place()
    number, invoice = placed["order_no"], placed["invoices"][0]["document_no"]
    payment = {"invoice_no": invoice, "amount_paise": 100, "method": "cash", "receipt_ref": "R-77"}
    await api.staff_as("billing").post(f"/v1/orders/{number}/payments", payment)
    await api.staff_as("billing").post(f"/v1/invoices/{invoice}/reverse", {"reason": "wrong payer"})
    step = {
        "workflow_id": f"einvoice:{invoice}",
        "step": "generate_irn",
        "decision": "retry",
        "reason": "portal is back",
    }
    await api.staff_as("admin").post(f"/v1/orders/{number}/attention/resolve", step)
    assert [(command.kind, command.workflow_id) for command in api.gateway.sent] == [
        (CommandKind.RECORD_PAYMENT, f"payment:{invoice}"),
        (CommandKind.REVERSE_INVOICE, f"reversal:{invoice}"),
        (CommandKind.RESOLVE_STEP, f"einvoice:{invoice}"),
    ]
    assert api.gateway.sent[1].payload["order_no"] == number
    assert api.gateway.sent[2].payload["decision"] == "retry"


async def test_what_a_command_names_must_belong_to_the_order(api):
    placed, other = await api.place(), await api.place()
    foreign = other["invoices"][0]["document_no"]
    payment = {"invoice_no": foreign, "amount_paise": 100, "method": "cash", "receipt_ref": "R-78"}
    answer = await api.staff_as("billing").post(f"/v1/orders/{placed['order_no']}/payments", payment)
    assert answer.status_code == 404
    assert answer.json()["code"] == "INVOICE_UNKNOWN"
    for workflow_id in (f"einvoice:{foreign}", f"order:LAB1:{other['order_no']}", "anything"):
        step = {"workflow_id": workflow_id, "step": "generate_irn", "decision": "skip", "reason": "portal is back"}
        answer = await api.staff_as("admin").post(f"/v1/orders/{placed['order_no']}/attention/resolve", step)
        assert answer.status_code == 404
        assert answer.json()["code"] == "RUN_UNKNOWN"
    assert api.gateway.sent == []


async def test_a_command_is_shown_to_those_who_may_give_it(api):
    placed = await api.place()
    body = {
        "invoice_no": placed["invoices"][0]["document_no"],
        "amount_paise": 100,
        "method": "cash",
        "receipt_ref": "R-9",
    }
    command_id = (await api.staff_as("billing").post(f"/v1/orders/{placed['order_no']}/payments", body)).json()[
        "command_id"
    ]
    assert (await api.staff_as("front_desk").get(f"/v1/commands/{command_id}")).status_code == 200
    assert (await api.staff_as("technician").get(f"/v1/commands/{command_id}")).status_code == 404
    assert (await api.staff_as("blr_front_desk").get(f"/v1/commands/{command_id}")).status_code == 404


async def test_nothing_of_the_payload_leaves_postgresql(api):
    placed = await api.place()
    await api.execute(
        "update samples set state = 'received' where accession_no = :a", a=placed["samples"][0]["accession_no"]
    )
    results = {"results": [{"test_code": "HGB", "value": "13.37", "comment": "sentinel"}]}
    answer = await api.staff_as("technician").post(f"/v1/orders/{placed['order_no']}/results", results)
    assert answer.status_code == 200
    assert "13.37" not in answer.text
    audit = await api.execute("select body from audit_entries")
    assert not any("13.37" in row.body or "sentinel" in row.body for row in audit)
