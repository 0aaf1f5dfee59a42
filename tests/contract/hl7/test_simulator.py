"""The simulated analyzer against the server: it asks, takes work and refuses what it cannot do."""

import contextlib

from connectors.hl7.codec import parse_message
from connectors.hl7.simulator import Hl7AnalyzerLine
from domain.device_orders import DeviceWork, DownloadResult
from tests.contract.hl7.test_work import RESULT, Desk, lab
from tests.unit.connectors.hl7.work import display_query, law_query


@contextlib.asynccontextmanager
async def analyzer(desk: Desk, style: str = "law", **rules):
    async with (
        lab(desk, style, devices=0, **rules) as (shelf, server),
        Hl7AnalyzerLine("127.0.0.1", server.port) as line,
    ):
        yield shelf, line


def kinds(messages: list[bytes]) -> list[str]:
    return [parse_message(message).header.value(9, 1) for message in messages]


async def test_it_asks_and_takes_the_work():
    async with analyzer(Desk(DeviceWork("261123000017", ("1", "2")))) as (shelf, line):
        assert kinds(await line.ask(law_query().encode(), quiet_s=0.3)) == ["RSP", "OML"]
        assert kinds(line.orders) == ["OML"]
        assert await line.deliver(RESULT) == (1, "AA")
    assert kinds(shelf.kept) == ["QBP", "ORL", "ORU"]


async def test_it_answers_each_tube_of_a_display_query():
    async with analyzer(Desk(DeviceWork("A", ("1",)), DeviceWork("B", ("2",))), "mindray_bs") as (_, line):
        assert kinds(await line.ask(display_query("").encode(), quiet_s=0.3)) == ["QCK", "DSR", "DSR"]


async def test_it_refuses_what_it_cannot_do():
    desk = Desk()
    async with analyzer(desk, sends_unasked=True) as (_, line):
        line.refuses = frozenset({"2"})
        assert await line.deliver(RESULT) == (1, "AA")
        desk.send(DeviceWork("S", ("1", "2")))
        desk.send(DeviceWork("S", ("1",)))
        assert len(await line.listen(5, quiet_s=0.3)) == 2
        await desk.outcome(2)
    assert [result for _, result, _ in desk.settled] == [DownloadResult.REFUSED, DownloadResult.ACCEPTED]
