"""A patient's name, number and result are in PostgreSQL, in the documents and at the partners they are meant for only.

Every order of the end-to-end tests is of somebody with the same invented word in the name; it is looked for wherever
operators, a stranger on the network or a thief of one server's disk could look.
"""

import pytest
from minio import Minio
from temporalio.client import Client

from tests.e2e.visits import GLUCOSE, SENTINEL, SLOW, SPONSORED, Visit, person, register
from tests.fixtures.stack import LabStack

PHONE = "9812309876"
ADDRESS = "zqxwvut.locker@sbx"
ABHA = "91000000000026"
FINDING = "Qxjzfinding"
NOTE = "Qxjznote"
WANTED = tuple(word.encode() for word in (SENTINEL, PHONE, ADDRESS, ABHA, FINDING, NOTE))


@pytest.fixture(scope="module")
async def visit(lab_stack: LabStack) -> Visit:
    """A whole order of the person who is looked for, shared with the person's own app."""
    known = {"name": f"{SENTINEL} Locker", "abha_number": ABHA, "abha_address": ADDRESS}
    network = {**known, "gender": "F", "year_of_birth": 1991}
    (await lab_stack.http.post(f"{lab_stack.simulator('abdm')}/_sim/people", json=network)).raise_for_status()
    facts = person(**known, phone=f"+91{PHONE}", email="zqxwvut@patients.example", has_record_consent=True)
    patient_no = await register(lab_stack, facts)
    visit = await Visit.place(lab_stack, patient_no, GLUCOSE, SPONSORED, clinical_notes=f"{NOTE} since Monday")
    await visit.bring()
    await visit.measure()
    await visit.type_in("RNGS50", FINDING)
    await visit.sign()
    await visit.pay()
    await visit.event("report_delivered", within=SLOW)
    await visit.event("record_shared", within=SLOW)
    await visit.bill_until("einvoice_state", "generated", visit.sponsor_invoice)
    await visit.at("closed")
    return visit


def traces_in(content: bytes) -> list[str]:
    """Return which of the words are in there, however they are written."""
    lowered = content.lower()
    return [word.decode() for word in WANTED if word.lower() in lowered]


async def test_the_words_are_where_they_belong(visit: Visit):
    (row,) = await visit.lab.rows("select count(*) as found from patients where name like :name", name=f"{SENTINEL}%")
    assert row["found"] >= 1
    messages = (await visit.lab.state("whatsapp"))["messages"].values()
    assert any(SENTINEL in str(message["template"]) for message in messages)
    shared = str((await visit.lab.state("abdm"))["transfers"])
    assert FINDING in shared


async def test_no_log_names_a_patient(visit: Visit):
    logs = {file.name: file.read_bytes() for file in (visit.lab.home / "logs").iterdir()}
    assert logs.keys() >= {"api.log", "worker.log", "listen.log", "simulators.log", "postgres.log", "temporal.log"}
    assert visit.order_no.encode() in logs["api.log"] + logs["worker.log"]
    assert {name: found for name, content in logs.items() if (found := traces_in(content))} == {}


async def test_no_metric_names_a_patient(visit: Visit):
    ports = visit.lab.ports
    for port in (ports.api, ports.worker_metrics, ports.listener_metrics):
        page = await visit.lab.http.get(f"http://127.0.0.1:{port}/metrics")
        assert page.is_success
        assert b"# TYPE" in page.content
        assert traces_in(page.content) == []


async def test_histories_without_the_key_name_no_patient(visit: Visit):
    lab = visit.lab
    stranger = await Client.connect(lab.settings.temporal.address, namespace=lab.settings.temporal.namespace)
    kinds, is_seen = set(), False
    async for run in stranger.list_workflows():
        history = await stranger.get_workflow_handle(run.id, run_id=run.run_id).fetch_history()
        content = run.raw_info.SerializeToString() + b"".join(event.SerializeToString() for event in history.events)
        assert traces_in(content) == [], run.id
        kinds.add(run.workflow_type)
        is_seen = is_seen or visit.order_no in run.id
    assert is_seen
    assert kinds >= {
        "LabOrder", "Payment", "EInvoice", "ReportDelivery", "HealthRecordPush", "HealthInfoTransfer", "ConsentNotice",
    }  # fmt: skip
    for file in lab.home.glob("temporal.db*"):
        assert traces_in(file.read_bytes()) == [], file.name


async def test_no_masked_or_open_record_names_a_patient(visit: Visit):
    for table in ("partner_calls", "order_events", "audit_entries"):
        rows = await visit.lab.rows(f"select t::text as content from {table} t")
        content = "\n".join(row["content"] for row in rows)
        assert visit.order_no in content or visit.patient_invoice in content, table
        assert traces_in(content.encode()) == [], table


async def test_no_name_of_a_document_names_a_patient(visit: Visit):
    own = visit.lab.settings.objects
    store = Minio(own.endpoint, own.access_key, own.secret_key.get_secret_value(), secure=False)
    keys = [item.object_name or "" for item in store.list_objects(own.bucket, recursive=True)]
    assert keys
    assert traces_in("\n".join(keys).encode()) == []
