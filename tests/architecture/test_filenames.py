"""Tests are where their source's name says: `connectors/x/mapping.py` in `tests/unit/connectors/x/test_mapping.py`.

What is tested elsewhere, because it needs a wire or a database, stands in a list with the place.
"""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("connectors", "domain", "rules")

# by file name, in every connector
ANYWHERE = {
    "__init__.py": "names only",
    "connector.py": "tests/contract: the shared suites",
    "simulator.py": "tests/contract/<name>/test_simulator.py",
    "settings.py": "tests/contract/test_secrets.py, tests/unit/test_settings.py",
    "wire.py": "tests/contract: samples",
    "check.py": "tests/unit/connectors/test_checks.py",
    "conversation.py": "tests/contract/<name>: real sockets",
    "server.py": "tests/contract/<name>/test_server.py: real sockets",
}
ELSEWHERE = {
    "domain/code_suggestions.py": "shapes; tests/unit/rules/test_suggestions.py",
    "domain/enums.py": "values only",
    "domain/line_recordings.py": "one shape; tests/unit/connectors/onboarding/test_recording.py",
    "domain/sample_trace.py": "shapes; tests/unit/rules/test_sample_trace.py",
    "domain/search_attributes.py": "names only; tests/integration/test_devstack.py",
    "domain/errors.py": "tests/unit/activities/test_errors.py",
    "domain/partner_events.py": "one shape; tests/contract/test_webhooks.py",
    "domain/gst_masters.py": "tables; tests/unit/rules/test_gst_checks.py",
    "domain/invoice_paper.py": "tests/unit/rendering/test_receipt.py",
    "domain/observations.py": "shapes; tests/unit/connectors/{astm,hl7}/test_messages.py",
    "domain/policies.py": "defaults; tests/workflows",
    "domain/diagnostic_records.py": "tests/unit/connectors/abdm/test_bundle.py",
    "domain/report.py": "tests/unit/rendering/test_report.py",
    "domain/results.py": "tests/unit/rules/test_flags.py, test_result_values.py",
    "domain/sharing_messages.py": "shapes; tests/workflows",
    "domain/units.py": "tests/unit/rules/test_flags.py",
    "connectors/abdm/resources.py": "tests/unit/connectors/abdm/test_bundle.py",
    "connectors/abdm/session.py": "tests/contract/abdm/test_abdm.py",
    "connectors/einvoice/adaequare.py": "tests/contract/einvoice/test_einvoice.py",
    "connectors/einvoice/dialect.py": "one Protocol; tests/contract/einvoice",
    "connectors/einvoice/nic.py": "tests/contract/einvoice/test_nic.py",
    "connectors/files/errors.py": "tests/contract/files/test_files.py",
    "connectors/listener.py": "tests/contract/{astm,hl7}/test_server.py: real sockets",
    "connectors/block_line.py": "tests/contract/{au,dimension}/test_line.py: real sockets",
    "connectors/au/conversation.py": "tests/contract/au/test_line.py: real sockets",
    "connectors/dimension/conversation.py": "tests/contract/dimension/test_line.py: real sockets",
    "connectors/transports/folder.py": "tests/contract/transports/test_folder.py: real files",
    "connectors/transports/serial.py": "tests/contract/transports/test_serial.py: pseudo-terminals",
    "connectors/transports/tcp_client.py": "tests/contract/transports/test_tcp.py: real sockets",
    "connectors/transports/tcp_server.py": "tests/contract/transports/test_tcp.py: real sockets",
    "connectors/transports/tls.py": "tests/contract/transports/test_tcp.py: real certificates",
    "connectors/device_side.py": "tests/contract/{astm,hl7}/test_server.py: real sockets",
    "connectors/messaging.py": "one Protocol",
    "connectors/analyzers/model.py": "shapes; tests/unit/connectors/analyzers/test_driver.py",
}


def _sources() -> list[str]:
    found = [path.relative_to(ROOT).as_posix() for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return sorted(found)


def _mirror(source: str) -> Path:
    path = Path(source)
    return ROOT / "tests" / "unit" / path.parent / f"test_{path.name}"


def _is_excused(source: str) -> bool:
    return Path(source).name in ANYWHERE or "simulat" in source or source in ELSEWHERE


@pytest.mark.parametrize("source", [source for source in _sources() if not _is_excused(source)])
def test_a_file_is_tested_where_its_name_says(source):
    assert _mirror(source).exists(), f"write {_mirror(source).relative_to(ROOT)}, or say in ELSEWHERE where"


def test_nothing_is_excused_without_need():
    gone = [source for source in ELSEWHERE if not (ROOT / source).exists()]
    tested = [source for source in ELSEWHERE if _mirror(source).exists()]
    assert (gone, tested) == ([], [])
