"""A serial line over a pair of pseudo-terminals."""

import asyncio
import os
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from connectors.astm.framing import frames_of
from connectors.au.texts import framed
from connectors.transports import ChannelSetup, Device, channel_for
from domain.device_profile import DeviceProfile
from domain.device_transport import SerialPort
from tests.contract.transports.running import running, until
from tests.fixtures.shelf import Shelf

MESSAGE = b"H|\\^&|||SIM\rP|1\rO|1|261123000017||^^^GLU\rR|1|^^^GLU|126.4|mg/dL\rL|1|N\r"
ASTM = DeviceProfile(protocol="astm")
AU = DeviceProfile.model_validate({"protocol": "au", "au": {"has_check_byte": True}})


class Machine:
    """The other end of the cable."""

    def __init__(self) -> None:
        self._end, slave = os.openpty()
        tty.setraw(slave)
        self.path = os.ttyname(slave)
        self._slave = slave

    async def say(self, data: bytes, answers: int) -> bytes:
        loop = asyncio.get_running_loop()
        os.write(self._end, data)
        heard = b""
        async with asyncio.timeout(5):
            while len(heard) < answers:
                heard += await loop.run_in_executor(None, os.read, self._end, answers - len(heard))
        return heard

    def unplug(self) -> None:
        for end in (self._slave, self._end):
            with suppress(OSError):
                os.close(end)


@contextmanager
def cable() -> Iterator[Machine]:
    machine = Machine()
    try:
        yield machine
    finally:
        machine.unplug()


def line(shelf, machine, profile=ASTM, roots=(Path("/dev"),), **settings):
    transport = SerialPort(device=machine if isinstance(machine, str) else machine.path, **settings)
    setup = ChannelSetup(shelf, serial_roots=roots)
    return channel_for(transport, Device(code="S-1", profile=profile), setup)


async def test_astm_over_a_serial_line():
    shelf = Shelf()
    with cable() as machine:
        async with running(line(shelf, machine, baud=19200)) as channel:
            await until(channel.connections)
            assert await machine.say(b"\x05" + b"".join(frames_of(MESSAGE)) + b"\x04", 6) == b"\x06" * 6
            (state,) = channel.connections()
        assert (state.peer, state.received) == (machine.path, 1)
    (message,) = shelf.kept
    assert (message.raw, message.transport, message.device) == (MESSAGE, "serial", "S-1")


async def test_bytes_of_every_value_pass():
    shelf = Shelf()
    text = "D 000305 0081" + "261123000017".rjust(26) + "    E014  78.8\xff\x80"
    with cable() as machine:
        async with running(line(shelf, machine, AU, stop_bits=2, parity="none")) as channel:
            await until(channel.connections)
            assert await machine.say(framed(text, AU.au), 1) == b"\x06"
    assert shelf.messages == [text.encode("latin-1")]


async def test_a_port_that_vanishes_is_opened_again(tmp_path: Path):
    """An adapter that is pulled out and put in again keeps its name under /dev/serial/by-id."""
    shelf, name = Shelf(), tmp_path / "by-id"
    roots = (Path("/dev"), tmp_path)
    with cable() as first:
        name.symlink_to(first.path)
        async with running(line(shelf, str(name), roots=roots)) as channel:
            await until(channel.connections)
            first.unplug()
            await until(lambda: channel.trouble)
            assert channel.connections() == []
            with cable() as second:
                name.unlink()
                name.symlink_to(second.path)
                await until(channel.connections)
                assert await second.say(b"\x05", 1) == b"\x06"


@pytest.mark.parametrize(
    "path", ["/dev/ttyNONE99", "/etc/hostname", "/dev/null", "socket://127.0.0.1:1", "relative"],
    ids=["absent", "outside", "no terminal", "address", "relative"],
)  # fmt: skip
async def test_what_is_no_serial_port(path: str):
    async with running(line(Shelf(), path)) as channel:
        await until(lambda: channel.trouble)
    assert channel.connections() == []


async def test_one_port_is_opened_once():
    with cable() as machine:
        async with running(line(Shelf(), machine)) as one:
            await until(one.connections)
            async with running(line(Shelf(), machine)) as other:
                await until(lambda: other.trouble)
                assert one.connections()
