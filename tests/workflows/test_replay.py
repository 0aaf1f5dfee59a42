"""Runs of released versions must replay: a changed workflow keeps to its old histories or uses `workflow.patched`.

One file per behaviour under `replay/<workflow>/`. `make histories` records them on a whole stack; tests in this folder
write some more when LABSETU_KEEP_HISTORIES is set. Review them before committing.
"""

import base64
import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from activities.health_records import AcknowledgeConsent
from devstack.demo import PATIENT
from devstack.histories import BEHAVIOURS, WALK_IN
from devstack.history_files import folder_of
from domain.messages import WorkflowType
from domain.sharing_messages import ConsentNoticeInput
from tests.fixtures.workflows import TEST_KEYS
from tests.workflows.standins import HISTORIES
from worker import WORKFLOWS
from workflows.codec import EncryptionCodec, data_converter

FILES = sorted(HISTORIES.glob("*/*.json"))
BY_FOLDER = {folder_of(kind.value): kind for kind in WorkflowType}
CODEC = EncryptionCodec(TEST_KEYS, "t1")


def replayer(*workflows: type) -> Replayer:
    return Replayer(workflows=workflows, data_converter=data_converter(CODEC))


def history_of(file: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(file.stem, file.read_text())


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
async def test_a_released_run_replays(file: Path):
    history = history_of(file)
    started = history.events[0].workflow_execution_started_event_attributes.workflow_type.name
    assert started == BY_FOLDER[file.parent.name]
    await replayer(*WORKFLOWS).replay_workflow(history)


def test_every_registered_workflow_has_a_history():
    assert {file.parent.name for file in FILES} == set(BY_FOLDER)
    assert {workflow._Definition.must_from_class(each).name for each in WORKFLOWS} == set(WorkflowType)


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda behaviour: behaviour.tell.__name__)
def test_every_story_of_the_recorder_is_kept(behaviour):
    for kind in behaviour.types:
        assert (HISTORIES / folder_of(kind) / f"{behaviour.tell.__name__}.json").exists()


@workflow.defn(name=WorkflowType.CONSENT_NOTICE.value, sandboxed=False)
class HastilyChanged:
    """ConsentNotice as somebody in a hurry would change it: it waits first."""

    @workflow.run
    async def run(self, notice: ConsentNoticeInput) -> None:
        await workflow.sleep(timedelta(seconds=1))
        await workflow.execute_activity(
            "abdm.acknowledge_consent",
            AcknowledgeConsent(consent_id=notice.consent_id, notice_id=notice.notice_id, request_id="r"),
            start_to_close_timeout=timedelta(seconds=10),
        )


async def test_an_unpatched_change_fails_the_gate():
    history = history_of(HISTORIES / "consent_notice" / "shared_and_paid.json")
    with pytest.raises(NondeterminismError, match="TMPRL1100"):
        await replayer(HastilyChanged).replay_workflow(history)


PERSONAL = sorted(
    {
        person[name]
        for person in (PATIENT, WALK_IN)
        for name in ("name", "phone", "email", "birth_date")
        if name in person
    }
    | {PATIENT["abha_number"], PATIENT["abha_address"], *PATIENT["name"].split(), *WALK_IN["name"].split()}
)


async def test_no_history_names_a_patient_or_a_machine():
    for file in FILES:
        document = file.read_text()
        readable = document + " ".join([text async for text in _payloads(json.loads(document))])
        assert not [word for word in PERSONAL if word in readable], file
        assert not re.search(r"\+91\d{10}|\.py\b|site-packages|\b\d+@\w", readable), file


async def _payloads(node: object) -> AsyncIterator[str]:
    """Yield what every payload says, opened."""
    if isinstance(node, dict):
        if isinstance(node.get("data"), str) and "metadata" in node:
            metadata = {key: base64.b64decode(value) for key, value in node["metadata"].items()}
            [opened] = await CODEC.decode([Payload(metadata=metadata, data=base64.b64decode(node["data"]))])
            yield opened.data.decode()
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            async for text in _payloads(child):
                yield text
