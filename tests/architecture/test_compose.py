"""docker-compose.yml, its environment and the settings agree, and nothing is open or weak by default."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from domain.search_attributes import SEARCH_ATTRIBUTES
from settings import PREFIX, Settings, problems, variable
from workflows import queues

ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")
_INTERPOLATED = re.compile(r"\$\{(\w+)(?::([?-])([^}]*))?\}")
PROGRAMS = ("api", "worker", "listener", "migrate")


def composed() -> dict[str, Any]:
    """The file with every variable replaced by its default, and a required one by `given`."""
    text = _INTERPOLATED.sub(lambda found: found[3] if found[2] == "-" else "given", COMPOSE)
    parsed: dict[str, Any] = yaml.safe_load(text)
    return parsed


def known_variables(model: type[BaseModel] = Settings, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Every variable that the settings read."""
    for name, field in model.model_fields.items():
        kinds = get_args(field.annotation) if get_origin(field.annotation) is UnionType else (field.annotation,)
        inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if inner:
            yield from known_variables(inner[0], (*path, name))
        else:
            yield variable(*path, name)


def test_the_file_fits_the_schema():
    schema = json.loads((ROOT / "tests/architecture/compose.schema.json").read_text())
    found = [f"{'/'.join(map(str, e.path))}: {e.message}" for e in Draft202012Validator(schema).iter_errors(composed())]
    assert found == []


def test_docker_itself_accepts_the_file(tmp_path: Path):
    docker = shutil.which("docker")
    if not docker or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("docker compose is not installed")
    environment = tmp_path / "env"
    environment.write_text(re.sub(r"^([A-Z0-9_]+)=$", r"\1=given", EXAMPLE, flags=re.MULTILINE))
    checked = subprocess.run(
        [docker, "compose", "-f", str(ROOT / "docker-compose.yml"), "--env-file", str(environment), "config", "-q"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stderr


def test_every_dependency_exists_and_says_when_it_is_met():
    services = composed()["services"]
    for name, service in services.items():
        for other, condition in service.get("depends_on", {}).items():
            assert other in services, name
            if condition["condition"] == "service_healthy":
                assert "test" in services[other].get("healthcheck", {}), f"{other} has no health check"
            else:
                assert services[other]["restart"] == "on-failure", f"{other} never completes"


def test_everything_is_published_on_loopback_unless_told_otherwise():
    for name, service in composed()["services"].items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name} publishes {port}"


def test_no_password_has_a_default():
    for name, mark, default in _INTERPOLATED.findall(COMPOSE):
        if re.search(r"PASSWORD|SECRET|TOKEN|_KEY", name):
            assert (mark, default) == ("?", ""), f"{name} has a default"
    assert not re.search(r"(PASSWORD|SECRET|TOKEN|PWD)\w*: *[\"']?(?!true)[a-z0-9]", COMPOSE)


def test_what_is_required_is_in_the_example_and_empty():
    required = {name for name, mark, _ in _INTERPOLATED.findall(COMPOSE) if mark == "?"}
    empty = set(re.findall(r"^([A-Z0-9_]+)=$", EXAMPLE, flags=re.MULTILINE))
    assert required == empty


def test_what_may_be_set_is_in_the_example_with_its_default():
    optional = {(name, default) for name, mark, default in _INTERPOLATED.findall(COMPOSE) if mark == "-"}
    shown = set(re.findall(r"^#([A-Z0-9_]+)=(.*)$", EXAMPLE, flags=re.MULTILINE))
    assert optional == shown


def test_every_variable_of_ours_is_one_that_the_settings_know():
    known = set(known_variables()) | {
        "LABSETU_TAG",
        "LABSETU_DATABASE_NAME",
        "LABSETU_OWNER_PASSWORD",
        "LABSETU_APP_PASSWORD",
    }
    named = set(re.findall(rf"\b{PREFIX}[A-Z0-9_]*[A-Z0-9]\b", COMPOSE + EXAMPLE))
    sections = {variable(name) for name in Settings.model_fields}  # "LABSETU_PAYMENTS__…" in a comment
    assert named - known - sections == set()


def test_the_reference_lists_every_setting_and_no_other():
    text = (ROOT / "docs/reference/settings.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(LABSETU_[\w<>]+)`", text, flags=re.MULTILINE))
    known = {re.sub(r"(?<=_POLICIES__)[A-Z_]+(?=__PARTNER__)", "<WORKFLOW>", name) for name in known_variables()}
    assert listed == known | {"LABSETU_PORT_BASE", "LABSETU_SECRETS_DIR"}


