"""Devices with a second connection for their work, over real loopback TCP: whoever opens which."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from connectors.line import ListenerLimits
from connectors.transports import Channel, ChannelSetup, channel_for
from connectors.transports import Device as Entry
from domain.device_orders import DownloadResult
from domain.device_profile import DeviceProfile
from domain.device_transport import DeviceTransport, Outgoing, OwnListener, WorkLine
from tests.contract.hl7.test_work import Desk, Device, kind
from tests.contract.transports.running import free_port, running, until
from tests.fixtures.shelf import Shelf
from tests.unit.connectors.hl7.work import law_query, tube

LAW = DeviceProfile.model_validate(
    {
        "protocol": "hl7",
        "work": {"style": "law", "answers_queries": True, "sends_unasked": True, "connections": "two", "answer_s": 3},
    }
)


class Ear:
    """A port of the device; every connection to it is handed out once."""

    def __init__(self) -> None:
        self.port = 0
        self._callers: asyncio.Queue[Device] = asyncio.Queue()

    async def called(self) -> Device:
        async with asyncio.timeout(5):
            return await self._callers.get()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._callers.put_nowait(Device(reader, writer))

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator["Ear"]:
        server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            while not self._callers.empty():
                self._callers.get_nowait().close()


def opened(desk: Desk, transport: DeviceTransport) -> Channel:
    entry = Entry(code="ALN-1", profile=LAW, new_desk=lambda: desk)
    channel = channel_for(transport, entry, ChannelSetup(Shelf(), ListenerLimits()))
    assert channel is not None
    return channel


async def test_both_connections_are_ours_and_work_goes_over_the_one_for_it():
    desk = Desk(tube("261123000017", "9"))
    async with Ear().listening() as results, Ear().listening() as work:
        line = WorkLine(host="127.0.0.1", port=work.port)
        transport = Outgoing(host="127.0.0.1", port=results.port, work_line=line)
        async with running(opened(desk, transport)) as channel:
            speaks, takes = await results.called(), await work.called()
            assert len(channel.connections()) == 2
            desk.send(tube("S1", "1"))
            unasked = await takes.hear()
            assert "SAC|||S1" in unasked  # before the device has said anything
            await takes.answer(unasked)
            assert (await desk.outcome())[0] is DownloadResult.ACCEPTED
            await speaks.say(law_query())
            assert kind(await speaks.hear()) == "RSP^K11^RSP_K11"
            asked = await takes.hear()
            assert "SAC|||261123000017" in asked
            await takes.answer(asked)
            assert await speaks.hears_nothing()
            for end in (speaks, takes):
                end.close()


async def test_the_device_opens_the_one_and_we_the_other():
    desk, port = Desk(tube("261123000017", "9")), free_port()
    async with Ear().listening() as work:
        transport = OwnListener(port=port, work_line=WorkLine(host="127.0.0.1", port=work.port))
        async with running(opened(desk, transport)) as channel:
            takes = await work.called()
            await until(lambda: not channel.trouble)
            speaks = Device(*await asyncio.open_connection("127.0.0.1", port))
            await speaks.say(law_query())
            assert kind(await speaks.hear()) == "RSP^K11^RSP_K11"
            assert "SAC|||261123000017" in await takes.hear()
            for end in (speaks, takes):
                end.close()


async def test_work_that_was_asked_for_waits_for_its_line():
    desk, port, work_port = Desk(tube("261123000017", "9")), free_port(), free_port()
    line = WorkLine(host="127.0.0.1", port=work_port, reconnect_s=0.05)
    async with running(opened(desk, OwnListener(port=port, work_line=line))) as channel:
        await until(lambda: "line for work" in channel.trouble)
        speaks = Device(*await asyncio.open_connection("127.0.0.1", port))
        await speaks.say(law_query())
        assert kind(await speaks.hear()) == "RSP^K11^RSP_K11"
        assert await speaks.hears_nothing()
        callers: asyncio.Queue[Device] = asyncio.Queue()
        server = await asyncio.start_server(lambda *ends: callers.put_nowait(Device(*ends)), "127.0.0.1", work_port)
        async with asyncio.timeout(5):
            takes = await callers.get()
        assert "SAC|||261123000017" in await takes.hear()
        for end in (speaks, takes):
            end.close()
        server.close()


async def test_two_connections_to_a_port_of_its_own_belong_together():
    desk, port = Desk(tube("261123000017", "9")), free_port()
    async with running(opened(desk, OwnListener(port=port))) as channel:
        await until(lambda: not channel.trouble)
        await asyncio.sleep(0.05)
        speaks = Device(*await asyncio.open_connection("127.0.0.1", port))
        takes = Device(*await asyncio.open_connection("127.0.0.1", port))
        await until(lambda: len(channel.connections()) == 2)
        await speaks.say(law_query())
        assert kind(await speaks.hear()) == "RSP^K11^RSP_K11"
        assert "SAC|||261123000017" in await takes.hear()
        assert await speaks.hears_nothing()
        for end in (speaks, takes):
            end.close()
