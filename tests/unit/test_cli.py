"""The command line: what it offers, and how it fails."""

import ast
import base64
import json
import os
from pathlib import Path

import pytest

import cli
from workflows.codec import EncryptionCodec

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("LABSETU_")]:
        monkeypatch.delenv(name)


def test_every_command_is_offered_with_a_line_of_help(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as left:
        cli.main(["--help"])
    assert left.value.code == 0
    shown = capsys.readouterr().out
    for name in ("dev", "stack", "api", "worker", "listen", "simulators", "migrate", "seed", "doctor", "audit",
                 "codec-key", "simulate"):  # fmt: skip
        assert f"    {name}" in shown


@pytest.mark.parametrize("arguments", [[], ["fly"], ["audit"], ["audit", "forge"], ["simulate", "toaster", "1"]])
def test_wrong_arguments_are_status_2(arguments: list[str]):
    with pytest.raises(SystemExit) as left:
        cli.main(arguments)
    assert left.value.code == 2


@pytest.mark.parametrize(
    "command", [["migrate"], ["api"], ["worker"], ["listen"], ["simulators"], ["seed"], ["audit", "verify"]]
)
def test_without_settings_every_program_says_what_is_missing(command: list[str], capsys: pytest.CaptureFixture[str]):
    assert cli.main(command) == 1
    said = capsys.readouterr().err
    assert "LABSETU_AUDIT__KEY is not set" in said
    assert "labsetu stack" in said


def test_a_new_codec_key_is_one_that_the_codec_takes(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["codec-key", "new"]) == 0
    values = dict(line.split("=", 1) for line in capsys.readouterr().out.splitlines())
    ring = json.loads(values["LABSETU_TEMPORAL__CODEC_KEYS"].strip("'"))
    active = values["LABSETU_TEMPORAL__CODEC_ACTIVE_KEY"]
    EncryptionCodec({name: base64.b64decode(key) for name, key in ring.items()}, active)
    assert cli.main(["codec-key", "new"]) == 0
    assert ring[active] not in capsys.readouterr().out


def test_help_imports_nothing_heavy():
    tree = ast.parse((ROOT / "cli.py").read_text(encoding="utf-8"))
    modules = {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert modules <= {"__future__", "collections.abc", "contextlib", "pathlib", "typing", "domain.errors"}
