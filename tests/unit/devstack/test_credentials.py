"""Generated secrets: made once, private, complete enough to start with."""

import stat
from pathlib import Path

import pytest

from connectors.abdm.simulator import BASE
from devstack import credentials, partners, simulators
from devstack.ports import Ports
from settings import Settings, problems


def test_secrets_are_made_once_and_only_we_may_read_them(tmp_path: Path):
    first = credentials.ensure_secrets(tmp_path / "home")
    assert credentials.ensure_secrets(tmp_path / "home") == first
    assert stat.S_IMODE((tmp_path / "home/secrets.env").stat().st_mode) == 0o600
    assert credentials.ensure_secrets(tmp_path / "other") != first
    assert len(set(first.values())) == len(first)


def test_a_secret_that_a_newer_version_needs_is_added(tmp_path: Path):
    first = credentials.ensure_secrets(tmp_path)
    kept = {name: value for name, value in first.items() if name != "LABSETU_AUDIT__KEY"}
    credentials.write(tmp_path / "secrets.env", kept)
    second = credentials.ensure_secrets(tmp_path)
    assert second["LABSETU_AUDIT__KEY"]
    assert {**second, **kept} == second


def test_they_satisfy_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    values = credentials.ensure_secrets(tmp_path) | partners.partner_settings(Ports.planned(), "http://127.0.0.1:8080")
    values |= {"LABSETU_DATABASE__URL": "postgresql+asyncpg://x", "LABSETU_OBJECTS__ENDPOINT": "x"}
    credentials.write(tmp_path / "all.env", values)
    settings = Settings(_env_file=tmp_path / "all.env")
    assert list(problems(settings)) == []
    sections = (settings.payments, settings.einvoice, settings.whatsapp, settings.sms, settings.email, settings.abdm)
    assert None not in sections
    assert len(simulators.applications(settings, Ports.planned())) == len(sections)
    assert settings.abdm is not None
    assert settings.abdm.base_url.endswith(BASE)


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path):
    file = tmp_path / "stack.env"
    credentials.write(file, {"A": "1"})
    (tmp_path / "stack.new").write_text("half")
    assert credentials.read(file) == {"A": "1"}
    credentials.write(file, {"A": "with # and $HOME"})
    assert credentials.read(file) == {"A": "with # and $HOME"}
    assert credentials.read(tmp_path / "none") == {}
