"""Work for analyzers over real loopback TCP: queries answered, orders sent, whatever the device does."""

import asyncio
import contextlib
from uuid import UUID, uuid4

import pytest

from connectors.hl7.codec import parse_message
from connectors.hl7.framing import Block, MllpDecoder, encode_block
from connectors.hl7.server import Hl7Server
from connectors.line import ListenerLimits
from domain.device_orders import DeviceWork, Download, DownloadResult, WorkAction, WorkQuery
from domain.device_profile import DeviceProfile, WorkRules
from domain.observations import StoreOutcome
from tests.fixtures.deaf_device import deaf_device
from tests.unit.connectors.hl7.work import cepheid_query, display_query, law_query, worklist_query

RESULT = b"MSH|^~\\&|ALN|LAB1|LIS|LAB1|20260901||ORU^R01|R1|P|2.5.1\rOBR|1||S1\rOBX|1|NM|GLU||5\r"


class Desk:
    """Holds the work of one device."""

    def __init__(self, *works: DeviceWork) -> None:
        self.works = {work.specimen_id: work for work in works}
        self.is_away = False
        self.slow_s = 0.0
        self.settle_s = 0.0
        self.asked: list[WorkQuery] = []
        self.waiting: asyncio.Queue[Download] = asyncio.Queue()
        self.settled: list[tuple[UUID, DownloadResult, str]] = []
        self.changed = asyncio.Event()

    async def work_for(self, query: WorkQuery) -> tuple[DeviceWork, ...] | None:
        self.asked.append(query)
        await asyncio.sleep(self.slow_s)
        if self.is_away:
            return None
        wanted = self.works if query.wants_all else query.specimen_ids
        return tuple(self.works[name] for name in wanted if name in self.works)

    async def next_download(self) -> Download:
        return await self.waiting.get()

    async def settle(self, download: Download, result: DownloadResult, note: str = "") -> None:
        await asyncio.sleep(self.settle_s)
        self.settled.append((download.id, result, note))
        self.changed.set()

    def send(self, work: DeviceWork) -> UUID:
        download = Download(uuid4(), work)
        self.waiting.put_nowait(download)
        return download.id

    async def outcome(self, number: int = 1) -> tuple[DownloadResult, str]:
        """Wait for outcome `number` and return it."""
        async with asyncio.timeout(5):
            while len(self.settled) < number:
                self.changed.clear()
                await self.changed.wait()
        return self.settled[number - 1][1:]


class Shelf:
    def __init__(self) -> None:
        self.kept: list[bytes] = []
        self.outcome = StoreOutcome(accepted=True)

    async def __call__(self, received) -> StoreOutcome:
        self.kept.append(received.raw)
        return self.outcome


class Device:
    """The analyzer's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._decoder = MllpDecoder()
        self._heard: list[str] = []

    async def say(self, text: str | bytes) -> None:
        self._writer.write(encode_block(text.encode() if isinstance(text, str) else text))
        await self._writer.drain()

    async def hear(self, seconds: float = 5.0) -> list[str]:
        """Return the next message as segments."""
        async with asyncio.timeout(seconds):
            while not self._heard:
                data = await self._reader.read(4096)
                if not data:
                    raise ConnectionError
                self._heard += [b.message.decode() for b in self._decoder.feed(data) if isinstance(b, Block)]
        return self._heard.pop(0).removesuffix("\r").split("\r")

    async def hears_nothing(self, seconds: float = 0.15) -> bool:
        with contextlib.suppress(TimeoutError):
            await self.hear(seconds)
            return False
        return True

    async def answer(self, order: list[str], *segments: str, code: str = "AA") -> None:
        control_id = order[0].split("|")[9]
        head = f"MSH|^~\\&|ALN||LIS||2026||ORL^O34^ORL_O42|A{control_id}|P|2.5.1||||||UNICODE UTF-8|||LAB-28^IHE"
        await self.say("\r".join([head, f"MSA|{code}|{control_id}", *segments]) + "\r")

    def close(self) -> None:
        self._writer.close()


@contextlib.asynccontextmanager
async def lab(desk: Desk | None, style: str = "law", *, devices: int = 1, **rules):
    """Yield the store, the devices' ends and the server."""
    known = {"answers_queries": True, "answer_s": 2.0}
    profile = DeviceProfile(protocol="hl7", work=WorkRules(style=style, **{**known, **rules}))
    shelf = Shelf()
    server = Hl7Server(
        "127.0.0.1",
        0,
        shelf,
        limits=ListenerLimits(store_seconds=2),
        profile_for=lambda _peer: profile,
        desk_for=lambda _peer: desk,
    )
    async with server:
        ends = [Device(*await asyncio.open_connection("127.0.0.1", server.port)) for _ in range(devices)]
        try:
            yield shelf, *ends, server
        finally:
            for end in ends:
                end.close()