def test_every_setting_is_read_by_somebody():
    files = [file for package in ROOT.glob("*/__init__.py") for file in package.parent.rglob("*.py")]
    code = "".join(file.read_text(encoding="utf-8") for file in [*files, ROOT / "cli.py", ROOT / "worker.py"])
    code += " ".join(re.findall(r"self\.\w+", (ROOT / "settings.py").read_text(encoding="utf-8")))  # decoded there
    read = set(re.findall(r"\.([a-z_0-9]+)\b", code))
    assert {name.rpartition("__")[2].removeprefix(PREFIX).lower() for name in known_variables()} - read == set()


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_gets_all_that_production_demands(program: str):
    given = set(composed()["services"][program]["environment"])
    demanded = {text.split()[0].rstrip(":") for text in problems(Settings(_env_file=None))}
    assert variable("environment") in given
    assert demanded
    assert demanded <= given


@pytest.mark.parametrize("program", PROGRAMS)
def test_our_programs_are_locked_down(program: str):
    service = composed()["services"][program]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]


def test_only_migrations_know_the_owner_of_the_schema():
    holders = {
        name for name, service in composed()["services"].items()
        if variable("database", "owner_url") in service.get("environment", {})
    }  # fmt: skip
    assert holders == {"migrate"}


def test_mounted_files_exist():
    for service in composed()["services"].values():
        for volume in service.get("volumes", []):
            if volume.startswith("./"):
                assert (ROOT / volume.split(":")[0]).is_dir(), volume


def test_the_image_runs_unprivileged_and_pinned():
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert "--require-hashes" in text
    assert re.search(r"^USER \d+:\d+$", text, flags=re.MULTILINE)
    assert "requirements/dev" not in text
    assert re.search(r"^HEALTHCHECK ", text, flags=re.MULTILINE)


def test_the_image_holds_every_package():
    text, ignored = (ROOT / "Dockerfile").read_text(), (ROOT / ".dockerignore").read_text().split()
    packages = [init.parent.name for init in ROOT.glob("*/__init__.py") if init.parent.name not in {"tests", "bench"}]
    assert packages
    for package in packages:
        assert f"COPY {package} ./{package}" in text, package
        assert f"!{package}" in ignored, package


def test_search_attributes_on_the_server_and_in_the_code_are_the_same():
    server = yaml.safe_load((ROOT / "temporal-config/search-attributes.yaml").read_text(encoding="utf-8"))
    assert server == dict(SEARCH_ATTRIBUTES)
    assert set(server.values()) <= {"Keyword", "KeywordList"}


def test_rate_limited_queues_have_one_partition():
    values = yaml.safe_load((ROOT / "temporal-config/dynamic-config.yaml").read_text(encoding="utf-8"))
    for key in ("matching.numTaskqueueReadPartitions", "matching.numTaskqueueWritePartitions"):
        assert [entry["value"] for entry in values[key]] == [1] * len(queues.PARTNERS)
        assert {entry["constraints"]["taskQueueName"] for entry in values[key]} == set(queues.PARTNERS)


def test_dashboards_and_alerts_use_metrics_that_exist():
    from telemetry import metrics

    text = "".join(path.read_text() for path in (ROOT / "deploy").rglob("*") if path.suffix in {".json", ".yml"})
    families = {family.name for family in metrics.registry.collect()}
    for name in set(re.findall(r"\blabsetu_[a-z_]+", text)):
        assert re.sub(r"_(total|bucket|count|sum)$", "", name) in families, name
