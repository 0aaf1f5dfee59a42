"""Settings: sources, names, and what production refuses."""

import base64
import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from settings import InstrumentSettings, Settings, SettingsError, load_settings, problems, variable

KEY = base64.b64encode(bytes(range(32))).decode()
HEX = "5f1c0a9be27d4e83a6b1907c2d3f4e5a6b7c8d9e0f1a2b3c4d5e6f708192a3b4"
GOOD = {
    "LABSETU_ENVIRONMENT": "production",
    "LABSETU_DATABASE__URL": "postgresql+asyncpg://labsetu_app:x@db/labsetu",
    "LABSETU_DATABASE__SEAL_KEY": KEY,
    "LABSETU_OBJECTS__ENDPOINT": "s3.lab.example",
    "LABSETU_OBJECTS__ACCESS_KEY": "a1b2c3",
    "LABSETU_OBJECTS__SECRET_KEY": HEX,
    "LABSETU_API__PUBLIC_URL": "https://lab.example",
    "LABSETU_API__JWT_SECRETS": f"{HEX},{HEX[::-1]}",
    "LABSETU_API__METRICS_TOKEN": HEX,
    "LABSETU_API__DOCS": "false",
    "LABSETU_AUDIT__KEY": HEX,
    "LABSETU_TEMPORAL__CODEC_KEYS": json.dumps({"k1": KEY}),
    "LABSETU_TEMPORAL__CODEC_ACTIVE_KEY": "k1",
}


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    import os

    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("LABSETU_")]:
        monkeypatch.delenv(name)


def given(monkeypatch: pytest.MonkeyPatch, **changes: str) -> None:
    for name, value in {**GOOD, **changes}.items():
        monkeypatch.setenv(name, value)


def test_complete_settings_start_in_production(monkeypatch: pytest.MonkeyPatch):
    given(monkeypatch)
    settings = load_settings()
    assert [secret.get_secret_value() for secret in settings.api.jwt_secrets] == [HEX, HEX[::-1]]
    assert settings.temporal.decoded_codec_keys() == {"k1": bytes(range(32))}
    assert settings.payments is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"LABSETU_DATABASE__URL": ""}, "LABSETU_DATABASE__URL is not set"),
        ({"LABSETU_AUDIT__KEY": ""}, "LABSETU_AUDIT__KEY is not set"),
        ({"LABSETU_AUDIT__KEY": HEX[:31]}, "LABSETU_AUDIT__KEY is shorter than 32 bytes"),
        ({"LABSETU_AUDIT__KEY": "a" * 64}, "LABSETU_AUDIT__KEY looks like a placeholder"),
        ({"LABSETU_AUDIT__KEY": f"ChangeMe{HEX}"}, "LABSETU_AUDIT__KEY looks like a placeholder"),
        ({"LABSETU_API__JWT_SECRETS": ""}, "LABSETU_API__JWT_SECRETS is not set"),
        ({"LABSETU_API__JWT_SECRETS": f"{HEX},short"}, "LABSETU_API__JWT_SECRETS is shorter"),
        ({"LABSETU_API__PUBLIC_URL": "http://lab.example"}, "LABSETU_API__PUBLIC_URL must be an https://"),
        ({"LABSETU_API__DOCS": "true"}, "LABSETU_API__DOCS must be false"),
        ({"LABSETU_API__PORT": "70000"}, "LABSETU_API__PORT: Input should be less than"),
        ({"LABSETU_API__NONSENSE": "1"}, "LABSETU_API__NONSENSE: Extra inputs"),
        ({"LABSETU_DATABASE__SEAL_KEY": "short"}, "LABSETU_DATABASE__SEAL_KEY: not base64 of 32 bytes"),
        ({"LABSETU_TEMPORAL__CODEC_KEYS": '{"k1": "x"}'}, "LABSETU_TEMPORAL__CODEC_KEYS: not base64"),
        ({"LABSETU_TEMPORAL__CODEC_ACTIVE_KEY": "k2"}, "LABSETU_TEMPORAL__CODEC_ACTIVE_KEY is not one of"),
        (
            {
                "LABSETU_PAYMENTS__BASE_URL": "http://x",
                "LABSETU_PAYMENTS__KEY_ID": "a",
                "LABSETU_PAYMENTS__KEY_SECRET": "b",
            },
            "LABSETU_PAYMENTS__BASE_URL must be an https://",
        ),
        ({"LABSETU_PAYMENTS__KEY_ID": "a"}, "LABSETU_PAYMENTS__KEY_SECRET: Field required"),
        ({"LABSETU_WATCH__WORKING_HOURS": "always"}, "working hours are written like"),
        ({"LABSETU_WATCH__RECORDING_DAYS": "0"}, "LABSETU_WATCH__RECORDING_DAYS: Input should be greater"),
        ({"LABSETU_WATCH__MESSAGE_DAYS": "-1"}, "LABSETU_WATCH__MESSAGE_DAYS: Input should be greater"),
    ],
)
def test_production_names_what_is_wrong(monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], expected: str):
    given(monkeypatch, **changes)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert expected in str(caught.value)
    for value in (*changes.values(), HEX, KEY):
        assert len(value) < 8 or value not in str(caught.value)


