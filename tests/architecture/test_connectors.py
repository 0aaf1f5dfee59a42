"""What every connector has. What one of them rightly lacks stands in a list, with the reason."""

import importlib
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

ROOT = Path(__file__).parents[2]
CONNECTORS = sorted(path.name for path in (ROOT / "connectors").iterdir() if (path / "__init__.py").exists())
HEADINGS = ("Set-up", "Fields", "Limits", "Known limitations", "Troubleshooting", "Removal")

HAS_NO = {
    ("analyzers", "simulator"): "tables of models; `analyzers/simulator.py` plays them over both protocols",
    ("analyzers", "check"): "a device calls us",
    ("analyzers", "settings"): "a device has a profile in the database, edited by the laboratory",
    ("analyzers", "samples"): "messages are those of the protocols",
    ("analyzers", "docs"): "pages of the two protocols",
    ("astm", "check"): "a device calls us",
    ("astm", "settings"): "ports are settings of the process, the rest is the device's profile",
    ("astm", "samples"): "a line protocol: frames are built in the tests",
    ("au", "check"): "the lines of `labsetu listen` show their own trouble on the device board",
    ("au", "settings"): "a device has a profile in the database, edited by the laboratory",
    ("au", "samples"): "a line protocol: blocks are built in the tests",
    ("dimension", "check"): "the lines of `labsetu listen` show their own trouble on the device board",
    ("dimension", "settings"): "a device has a profile in the database, edited by the laboratory",
    ("dimension", "samples"): "a line protocol: blocks are built in the tests",
    ("transports", "simulator"): "ways for bytes, no partner: the tests hold the other end",
    ("transports", "check"): "the lines of `labsetu listen` show their own trouble on the device board",
    ("transports", "settings"): "a device has a transport in the database; roots and certificates are the process's",
    ("transports", "samples"): "no messages of its own",
    ("hl7", "check"): "a device calls us",
    ("hl7", "settings"): "ports are settings of the process, the rest is the device's profile",
    ("hl7", "samples"): "a line protocol: blocks are built in the tests",
    ("onboarding", "simulator"): "reads captures; speaks to nobody",
    ("onboarding", "check"): "reads captures; speaks to nobody",
    ("onboarding", "settings"): "knows no partner",
    ("onboarding", "samples"): "captures are written in the tests",
    ("onboarding", "docs"): "docs/how-to/add-an-analyzer.md",
    ("files", "simulator"): "a real S3 server runs in the dev stack and in tests",
    ("files", "samples"): "no wire format of ours: the client library's, against a real server",
    ("files", "docs"): "set up with the deployment",
    ("email", "samples"): "SMTP: the tests speak to a real server",
}


def _lacks(connector: str, thing: str) -> bool:
    return (connector, thing) in HAS_NO


def _expected(thing: str) -> list[str]:
    return [connector for connector in CONNECTORS if not _lacks(connector, thing)]


def _settings_of(connector: str) -> type[BaseModel]:
    module = importlib.import_module(f"connectors.{connector}.settings")
    (found,) = [
        thing for thing in vars(module).values()
        if isinstance(thing, type) and issubclass(thing, BaseModel) and thing.__module__ == module.__name__
        and thing.__name__.lower() == f"{connector}settings"
    ]  # fmt: skip
    return found


@pytest.mark.parametrize("connector", CONNECTORS)
def test_a_simulator(connector):
    folder = ROOT / "connectors" / connector
    has = (folder / "simulator.py").exists() or (folder / "simulator").is_dir()
    assert has is (not _lacks(connector, "simulator")) or connector == "analyzers"


@pytest.mark.parametrize("connector", _expected("check"))
def test_a_connection_check(connector):
    module = importlib.import_module(f"connectors.{connector}.check")
    assert callable(module.check_connection)


@pytest.mark.parametrize("connector", _expected("settings"))
def test_settings_that_explain_themselves(connector):
    settings = _settings_of(connector)
    bare = [name for name, field in settings.model_fields.items() if not field.title or not field.description]
    assert not bare, f"give a title and a description to {bare}"
    assert settings.model_config.get("extra") == "forbid"


@pytest.mark.parametrize("connector", _expected("samples"))
def test_samples_of_every_operation_and_of_refusals(connector):
    cases = importlib.import_module(f"tests.contract.{connector}.cases").CASES
    wire = ROOT / "tests" / "contract" / connector / "wire"
    files = {path.name for path in wire.iterdir()}
    assert any(name.startswith("error.") for name in files)
    for operation in cases.operations:
        assert operation.response_file or operation.request_file or operation.expected is None, operation.name
        assert operation.errors, operation.name
    unused = files - _used(connector)
    assert not unused, f"no test reads {sorted(unused)}"


def _used(connector: str) -> set[str]:
    """Return every file name that a test or case of the connector names."""
    folders = (ROOT / "tests" / "contract" / connector, ROOT / "tests" / "unit" / "connectors" / connector)
    texts = [path.read_text(encoding="utf-8") for folder in folders for path in folder.rglob("*.py")]
    return set(re.findall(r"[\"'/]([a-z][\w.]+\.(?:json|form|txt))[\"']", "\n".join(texts)))


@pytest.mark.parametrize("connector", _expected("docs"))
def test_a_page_with_its_headings(connector):
    page = (ROOT / "docs" / "connectors" / f"{connector}.md").read_text(encoding="utf-8")
    found = set(re.findall(r"^## (.+)$", page, flags=re.MULTILINE))
    missing = set(HEADINGS) - found
    assert not missing, sorted(missing)


@pytest.mark.parametrize("connector", CONNECTORS)
def test_a_docstring_that_says_what_the_partner_is(connector):
    module = importlib.import_module(f"connectors.{connector}")
    assert module.__doc__
    assert len(module.__doc__) > 60


def test_nothing_is_excused_that_is_there():
    gone = {connector for connector, _ in HAS_NO} - set(CONNECTORS)
    assert not gone