def kind(message: list[str]) -> str:
    return message[0].split("|")[8]


def tube(specimen_id: str, *codes: str, **more) -> DeviceWork:
    return DeviceWork(specimen_id, codes, **more)


async def test_a_law_query_is_stored_acknowledged_and_followed_by_the_work():
    desk = Desk(tube("261123000017", "1067", "1043"))
    async with lab(desk) as (shelf, device, _):
        await device.say(law_query())
        response, order = await device.hear(), await device.hear()
        await device.answer(order, "ORC|OK|x|||SC", "ORC|OK|y|||SC")
        assert (kind(response), kind(order)) == ("RSP^K11^RSP_K11", "OML^O33^OML_O33")
        assert response[1] == "MSA|AA|Q0001"
        assert [line.split("|")[2] for line in order if line.startswith("OBR")] == [
            "261123000017-1067",
            "261123000017-1043",
        ]
        await device.say(RESULT)
        assert (await device.hear())[1] == "MSA|AA|R1"
    assert [parse_message(raw).header.value(9, 1) for raw in shelf.kept] == ["QBP", "ORL", "ORU"]
    assert desk.asked == [WorkQuery(("261123000017",))]


async def test_no_work_is_said_in_law_words():
    async with lab(Desk()) as (_, device, _server):
        await device.say(law_query())
        await device.hear()
        order = await device.hear()
        assert order[-1].startswith("ORC|DC|")
        await device.answer(order, "ERR|||204^^HL70357|E", code="AR")
        await device.say(law_query())
        assert kind(await device.hear()) == "RSP^K11^RSP_K11"


@pytest.mark.parametrize(
    ("style", "query", "segment"),
    [
        ("law", law_query(), "MSA|AE|Q0001"),
        ("mindray_bs", display_query(), "MSA|AE|7|Application internal error|||207|"),
        ("getein", display_query(), "MSA|AE|7|Application internal error|||207|"),
        ("mindray_bc", worklist_query(), "MSA|AE|389"),
        ("cepheid", cepheid_query(), "MSA|AE|abc"),
    ],
)
@pytest.mark.parametrize("how", ["away", "slow", "no desk", "full"])
async def test_work_that_cannot_be_looked_up_is_never_no_work(style, query, segment, how):
    desk = Desk(*(tube(f"S{n}", "1") for n in range(2100 if how == "full" else 0)))
    desk.is_away = how == "away"
    desk.slow_s = 5 if how == "slow" else 0
    if how == "full":
        query = {
            "law": law_query("WOS_ALL^^IHELAW", ""),
            "mindray_bs": display_query(""),
            "getein": display_query(""),
            "mindray_bc": query,
            "cepheid": cepheid_query("Z01", "ALL"),
        }[style]
    if (style, how) == ("mindray_bc", "full"):
        desk.is_away = True
    async with lab(None if how == "no desk" else desk, style, answer_s=0.1) as (_, device, _server):
        await device.say(query)
        answer = await device.hear()
        assert answer[1] == segment
        assert await device.hears_nothing()


async def test_a_query_that_is_not_stored_is_not_answered_with_work():
    desk = Desk(tube("261123000017", "1"))
    async with lab(desk) as (shelf, device, _):
        shelf.outcome = StoreOutcome(accepted=False)
        await device.say(law_query())
        answer = await device.hear()
        assert (kind(answer), answer[1][:9]) == ("ACK^Q11^ACK", "MSA|AE|Q0")
        assert desk.asked == []


