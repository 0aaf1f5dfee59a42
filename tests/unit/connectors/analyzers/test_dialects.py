"""What every simulated model sends is read with the profile of the model, and says what was measured."""

from datetime import UTC, datetime

import pytest

from connectors.analyzers.driver import MODELS
from connectors.analyzers.simulator import DIALECTS, DeviceSimulator, dialect_of
from connectors.conversations import read_message
from domain.observations import MessageKind, ObservationStatus

NOW = datetime(2026, 11, 23, 1, 2, 3, tzinfo=UTC)
BARCODE = "261123000017"
READABLE = [key for key in DIALECTS if MODELS[key].profile.protocol in {"astm", "hl7"}]


def device(key: str, seed: int = 1) -> DeviceSimulator:
    return DeviceSimulator(key, "127.0.0.1", 1, seed=seed, clock=lambda: NOW)


def specimens(key: str, simulator: DeviceSimulator, barcode: str, level: int | None, values=None):
    sample = simulator.sample(barcode, simulator.tests, level, values or {})
    messages = [read_message(raw, MODELS[key].profile) for raw in simulator.messages(sample)]
    found = [specimen for message in messages for specimen in message.specimens]
    return sample, [specimen for specimen in found if specimen.observations], messages


def test_every_model_has_a_simulator():
    assert DIALECTS.keys() == MODELS.keys()


@pytest.mark.parametrize("key", READABLE)
@pytest.mark.parametrize("serial", [0, 1])
def test_results_are_read_with_the_models_profile(key, serial):
    simulator = device(key)
    for _ in range(serial):
        simulator.sample("1", simulator.tests, None, {})
    sample, found, _ = specimens(key, simulator, BARCODE, None)
    assert {specimen.specimen_id for specimen in found} == {BARCODE}
    assert not any(specimen.is_control for specimen in found)
    rows = [row for specimen in found for row in specimen.observations if not row.code.endswith("/I")]
    expected = {test.code: value for test, value in sample.values}
    assert len(rows) == len(expected)
    for row in rows:
        assert same(row.value, row.unit, expected[row.code])
    units = {test.code: {test.unit, test.unit.replace("*", "^")} for test, _ in sample.values}
    assert all(row.unit in units[row.code] or key == "roche_cobas_4800" for row in rows if key != "autobio")
    final = {ObservationStatus.FINAL, ObservationStatus.PRELIMINARY}
    assert all(row.status in final for row in rows)
    if MODELS[key].tests and key != "mindray_bs":
        proposed = {test.code: test.unit for test in MODELS[key].tests}
        assert all(proposed.get(row.code, row.unit) == row.unit for row in rows)


def same(value: str, unit: str, expected: str) -> bool:
    if f"{value} {unit}".strip() == expected or value == expected:
        return True
    try:
        return float(value) == float(expected)
    except ValueError:
        return False


@pytest.mark.parametrize("key", READABLE)
@pytest.mark.parametrize("level", [0, 1])
def test_controls_are_no_patients(key, level):
    simulator = device(key)
    name = dialect_of(key).control_name(level)
    _, found, _ = specimens(key, simulator, name, level)
    assert found
    assert all(specimen.is_control for specimen in found)
    assert {specimen.control_name for specimen in found} & {name, f"CTRL {name}"}


@pytest.mark.parametrize("key", [key for key in READABLE if dialect_of(key).asks])
def test_questions_name_the_tube(key):
    raw = dialect_of(key).query([BARCODE], 7, NOW)
    read = read_message(raw, MODELS[key].profile)
    assert read.kind is MessageKind.QUERY
    if key != "sysmex_xn":  # where it stands is a matter of the work style, not of the generic reader
        assert read.queried_specimens == (BARCODE,)


@pytest.mark.parametrize("key", [key for key in DIALECTS if dialect_of(key).asks])
@pytest.mark.parametrize("is_known", [True, False])
def test_a_host_of_the_same_dialect_is_understood(key, is_known):
    dialect = dialect_of(key)
    codes = tuple(test.code for test in dialect.tests[:2])
    desk = {BARCODE: codes} if is_known else {}
    answers = dialect.respond(dialect.query([BARCODE], 7, NOW), desk, 8, NOW)
    found: dict[str, tuple[str, ...]] = {}
    for answer in answers:
        work = dialect.work_in(answer.raw)
        found.update(work.orders if work else {})
    wanted = {BARCODE: codes} if is_known else {}
    assert {barcode: codes for barcode, codes in found.items() if codes} == wanted


@pytest.mark.parametrize("key", READABLE)
def test_the_same_seed_gives_the_same_bytes(key):
    def sent(seed: int) -> list[bytes]:
        simulator = device(key, seed)
        return simulator.messages(simulator.sample(BARCODE, simulator.tests, None, {}))

    assert sent(1) == sent(1)
    assert any(sent(1) != sent(seed) for seed in range(2, 9))


def test_what_else_devices_send():
    _, (atellica,), (message,) = specimens("siemens_atellica", device("siemens_atellica"), BARCODE, None)
    assert message.skipped_rows == 2 * len(atellica.observations)
    _, (architect,), (message,) = specimens("abbott_architect", device("abbott_architect"), BARCODE, None)
    assert {row.value for row in architect.observations if row.code.endswith("/I")} == {"Nonreactive"}
    assert message.skipped_rows == len(architect.observations) / 2
    _, _, (message,) = specimens("mindray_bc", device("mindray_bc"), BARCODE, None)
    assert [image.media_type for image in message.images] == ["image/bmp"]
    _, _, (message,) = specimens("horiba_yumizen", device("horiba_yumizen"), BARCODE, None)
    assert [image.code for image in message.images] == ["RBC/PLT PltAlongRes"]
    _, (sysmex,), (message,) = specimens("sysmex_xn", device("sysmex_xn"), BARCODE, None, {"HGB": "6.1"})
    assert (sysmex.comments, message.skipped_rows) == (("Anemia",), 2)
    _, _, (status, _) = specimens("wondfo", device("wondfo"), BARCODE, None)
    assert status.kind is MessageKind.OTHER


def test_failed_and_doubtful_runs():
    _, (boule,), _ = specimens("boule_bm500", device("boule_bm500"), BARCODE, None, {"WBC": "0.00"})
    assert {row.code: row.status for row in boule.observations}["WBC"] is ObservationStatus.FAILED
    simulator = device("biosystems_ba400")
    for _ in range(4):
        simulator.sample("1", simulator.tests, None, {})
    _, (ba400,), _ = specimens("biosystems_ba400", simulator, BARCODE, None)
    assert {row.status for row in ba400.observations} == {ObservationStatus.UNKNOWN}
