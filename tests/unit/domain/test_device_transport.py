"""How bytes get here: each kind with what it needs, nothing else, within bounds."""

import pytest
from pydantic import ValidationError

from domain.device_transport import TRANSPORT, Outgoing, OwnListener, SerialPort, SharedListener, WatchedFolder


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"kind": "listener"}, SharedListener),
        ({"kind": "tcp_server", "port": 4001}, OwnListener),
        ({"kind": "tcp_client", "host": "10.0.0.9", "port": 4001, "tls": True}, Outgoing),
        ({"kind": "serial", "device": "/dev/ttyUSB0", "parity": "even"}, SerialPort),
        ({"kind": "folder", "path": "/srv/lis/in", "pattern": "*.astm"}, WatchedFolder),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_stored_is_read_again(given: dict[str, object], kind: type):
    transport = TRANSPORT.validate_python(given)
    assert isinstance(transport, kind)
    assert TRANSPORT.validate_json(TRANSPORT.dump_json(transport)) == transport
    assert given.items() <= TRANSPORT.dump_python(transport).items()


def test_a_serial_line_is_9600_8n1_unless_said_otherwise():
    line = SerialPort(device="/dev/ttyS0")
    assert (line.baud, line.bits, line.parity, line.stop_bits, line.flow) == (9600, 8, "none", 1, "none")


@pytest.mark.parametrize(
    "given",
    [
        {"kind": "pigeon"},
        {},
        {"kind": "tcp_server"},
        {"kind": "tcp_server", "port": 0},
        {"kind": "tcp_server", "port": 65_536},
        {"kind": "tcp_client", "host": "", "port": 1},
        {"kind": "serial", "device": "/dev/ttyS0", "baud": 1},
        {"kind": "serial", "device": "/dev/ttyS0", "parity": "mark"},
        {"kind": "listener", "port": 5000},
        {"kind": "folder", "path": "/in", "settled_s": 0},
    ],
    ids=range(10),
)
def test_what_makes_no_sense_is_refused(given: dict[str, object]):
    with pytest.raises(ValidationError):
        TRANSPORT.validate_python(given)