@pytest.mark.parametrize("style", ["mindray_bs", "getein"])
async def test_a_display_query_gets_two_blocks_and_one_more_for_each_tube(style):
    desk = Desk(tube("A", "1"), tube("B", "2"))
    async with lab(desk, style) as (_, device, _server):
        await device.say(display_query(""))
        assert kind(await device.hear()) == "QCK^Q02"
        first = await device.hear()
        assert (kind(first), first[-1]) == ("DSR^Q03", "DSC|2|")
        assert await device.hears_nothing()  # the second waits for the answer to the first
        await device.say("MSH|^~\\&|Mindray|BS|||2026||ACK^Q03|8|P|2.3.1\rMSA|AA|7|Message accepted|||0|\r")
        assert (await device.hear())[-1] == "DSC||"


async def test_a_query_taken_back_stops_what_has_not_been_sent():
    desk = Desk(*(tube(f"S{n}", "1") for n in range(5)))
    async with lab(desk, "mindray_bs", answer_s=0.3) as (_, device, _server):
        await device.say(display_query(""))
        assert [kind(await device.hear()) for _ in range(2)] == ["QCK^Q02", "DSR^Q03"]
        await device.say(display_query(what="CAN"))
        assert kind(await device.hear()) == "QCK^Q02"
        assert await device.hears_nothing(0.6)


async def test_a_worklist_query_and_a_genexpert_query_are_answered_at_once():
    desk = Desk(tube("261123000017", "WBC"))
    async with lab(desk, "mindray_bc") as (_, device, _server):
        await device.say(worklist_query())
        assert kind(await device.hear()) == "ORR^O02"
        await device.say(worklist_query("UNKNOWN"))
        assert (await device.hear())[1] == "MSA|AR|389"
    async with lab(desk, "cepheid") as (_, device, _server):
        await device.say(cepheid_query())
        assert "SPM|1|261123000017^||ORH|||||||P" in await device.hear()
        await device.say("MSH|^~\\&|G||L||2026||QCN^J01^QCN_J01|9|P|2.5|||AL|NE\rQID|tag1|N/D\r")
        assert (await device.hear())[1] == "MSA|CA|9"


async def test_a_query_in_enhanced_mode_is_committed_before_it_is_answered():
    async with lab(Desk(tube("261123000017", "1"))) as (_, device, _server):
        await device.say(law_query().replace("|||NE|AL|", "|||AL|AL|"))
        assert [(await device.hear())[1] for _ in range(2)] == ["MSA|CA|Q0001", "MSA|AA|Q0001"]


async def test_a_device_that_may_not_ask_is_only_acknowledged():
    desk = Desk(tube("261123000017", "1"))
    async with lab(desk, answers_queries=False) as (_, device, _server):
        await device.say(law_query())
        assert kind(await device.hear()) == "ACK^Q11^ACK"
        assert desk.asked == []


@pytest.mark.parametrize(
    ("work", "segments", "code", "result"),
    [
        (tube("S", "1"), ["ORC|OK|S-1|||SC"], "AA", DownloadResult.ACCEPTED),
        (tube("S", "1"), [], "AA", DownloadResult.ACCEPTED),
        (tube("S", "1", "2"), ["ORC|OK|S-1|||SC", "ORC|UA|S-2|||CA"], "AA", DownloadResult.REFUSED),
        (tube("S", "1", action=WorkAction.CANCEL), ["ORC|CR|S-1|||CA"], "AA", DownloadResult.ACCEPTED),
        (tube("S", "1", action=WorkAction.CANCEL), ["ORC|UC|S-1|||IP"], "AA", DownloadResult.REFUSED),
        (tube("S", "1"), [], "AR", DownloadResult.REFUSED),
    ],
)
async def test_work_sent_unasked_is_settled_by_what_the_device_says(work, segments, code, result):
    desk = Desk()
    async with lab(desk, sends_unasked=True) as (_, device, _server):
        desk.send(work)
        order = await device.hear()
        assert order[0].split("|")[14:16] == ["NE", "AL"]
        await device.answer(order, *segments, code=code)
        assert (await desk.outcome())[0] is result


