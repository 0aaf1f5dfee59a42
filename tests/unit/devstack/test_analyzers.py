"""`labsetu simulate` in both roles, as a field engineer starts it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from connectors.analyzers.driver import MODELS
from devstack import analyzers

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "cli.py", "simulate"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_a_host_and_a_device_find_each_other():
    listening = [*COMMAND, "erba_xl", "--host", "--messages", "3"]  # the model proposes no port: any will do
    work = ["--work", "261123000017=GLU,UREA"]
    with subprocess.Popen([*listening, *work], cwd=ROOT, stdout=subprocess.PIPE, text=True) as host:
        port = re.search(r":(\d+),", host.stdout.readline())[1]
        device = run("erba_xl", "261123000017", "--port", port, "--query", "--no-controls", "--cut", "5")
        said, _ = host.communicate(timeout=30)
    assert device.returncode == 0, device.stderr
    assert "261123000017: 2 results, 1 attempts, ACK" in device.stdout
    assert "261123000017: to measure GLU, UREA" in device.stdout
    assert "Q|1|^261123000017" in said
    assert host.returncode == 0


def test_what_cannot_be_played_is_said():
    assert run("toaster", "1").returncode == 2
    assert run("erba_xl", "--host", "--work", "nonsense").returncode == 2
    unknown_port = run("beckman_au", "1")
    assert (unknown_port.returncode, "--port" in unknown_port.stderr) == (1, True)
    nobody = run("erba_xl", "1", "--port", "9")
    assert (nobody.returncode, "nobody listens" in nobody.stderr) == (1, True)


def test_every_model_can_be_named():
    assert set(analyzers.devices()) == {"chemistry", "haematology", *MODELS}
    assert analyzers.protocol_of("chemistry") == "astm"
    assert analyzers.usual_port("getein_magicl") == 8081


@pytest.mark.parametrize("model", ["sysmex_xp", "siemens_dimension"])
async def test_a_model_is_played_against_a_host(model):
    from connectors.analyzers.simulator import HostSimulator

    async with HostSimulator(model, {"1": ("GLU",)}) as host:
        deliveries, work = await analyzers.play(model, "127.0.0.1", host.port, analyzers.Run(["1"], listen_s=0.01))
    assert len(deliveries) == 3
    assert all(delivery.is_acknowledged for delivery in deliveries)
    assert work == {}
