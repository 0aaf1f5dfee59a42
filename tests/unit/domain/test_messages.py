import pytest
from pydantic import BaseModel, ValidationError

from domain import messages
from domain.messages import (
    PAYLOADS,
    AuthoriseReport,
    CollectSamples,
    CommandKind,
    EnterResults,
    Envelope,
    OrderInput,
    Payload,
    Progress,
    ReceiveSamples,
    RecordPayment,
    ReleaseReport,
    ResolveStep,
    SignalName,
    VerifyResults,
    WorkflowType,
    rupees_text,
)

TUBE = "261123000017"


def test_every_command_has_a_payload():
    assert set(PAYLOADS) == set(CommandKind)


def test_workflow_types_name_their_classes():
    assert all(kind.value.isidentifier() and kind.value[0].isupper() for kind in WorkflowType)


def test_commands_are_imperative_and_signals_past():
    assert all(name.value.rsplit("_", 1)[-1].endswith(("ed", "wn")) for name in SignalName)
    assert not any(kind.value.endswith("ed") for kind in CommandKind)


@pytest.mark.parametrize(
    ("model", "payload"),
    [
        (CollectSamples, {"samples": [{"accession_no": TUBE}, {"accession_no": TUBE}]}),
        (ReceiveSamples, {"accession_nos": [TUBE, TUBE]}),
        (EnterResults, {"results": [{"test_code": "K", "value": "4"}, {"test_code": "K", "value": "5"}]}),
        (VerifyResults, {"decisions": [{"test_code": "K"}, {"test_code": "K", "is_accepted": False}]}),
        (AuthoriseReport, {"decisions": [{"test_code": "K"}, {"test_code": "K"}]}),
    ],
)
def test_nothing_is_named_twice(model, payload):
    with pytest.raises(ValidationError, match="more than once"):
        model.model_validate(payload)


@pytest.mark.parametrize(
    ("model", "payload"),
    [
        (CollectSamples, {"samples": []}),
        (CollectSamples, {"samples": [{"accession_no": "26112300001"}]}),
        (CollectSamples, {"samples": [{"accession_no": TUBE, "collected_at": "2026-11-23T08:00:00"}]}),
        (EnterResults, {"results": [{"test_code": "k; drop", "value": "4"}]}),
        (EnterResults, {"results": [{"test_code": "K", "value": "   "}]}),
        (ReleaseReport, {"reason": " a "}),
        (RecordPayment, {"invoice_no": "X", "amount_paise": 0, "method": "cash", "receipt_ref": "1"}),
        (RecordPayment, {"invoice_no": "X", "amount_paise": 100.5, "method": "cash", "receipt_ref": "1"}),
        (RecordPayment, {"invoice_no": "X", "amount_paise": 100, "method": "barter", "receipt_ref": "1"}),
        (VerifyResults, {"level": "medical"}),
        (AuthoriseReport, {"level": "technical"}),
        (ResolveStep, {"workflow_id": "w", "step": "Bad Step", "decision": "retry", "reason": "because"}),
        (ReleaseReport, {"reason": "because", "by": "me"}),
    ],
)
def test_what_makes_no_sense_is_refused(model, payload):
    with pytest.raises(ValidationError):
        model.model_validate(payload)


def test_text_is_trimmed():
    assert ReleaseReport(reason="  surgery tomorrow ").reason == "surgery tomorrow"


def test_old_histories_are_read_with_fields_that_are_gone():
    assert OrderInput.model_validate({"lab": "LAB1", "order_no": "X", "patient": "gone"}).order_no == "X"


def test_old_histories_are_read_without_fields_that_are_new():
    progress = Progress.model_validate({"order_no": "X", "stage": "registered", "branch": "DEL", "priority": "stat"})
    assert progress.invoices == ()


def _travelling() -> list[type[BaseModel]]:
    return [
        thing for thing in vars(messages).values()
        if isinstance(thing, type) and issubclass(thing, Envelope) and thing is not Envelope
    ]  # fmt: skip


@pytest.mark.parametrize("model", _travelling(), ids=lambda model: model.__name__)
def test_what_travels_is_frozen_and_names_no_patient(model):
    assert model.model_config["frozen"]
    named = {"name", "phone", "email", "value", "reason", "answer", "note", "patient", "address"}
    assert not named & set(model.model_fields)


@pytest.mark.parametrize("model", PAYLOADS.values(), ids=lambda model: model.__name__)
def test_what_staff_send_is_frozen_and_closed(model):
    assert issubclass(model, Payload)
    assert (model.model_config["frozen"], model.model_config["extra"]) == (True, "forbid")


def test_amounts_in_summaries():
    assert rupees_text(45_000) == "₹450.00"
    assert rupees_text(5) == "₹0.05"