async def test_one_message_of_ours_at_a_time_while_the_device_is_served():
    desk = Desk(tube("261123000017", "9"))
    async with lab(desk, sends_unasked=True) as (_, device, _server):
        desk.send(tube("S1", "1"))
        desk.send(tube("S2", "1"))
        first = await device.hear()
        await device.say(RESULT)
        assert (await device.hear())[1] == "MSA|AA|R1"
        await device.say(law_query())
        assert kind(await device.hear()) == "RSP^K11^RSP_K11"
        assert await device.hears_nothing()
        await device.say("MSH|^~\\&|A||||2026||ACK|7|P|2.5.1\rMSA|AA|NOBODY\r")
        assert await device.hears_nothing()
        await device.answer(first)
        asked = await device.hear()  # what the device asked for goes before the next download
        assert "SAC|||261123000017" in asked
        await device.answer(asked)
        second = await device.hear()
        assert "SAC|||S2" in second
        assert second[0].split("|")[4] == "ALN"  # by then the device has said its name
        await device.answer(second)
        await desk.outcome(2)
    assert [result for _, result, _ in desk.settled] == [DownloadResult.ACCEPTED] * 2


async def test_a_silent_device_is_asked_again_with_the_same_number():
    desk = Desk()
    async with lab(desk, sends_unasked=True, answer_s=0.1, attempts=3) as (_, device, _server):
        desk.send(tube("S1", "1"))
        sent = [await device.hear() for _ in range(3)]
        assert sent[0] == sent[1] == sent[2]
        assert await desk.outcome() == (DownloadResult.UNDELIVERED, "the device did not answer")


async def test_a_late_answer_counts():
    desk = Desk()
    async with lab(desk, sends_unasked=True, answer_s=0.15, attempts=2) as (_, device, _server):
        desk.send(tube("S1", "1"))
        await device.hear()
        order = await device.hear()
        await device.answer(order)
        assert (await desk.outcome())[0] is DownloadResult.ACCEPTED


async def test_a_device_that_wants_it_again_gets_it_again_and_then_a_person_does():
    desk = Desk()
    async with lab(desk, sends_unasked=True, answer_s=0.1, attempts=2) as (_, device, _server):
        desk.send(tube("S1", "1"))
        await device.answer(await device.hear(), code="AE")
        await device.answer(await device.hear(), code="AE")
        assert await desk.outcome() == (DownloadResult.REFUSED, "answered AE")


async def test_a_commit_is_not_taken_for_the_answer():
    desk = Desk()
    async with lab(desk, sends_unasked=True) as (_, device, _server):
        desk.send(tube("S1", "1"))
        order = await device.hear()
        await device.answer(order, code="CA")
        await asyncio.sleep(0.05)
        assert desk.settled == []
        await device.answer(order, "ORC|UA|S1-1")
        assert (await desk.outcome())[0] is DownloadResult.REFUSED


async def test_work_in_hand_goes_back_when_the_connection_ends():
    desk = Desk()
    async with lab(desk, sends_unasked=True) as (_, device, server):
        desk.send(tube("S1", "1"))
        await device.hear()
        device.close()
        assert await desk.outcome() == (DownloadResult.UNDELIVERED, "the connection ended")
        assert server.totals["failed"] == 0


async def test_an_answer_just_before_the_end_of_the_connection_is_settled():
    desk = Desk()
    desk.settle_s = 0.1
    async with lab(desk, sends_unasked=True) as (_, device, _server):
        desk.send(tube("S1", "1"))
        await device.answer(await device.hear(), "ORC|OK|S1-1")
        device.close()
        assert (await desk.outcome())[0] is DownloadResult.ACCEPTED


async def test_a_stop_of_the_server_gives_work_back():
    desk = Desk()
    desk.settle_s = 0.05
    async with lab(desk, sends_unasked=True) as (_, device, server):
        desk.send(tube("S1", "1"))
        await device.hear()
        await server.stop()
        assert desk.settled[0][1] is DownloadResult.UNDELIVERED


