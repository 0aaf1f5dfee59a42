"""Whatever barcode and value a device sends is what the profile of its model reads: no dialect loses or bends them."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.analyzers.driver import MODELS
from connectors.analyzers.simulator import DIALECTS, DeviceSimulator, dialect_of
from connectors.conversations import read_message
from domain.errors import LabError
from domain.observations import MessageKind

NOW = datetime(2026, 11, 23, 1, 2, 3, tzinfo=UTC)
READABLE = [key for key in DIALECTS if MODELS[key].profile.protocol in {"astm", "hl7"}]
BARCODES = st.from_regex(re.compile(r"[A-Z0-9][A-Z0-9./-]{1,18}[A-Z0-9]", re.ASCII), fullmatch=True).filter(
    lambda text: not re.match(r"(?:QC|CTRL|CONTROL|CAL)-|ERR", text)
)
NUMBERS = st.decimals(min_value="0.01", max_value="9999", places=2).map(str)


@pytest.mark.parametrize("key", READABLE)
@settings(max_examples=8, deadline=None, derandomize=True)
@given(barcode=BARCODES, number=NUMBERS)
def test_barcodes_and_values_survive(key, barcode, number):
    simulator = DeviceSimulator(key, "127.0.0.1", 1, clock=lambda: NOW)
    first = next((test.code for test in simulator.tests if not test.choices), "")
    sample = simulator.sample(barcode, simulator.tests, None, {first: number} if first else {})
    found = {}
    for raw in simulator.messages(sample):
        for specimen in read_message(raw, MODELS[key].profile).specimens:
            assert specimen.specimen_id == barcode
            assert not specimen.is_control
            found.update({row.code: row.value for row in specimen.observations})
    assert {test.code for test, _ in sample.values} <= found.keys()
    if first:
        assert float(found[first]) == float(number)


@pytest.mark.parametrize("key", [key for key in DIALECTS if dialect_of(key).asks])
@settings(max_examples=8, deadline=None, derandomize=True)
@given(barcode=BARCODES)
def test_questions_and_answers_keep_the_barcode(key, barcode):
    dialect = dialect_of(key)
    codes = [test.code for test in dialect.tests]
    question = dialect.query([barcode], 1, NOW)
    brought = {}
    for answer in dialect.respond(question, {barcode: codes}, 2, NOW):
        work = dialect.work_in(answer.raw)
        brought.update(work.orders if work else {})
    assert {key: list(found) for key, found in brought.items() if found} == {barcode: codes}
    if key in READABLE:
        assert read_message(question, MODELS[key].profile).kind is MessageKind.QUERY


@pytest.mark.parametrize("key", READABLE)
@settings(max_examples=6, deadline=None, derandomize=True)
@given(cut=st.integers(min_value=0, max_value=400), junk=st.binary(max_size=8))
def test_a_damaged_message_is_read_or_refused_and_never_crashes(key, cut, junk):
    simulator = DeviceSimulator(key, "127.0.0.1", 1, clock=lambda: NOW)
    for raw in simulator.messages(simulator.sample("261123000017", simulator.tests, None, {})):
        damaged = raw[:cut] + junk + raw[cut + len(junk) :]
        try:
            message = read_message(damaged, MODELS[key].profile)
        except LabError:
            continue
        rows = sum(len(specimen.observations) for specimen in message.specimens)
        assert rows + message.skipped_rows <= 60


@pytest.mark.parametrize("key", [key for key in DIALECTS if dialect_of(key).asks])
@settings(max_examples=6, deadline=None, derandomize=True)
@given(junk=st.binary(max_size=60))
def test_a_simulated_device_and_host_survive_nonsense(key, junk):
    dialect = dialect_of(key)
    work = dialect.work_in(junk)
    assert work is None or all(isinstance(codes, tuple) for codes in work.orders.values())
    assert all(answer.raw for answer in dialect.respond(junk, {}, 1, NOW))
