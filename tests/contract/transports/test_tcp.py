"""Ports of their own and connections that we make, over real loopback TCP, plain and encrypted."""

import asyncio
import contextlib
import socket
import ssl

import pytest

from connectors.astm.framing import frames_of
from connectors.line import ListenerLimits
from connectors.transports import ChannelSetup, Device, channel_for
from connectors.transports.tls import TlsFiles, client_context, server_context
from domain.device_profile import DeviceProfile
from domain.device_transport import Outgoing, OwnListener
from tests.contract.transports.running import free_port, running, until
from tests.fixtures.certificates import Certificates
from tests.fixtures.deaf_device import deaf_device, shout
from tests.fixtures.shelf import Shelf

MESSAGE = b"H|\\^&|||SIM\rP|1\rO|1|261123000017||^^^GLU\rR|1|^^^GLU|126.4|mg/dL\rL|1|N\r"
SESSION = b"\x05" + b"".join(frames_of(MESSAGE)) + b"\x04"
ACKS = b"\x06" * 6
HL7 = b"MSH|^~\\&|BC|M|||20261118||ORU^R01|7|P|2.3.1\r"
ASTM = DeviceProfile(protocol="astm")


def opened(shelf, transport, *, profile=ASTM, peers=(), tls=None, **limits):
    device = Device(code="D-1", profile=profile, peers=frozenset(peers))
    return channel_for(transport, device, ChannelSetup(shelf, ListenerLimits(**limits), tls=tls or TlsFiles()))


async def say(port: int, data: bytes, answers: int, context: ssl.SSLContext | None = None) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        writer.write(data)
        async with asyncio.timeout(5):
            return await reader.readexactly(answers)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def listens(port: int) -> bool:
    """Tell whether somebody listens, without connecting to it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
        return False


async def test_a_port_of_its_own():
    shelf, port = Shelf(), free_port()
    async with running(opened(shelf, OwnListener(port=port), peers=["127.0.0.1"])):
        await until(lambda: listens(port))
        assert await say(port, SESSION, 6) == ACKS
    (message,) = shelf.kept
    assert (message.raw, message.device, message.local_port) == (MESSAGE, "D-1", port)
    assert not listens(port)


async def test_another_address_is_not_let_in():
    shelf, port = Shelf(), free_port()
    async with running(opened(shelf, OwnListener(port=port), peers=["192.0.2.7"])):
        await until(lambda: listens(port))
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await say(port, SESSION, 6)
    assert shelf.kept == []


async def test_a_port_that_is_taken_is_opened_when_it_is_free():
    shelf = Shelf()
    other = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = other.sockets[0].getsockname()[1]
    async with running(opened(shelf, OwnListener(port=port))) as channel:
        await until(lambda: channel.trouble)
        assert f"port {port}" in channel.trouble
        other.close()
        await other.wait_closed()
        await until(lambda: not channel.trouble)
        assert await say(port, SESSION, 6) == ACKS


async def test_a_silent_connection_stays_open_and_too_many_are_refused():
    shelf, port = Shelf(), free_port()
    async with running(opened(shelf, OwnListener(port=port), max_connections=1, message_seconds=0.1)) as channel:
        await until(lambda: listens(port))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await until(channel.connections)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await say(port, SESSION, 6)
        await asyncio.sleep(0.3)
        writer.write(SESSION)
        async with asyncio.timeout(5):
            assert await reader.readexactly(6) == ACKS
        writer.close()
        await writer.wait_closed()


async def test_a_peer_that_does_not_read_is_dropped():
    shelf, port = Shelf(), free_port()
    profile = DeviceProfile(protocol="hl7")
    async with running(opened(shelf, OwnListener(port=port), profile=profile, write_seconds=0.2)) as channel:
        await until(lambda: channel._port)
        async with deaf_device(channel._port) as peer:
            with pytest.raises(ConnectionError):
                await shout(peer, (b"\x0b" + HL7 + b"\x1c\r") * 500)
            await until(lambda: not channel.connections())
    assert shelf.kept


async def test_encrypted_lines_with_and_without_a_certificate_of_the_device(certificates: Certificates):
    ours = TlsFiles(certificates.certificate, certificates.key, client_ca=certificates.authority)
    shelf, port = Shelf(), free_port()
    async with running(opened(shelf, OwnListener(port=port, tls=True), tls=ours)):
        await until(lambda: listens(port))
        known = client_context(TlsFiles(certificates.certificate, certificates.key, server_ca=certificates.authority))
        assert await say(port, SESSION, 6, known) == ACKS
        unknown = client_context(TlsFiles(server_ca=certificates.authority))
        for data in (unknown, None):
            with pytest.raises((OSError, asyncio.IncompleteReadError)):
                await say(port, SESSION, 6, data)
    assert len(shelf.kept) == 1


async def test_an_encrypted_line_without_a_certificate_has_trouble():
    async with running(opened(Shelf(), OwnListener(port=free_port(), tls=True))) as channel:
        await until(lambda: channel.trouble)
    assert "no certificate" in channel.trouble


@contextlib.asynccontextmanager
async def machine(answers: list[bytes], *, port: int = 0, tls: ssl.SSLContext | None = None, is_brief: bool = False):
    """An analyzer that listens: sends its session to whoever connects and notes the answers."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            writer.write(SESSION)
            answers.append(await reader.readexactly(6))
            if not is_brief:
                await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_a_device_that_listens_is_called_again_after_it_hangs_up():
    shelf, answers = Shelf(), []
    async with machine(answers, is_brief=True) as port:
        transport = Outgoing(host="127.0.0.1", port=port, reconnect_s=0.05)
        async with running(opened(shelf, transport)):
            await shelf.wait(3)
            await until(lambda: len(answers) >= 3)
    assert set(answers) == {ACKS}
    assert {(message.peer, message.local_port, message.device) for message in shelf.kept} == {
        (f"127.0.0.1:{port}", 0, "D-1")
    }


async def test_a_device_that_comes_later_and_stays():
    shelf, answers, port = Shelf(), [], free_port()
    async with running(opened(shelf, Outgoing(host="127.0.0.1", port=port, reconnect_s=0.05))) as channel:
        await until(lambda: channel.trouble)
        async with machine(answers, port=port):
            await shelf.wait(1)
            await until(channel.connections)
            assert channel.trouble == ""
    assert len(shelf.kept) == 1


async def test_a_device_that_listens_encrypted_must_be_known(certificates: Certificates):
    theirs = server_context(TlsFiles(certificates.certificate, certificates.key))
    strange = server_context(TlsFiles(certificates.stranger, certificates.stranger_key))
    ours = TlsFiles(server_ca=certificates.authority)
    for context, count in ((theirs, 1), (strange, 0)):
        shelf, answers = Shelf(), []
        async with machine(answers, tls=context) as port:
            transport = Outgoing(host="127.0.0.1", port=port, tls=True, reconnect_s=0.05)
            async with running(opened(shelf, transport, tls=ours)) as channel:
                await until(lambda shelf=shelf, channel=channel: shelf.kept or channel.trouble)
        assert len(shelf.kept) == count
