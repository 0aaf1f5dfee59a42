"""Which channel a transport means and what it takes for itself."""

from pathlib import Path

import pytest

from connectors.transports.channel import ChannelSetup, Device
from connectors.transports.folder import Folder
from connectors.transports.opening import channel_for, endpoint_of
from connectors.transports.serial import SerialLine
from connectors.transports.tcp_client import Dialled
from connectors.transports.tcp_server import OwnPort
from domain.device_profile import DeviceProfile
from domain.device_transport import TRANSPORT
from domain.observations import ReceivedMessage, StoreOutcome

OF_THEIR_OWN = [
    ({"kind": "tcp_server", "port": 7001}, OwnPort, "port 7001"),
    ({"kind": "tcp_client", "host": "Analyzer.lab", "port": 5000}, Dialled, "address analyzer.lab:5000"),
    ({"kind": "serial", "device": "/dev/ttyUSB0"}, SerialLine, "serial port /dev/ttyUSB0"),
    ({"kind": "folder", "path": "/srv/in"}, Folder, "folder /srv/in"),
]


async def store(_message: ReceivedMessage) -> StoreOutcome:
    return StoreOutcome(accepted=True)


@pytest.mark.parametrize(
    ("given", "kind", "endpoint"), OF_THEIR_OWN, ids=[kind.__name__ for _, kind, _ in OF_THEIR_OWN]
)
def test_lines_of_their_own(given: dict, kind: type, endpoint: str):
    transport = TRANSPORT.validate_python(given)
    channel = channel_for(transport, Device("X", DeviceProfile(protocol="au")), ChannelSetup(store))
    assert type(channel) is kind
    assert channel.trouble == ""
    assert endpoint_of(transport) == endpoint


@pytest.mark.parametrize("kind", ["listener", "http"])
def test_those_that_share(kind: str):
    transport = TRANSPORT.validate_python({"kind": kind})
    assert channel_for(transport, Device("X", DeviceProfile(protocol="au")), ChannelSetup(store)) is None
    assert endpoint_of(transport) == ""


def test_two_names_of_one_port_are_one(tmp_path: Path):
    (tmp_path / "tty").touch()
    (tmp_path / "by-id").symlink_to(tmp_path / "tty")
    one, other = (
        endpoint_of(TRANSPORT.validate_python({"kind": "serial", "device": str(tmp_path / name)}))
        for name in ("tty", "by-id")
    )
    assert one == other
