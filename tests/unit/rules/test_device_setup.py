"""Two devices that cannot be told apart are refused before one of them sends."""

import pytest

from domain.device_transport import TRANSPORT
from rules.device_setup import DeviceSetup, clashes


def device(code, protocol="astm", peers=(), is_active=True, **transport):
    shape = TRANSPORT.validate_python(transport or {"kind": "listener"})
    return DeviceSetup(code=code, protocol=protocol, peers=tuple(peers), transport=shape, is_active=is_active)


SERIAL = {"kind": "serial", "device": "/dev/ttyS0"}
PORT = {"kind": "tcp_server", "port": 7001}
OUT = {"kind": "tcp_client", "host": "Ana.lab", "port": 5000}
WORK = {"host": "ana.lab", "port": 5000}
FOLDER = {"kind": "folder", "path": "/data/in"}


@pytest.mark.parametrize(
    ("one", "two", "code"),
    [
        (device("A", **SERIAL), device("B", **SERIAL), "ANALYZER_SERIAL_PORT_TAKEN"),
        (device("A", **PORT), device("B", "hl7", **PORT), "ANALYZER_PORT_TAKEN"),
        (device("A", **FOLDER), device("B", **{**FOLDER, "path": "/data/in/"}), "ANALYZER_FOLDER_TAKEN"),
        (device("A", **OUT), device("B", "hl7", **{**OUT, "host": "ana.lab"}), "ANALYZER_ADDRESS_TAKEN"),
        (device("A", **OUT), device("B", "hl7", **PORT, work_line=WORK), "ANALYZER_ADDRESS_TAKEN"),
        (device("A", peers=["10.0.0.1"]), device("B", peers=["10.0.0.2", "10.0.0.1"]), "ANALYZER_ADDRESS_TAKEN"),
    ],
)
def test_what_two_devices_may_not_share(one, two, code):
    (clash,) = clashes(one, [one, two])
    assert (clash.code, clash.other) == (code, "B")
    assert clash.action


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (device("A", **SERIAL), device("B", **{**SERIAL, "device": "/dev/ttyS1"})),
        (device("A", peers=["10.0.0.1"]), device("B", "hl7", peers=["10.0.0.1"])),
        (device("A", peers=["10.0.0.1"]), device("B", peers=["10.0.0.1"], **PORT)),
        (device("A", **SERIAL), device("B", is_active=False, **SERIAL)),
        (device("A", is_active=False, **SERIAL), device("B", **SERIAL)),
    ],
)
def test_what_keeps_them_apart(one, two):
    assert clashes(one, [two]) == []


def test_the_shared_listeners_port_is_taken():
    (clash,) = clashes(device("A", **PORT), [], shared_ports=[7001])
    assert (clash.code, clash.other) == ("ANALYZER_PORT_TAKEN", "")
