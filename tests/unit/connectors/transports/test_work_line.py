"""Two lines to one device look like one."""

import asyncio
from datetime import timedelta
from typing import ClassVar

import pytest

from connectors.line import ConnectionState
from connectors.transports.channel import ChannelSetup, Device
from connectors.transports.opening import channel_for
from connectors.transports.work_line import WithWorkLine
from domain.clock import utc_now
from domain.device_profile import DeviceProfile
from domain.device_transport import TRANSPORT
from domain.observations import ReceivedMessage, StoreOutcome


class Standin:
    """A line that shows what it is told to."""

    transport: ClassVar[str] = "tcp"

    def __init__(self, trouble: str = "", *states: ConnectionState) -> None:
        self.trouble = trouble
        self.states = list(states)
        self.is_running = False

    def connections(self) -> list[ConnectionState]:
        return self.states

    async def run(self) -> None:
        self.is_running = True
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.is_running = False


@pytest.mark.parametrize(
    ("speaks", "takes", "shown"),
    [("", "", ""), ("off", "", "off"), ("", "gone", "line for work: gone"), ("off", "gone", "off")],
)
def test_the_trouble_of_either_is_shown(speaks: str, takes: str, shown: str):
    assert WithWorkLine(Standin(speaks), Standin(takes)).trouble == shown


def test_connections_are_listed_oldest_first():
    now = utc_now()
    late, early = (ConnectionState(str(n), 0, now - timedelta(seconds=n)) for n in (1, 2))
    assert WithWorkLine(Standin("", late), Standin("", early)).connections() == [early, late]


async def test_both_run_and_both_end():
    lines = Standin(), Standin()
    running = asyncio.ensure_future(WithWorkLine(*lines).run())
    await asyncio.sleep(0.01)
    assert all(line.is_running for line in lines)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not any(line.is_running for line in lines)


async def store(_message: ReceivedMessage) -> StoreOutcome:
    return StoreOutcome(accepted=True)


@pytest.mark.parametrize(
    "given", [{"kind": "tcp_server", "port": 7001}, {"kind": "tcp_client", "host": "10.0.0.7", "port": 5000}]
)
def test_a_transport_with_a_line_for_work(given: dict):
    transport = TRANSPORT.validate_python({**given, "work_line": {"host": "10.0.0.7", "port": 5001}})
    channel = channel_for(transport, Device("X", DeviceProfile(protocol="hl7")), ChannelSetup(store))
    assert type(channel) is WithWorkLine