def test_secrets_come_from_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    given(monkeypatch)
    monkeypatch.delenv("LABSETU_AUDIT__KEY")
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "labsetu_audit__key").write_text(HEX[::-1] + "\n")
    monkeypatch.setenv("LABSETU_SECRETS_DIR", str(secrets))
    assert load_settings().audit.key.get_secret_value() == HEX[::-1]


def test_the_environment_wins_over_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    home = tmp_path / ".labsetu"
    home.mkdir()
    lines = [f"{name}='{value}'" for name, value in GOOD.items() if name != "LABSETU_ENVIRONMENT"]
    (home / "secrets.env").write_text("\n".join(lines))
    (home / "stack.env").write_text("LABSETU_API__PORT=8081\nLABSETU_INSTRUMENTS__HL7_PORT=7001\nLABSETU_API__HOST=a")
    (tmp_path / ".env").write_text("LABSETU_API__PORT=8082\nLABSETU_API__HOST=b")
    monkeypatch.setenv("LABSETU_API__PORT", "8083")
    settings = load_settings()
    assert (settings.api.port, settings.api.host, settings.instruments.hl7_port) == (8083, "b", 7001)


def test_production_ignores_what_the_dev_stack_wrote(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    home = tmp_path / ".labsetu"
    home.mkdir()
    (home / "secrets.env").write_text(f"LABSETU_AUDIT__KEY={HEX}")
    given(monkeypatch)
    monkeypatch.delenv("LABSETU_AUDIT__KEY")
    with pytest.raises(SettingsError, match="LABSETU_AUDIT__KEY is not set"):
        load_settings()


def test_development_without_a_stack_says_how_to_get_one():
    with pytest.raises(SettingsError, match="labsetu stack"):
        load_settings()


def test_nothing_secret_has_a_default():
    found = "\n".join(problems(Settings(_env_file=None)))
    for section, name in [("database", "url"), ("database", "seal_key"), ("objects", "secret_key"), ("audit", "key"),
                          ("api", "jwt_secrets"), ("temporal", "codec_keys")]:  # fmt: skip
        assert f"{variable(section, name)} is not set" in found


def test_a_repr_shows_no_secret(monkeypatch: pytest.MonkeyPatch):
    given(monkeypatch)
    shown = repr(load_settings())
    assert HEX not in shown
    assert KEY not in shown


def test_roots_of_lines_are_lists_of_absolute_paths():
    own = InstrumentSettings(folder_roots="/srv/a, /srv/b", tls_key="")
    assert own.folder_roots == (Path("/srv/a"), Path("/srv/b"))
    assert own.serial_roots == (Path("/dev"),)
    assert own.tls_key is None
    assert InstrumentSettings(folder_roots="").folder_roots == ()
    with pytest.raises(ValidationError):
        InstrumentSettings(folder_roots="relative")


def test_what_the_api_is_told_of_analyzers(monkeypatch: pytest.MonkeyPatch):
    from api.opening import config_of

    given(
        monkeypatch,
        LABSETU_WATCH__WORKING_HOURS="mon-fri 08:00-18:00, sat 09:00-13:00",
        LABSETU_WATCH__MESSAGE_DAYS="400",
        LABSETU_WATCH__RECORDING_DAYS="3",
        LABSETU_WATCH__REPLAY_TARGETS="10.0.0.5:6661, test-analyzer:5000",
        LABSETU_INSTRUMENTS__ASTM_PORT="7662",
    )
    config = config_of(load_settings())
    assert config.working_hours == "mon-fri 08:00-18:00, sat 09:00-13:00"
    assert config.message_days == 400
    assert config.recording_days == 3
    assert config.replay_targets == ("10.0.0.5:6661", "test-analyzer:5000")
    assert config.shared_ports == (6661, 7662)
