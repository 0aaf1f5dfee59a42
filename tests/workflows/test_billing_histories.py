"""Runs of released versions must replay: a changed workflow keeps to its old histories or uses `workflow.patched`.

The files are written by the tests of this folder when LABSETU_KEEP_HISTORIES is set.
"""

from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from tests.fixtures.workflows import TEST_KEYS
from tests.workflows.standins import HISTORIES
from workflows.codec import EncryptionCodec, data_converter
from workflows.einvoice import EInvoiceWorkflow
from workflows.invoice_reversal import InvoiceReversalWorkflow
from workflows.payment import PaymentWorkflow
from workflows.refund import RefundWorkflow

BY_FOLDER = {
    "payment": PaymentWorkflow,
    "refund": RefundWorkflow,
    "einvoice": EInvoiceWorkflow,
    "invoice_reversal": InvoiceReversalWorkflow,
}
FILES = sorted(file for folder in BY_FOLDER for file in (HISTORIES / folder).glob("*.json"))


def test_every_workflow_has_histories():
    assert {file.parent.name for file in FILES} == set(BY_FOLDER)


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
async def test_a_released_run_replays(file: Path):
    converter = data_converter(EncryptionCodec(TEST_KEYS, "t1"))
    replayer = Replayer(workflows=[BY_FOLDER[file.parent.name]], data_converter=converter)
    await replayer.replay_workflow(WorkflowHistory.from_json(file.stem, file.read_text()))