@pytest.mark.parametrize("style", ["cepheid", "mindray_bs", "mindray_bc", "getein"])
async def test_devices_that_only_ask_are_sent_nothing(style):
    desk = Desk()
    async with lab(desk, style, sends_unasked=True) as (_, device, _server):
        desk.send(tube("S1", "1"))
        assert (await desk.outcome())[0] is DownloadResult.REFUSED
        assert await device.hears_nothing()


async def test_plain_hl7_takes_work_as_oml_o21_and_a_bare_acknowledgement():
    desk = Desk()
    async with lab(desk, "oml", sends_unasked=True) as (_, device, _server):
        desk.send(tube("S1", "1"))
        order = await device.hear()
        assert kind(order) == "OML^O21^OML_O21"
        await device.say(f"MSH|^~\\&|A||||2026||ACK|7|P|2.5.1\rMSA|AA|{order[0].split('|')[9]}\r")
        assert (await desk.outcome())[0] is DownloadResult.ACCEPTED


async def test_work_goes_over_the_line_on_which_the_device_does_not_speak():
    desk = Desk(tube("261123000017", "9"))
    async with lab(desk, sends_unasked=True, connections="two", devices=2) as (_, speaks, listens, _server):
        desk.send(tube("S1", "1"))
        assert await speaks.hears_nothing()
        assert await listens.hears_nothing()  # nobody knows yet which line is which
        await speaks.say(law_query())
        assert kind(await speaks.hear()) == "RSP^K11^RSP_K11"
        orders = []
        for _ in range(2):
            order = await listens.hear()
            orders += [line for line in order if line.startswith("SAC")]
            await listens.answer(order)
        assert sorted(orders) == ["SAC|||261123000017", "SAC|||S1"]
        assert await speaks.hears_nothing()
        assert (await desk.outcome())[0] is DownloadResult.ACCEPTED


async def test_the_second_line_may_come_later():
    desk = Desk(tube("261123000017", "9"))
    async with lab(desk, connections="two") as (_, speaks, server):
        await speaks.say(law_query())
        assert kind(await speaks.hear()) == "RSP^K11^RSP_K11"
        listens = Device(*await asyncio.open_connection("127.0.0.1", server.port))
        assert "SAC|||261123000017" in await listens.hear()
        listens.close()


async def test_every_message_of_a_batch_is_kept_and_answered():
    batch = b"FHS|^~\\&\rBHS|^~\\&\r" + RESULT + RESULT.replace(b"|R1|", b"|R2|") + b"BTS|2\rFTS|1\r"
    async with lab(None, "none") as (shelf, device, _):
        await device.say(batch)
        assert [(await device.hear())[1] for _ in range(2)] == ["MSA|AA|R1", "MSA|AA|R2"]
    assert shelf.kept == [RESULT, RESULT.replace(b"|R1|", b"|R2|")]


async def test_a_block_of_very_many_messages_is_kept_whole_and_refused():
    async with lab(None, "none") as (shelf, device, _):
        await device.say(b"MSH|^~\\&|A\r" * 2001)
        assert (await device.hear())[1].startswith("MSA|AR|")
    assert len(shelf.kept) == 1


async def test_a_device_that_does_not_read_loses_its_connection_and_the_work_goes_back():
    desk = Desk()
    profile = DeviceProfile(protocol="hl7", work=WorkRules(style="law", sends_unasked=True))
    limits = ListenerLimits(write_seconds=0.1)
    server = Hl7Server("127.0.0.1", 0, Shelf(), limits=limits, profile_for=lambda _p: profile, desk_for=lambda _p: desk)
    async with server, deaf_device(server):
        desk.send(tube("S1", *(f"{number:01000}" for number in range(500))))  # more than waits in buffers
        assert await desk.outcome() == (DownloadResult.UNDELIVERED, "the connection ended")
    assert (server.totals["accepted"], server.totals["failed"]) == (1, 0)
