"""The host's side of an ASTM line over real loopback TCP: queries answered, orders sent, contention, silence."""

import asyncio
import contextlib
import random
import uuid

import pytest

from connectors.astm.errands import HostTimers
from connectors.astm.framing import encode_frame, frames_of
from connectors.astm.records import unframe
from connectors.astm.server import AstmServer
from connectors.astm.simulator import AstmAnalyzerLine
from connectors.device_side import LineFaults
from domain.device_orders import DeviceWork, Download, DownloadResult, WorkAction, WorkQuery
from domain.device_profile import DeviceProfile
from domain.observations import ReceivedMessage, StoreOutcome

STX, ETX, EOT, ENQ, ACK, NAK = b"\x02", b"\x03", b"\x04", b"\x05", b"\x06", b"\x15"
QUERY = b"H|\\^&|||SIM^1|||||LIS||P|LIS2-A2\rQ|1|^261123000017||ALL||||||||O\rL|1|N\r"
CANCEL = QUERY.replace(b"|O\r", b"|A\r")
RESULT = b"H|\\^&|||SIM\rP|1\rO|1|261123000028||^^^GLU\rR|1|^^^GLU|126.4|mg/dL\rL|1|N\r"
ANSWER = b"H|\\^&|||LIS|||||SIM||P|LIS2-A2\rP|1\rO|1|261123000017||^^^GLU\\^^^CRE|R||||||N||||||||||||||Q\rL|1|F\r"
NOTHING = b"H|\\^&|||LIS|||||SIM||P|LIS2-A2\rL|1|I\r"
WORK = DeviceWork("261123000017", ("GLU", "CRE"))


class Desk:
    """Knows the work it was given, and writes down what became of the orders."""

    def __init__(self, *work: DeviceWork, downloads: tuple[DeviceWork, ...] = ()) -> None:
        self.work: list[DeviceWork] | None = list(work)
        self.asked: list[WorkQuery] = []
        self.waits: list[asyncio.Event] = []
        self.queue: asyncio.Queue[Download] = asyncio.Queue()
        self.settled: list[tuple[str, DownloadResult, str]] = []
        self.news = asyncio.Condition()
        for item in downloads:
            self.queue.put_nowait(Download(uuid.uuid4(), item))

    async def work_for(self, query: WorkQuery) -> tuple[DeviceWork, ...] | None:
        self.asked.append(query)
        if self.waits:
            await self.waits.pop(0).wait()
        if self.work is None:
            return None
        return tuple(item for item in self.work if query.wants_all or item.specimen_id in query.specimen_ids)

    async def next_download(self) -> Download:
        return await self.queue.get()

    async def settle(self, download: Download, result: DownloadResult, note: str = "") -> None:
        async with self.news:
            self.settled.append((download.work.specimen_id, result, note))
            self.news.notify_all()
        if result is DownloadResult.UNDELIVERED:
            self.queue.put_nowait(download)

    async def settlements(self, count: int) -> list[tuple[str, DownloadResult]]:
        async with self.news, asyncio.timeout(5):
            await self.news.wait_for(lambda: len(self.settled) >= count)
        return [(specimen_id, result) for specimen_id, result, _ in self.settled]


class Shelf:
    def __init__(self) -> None:
        self.kept: list[ReceivedMessage] = []
        self.is_away = False

    async def __call__(self, message: ReceivedMessage) -> StoreOutcome:
        if self.is_away:
            return StoreOutcome(accepted=False)
        self.kept.append(message)
        return StoreOutcome(accepted=True)

    @property
    def messages(self) -> list[bytes]:
        return [message.raw for message in self.kept if not message.framing_error]


class QuickServer(AstmServer):
    """The server with times a test can wait for, long enough for a busy machine."""

    timers = HostTimers(
        answer=5, busy=0.6, yielded=1, interrupted=0.6, desk=0.5, answer_life=10, again=0.1, again_most=0.2
    )


class ImpatientServer(AstmServer):
    """For devices that fall silent."""

    timers = HostTimers(answer=0.3, desk=0.5, answer_life=10, again=0.1, again_most=0.2)


class Device:
    """The other end, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def say(self, *data: bytes, answers: bytes = b"") -> None:
        self._writer.write(b"".join(data))
        await self._writer.drain()
        if answers:
            await self.hears(answers)

    async def hears(self, expected: bytes) -> None:
        async with asyncio.timeout(5):
            assert await self._reader.readexactly(len(expected)) == expected

    async def frame(self) -> bytes:
        async with asyncio.timeout(5):
            return await self._reader.readuntil(b"\r\n")

    async def records(self) -> bytes:
        async with asyncio.timeout(5):
            return await self._reader.readuntil(b"L|1|N\r")

    async def hears_nothing(self, seconds: float = 0.15) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(seconds):
                pytest.fail(repr(await self._reader.read(100)))

    async def send(self, message: bytes) -> None:
        """Send a message as a device does, frame by frame."""
        await self.say(ENQ, answers=ACK)
        for frame in frames_of(message):
            await self.say(frame, answers=ACK)
        await self.say(EOT)

    async def receive(self) -> bytes:
        """Take a transmission that has been asked for, up to EOT, and return its records."""
        await self.hears(ENQ)
        return await self.receive_frames()

    async def take_turn(self, message: bytes) -> list[bytes]:
        """Send a message as an instrument does that meets the host's ENQ: it insists; return what the host said."""
        await self.say(ENQ)
        async with asyncio.timeout(5):
            answer = await self._reader.readexactly(1)
        if answer == ENQ:  # contention: the instrument has priority
            await self.say(ENQ, answers=ACK)
        else:
            assert answer == ACK
        for frame in frames_of(message):
            await self.say(frame, answers=ACK)
        await self.say(EOT)
        return [await self.receive()] if b"\rQ|" in message else []

    async def receive_frames(self) -> bytes:
        await self.say(ACK)
        frames = b""
        while True:
            async with asyncio.timeout(5):
                mark = await self._reader.readexactly(1)
            if mark == EOT:
                return unframe(frames)
            frames += mark + await self.frame()
            await self.say(ACK)


def profile(**changes) -> DeviceProfile:
    work = {"style": "astm", "answers_queries": True, **changes.pop("work", {})}
    return DeviceProfile(protocol="astm", work=work, **changes)


@contextlib.asynccontextmanager
async def line(desk: Desk | None, shelf: Shelf | None = None, kind: type[AstmServer] = QuickServer, **changes):
    """Open a line with a device."""
    spoken = profile(**changes)
    async with kind(
        "127.0.0.1", 0, shelf or Shelf(), profile_for=lambda _peer: spoken, desk_for=lambda _peer: desk
    ) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        try:
            yield Device(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


DOWNLOADS = {"work": {"sends_unasked": True}}


async def test_a_query_is_kept_and_then_answered_in_a_session_of_our_own():
    desk, shelf = Desk(WORK), Shelf()
    async with line(desk, shelf) as device:
        await device.send(QUERY)
        assert await device.receive() == ANSWER
    assert shelf.messages == [QUERY]
    assert desk.asked == [WorkQuery(specimen_ids=("261123000017",))]


async def test_the_answer_waits_for_the_end_of_the_session():
    async with line(Desk(WORK)) as device:
        await device.say(ENQ, *frames_of(QUERY), answers=ACK * 4)
        await device.hears_nothing()
        await device.say(EOT)
        assert await device.receive() == ANSWER


async def test_an_answer_goes_out_one_record_per_frame_or_packed_as_the_profile_says():
    async with line(Desk(WORK)) as device:
        await device.send(QUERY)
        await device.hears(ENQ)
        for frame in frames_of(ANSWER):
            await device.say(ACK, answers=frame)
        await device.say(ACK, answers=EOT)
    async with line(Desk(WORK), transmission={"packing": "packed", "frame_text": 1024}) as device:
        await device.send(QUERY)
        await device.hears(ENQ)
        await device.say(ACK, answers=encode_frame(1, ANSWER, is_last=True))
        await device.say(ACK, answers=EOT)


async def test_nothing_to_do_and_nobody_to_ask_are_two_answers():
    desk = Desk()
    async with line(desk) as device:
        await device.send(QUERY)
        assert await device.receive() == NOTHING
        desk.work = None
        await device.send(QUERY)
        assert (await device.receive()).endswith(b"L|1|E\r")
        desk.waits = [asyncio.Event()]  # the desk does not come back in time
        await device.send(QUERY)
        assert (await device.receive()).endswith(b"L|1|E\r")


@pytest.mark.parametrize("work", [{"answers_queries": False}, {"style": "none"}, {"no_work": "silent"}])
async def test_a_device_that_is_given_no_work_hears_nothing(work):
    async with line(Desk(), work=work) as device:
        await device.send(QUERY)
        await device.hears_nothing()
        await device.send(RESULT)


async def test_a_query_taken_back_is_not_answered():
    desk = Desk(WORK)
    desk.waits = [asyncio.Event()]
    release = desk.waits[0]
    async with line(desk) as device:
        await device.send(QUERY)
        await device.hears_nothing(0.05)
        await device.say(ENQ, *frames_of(CANCEL), EOT, answers=ACK * 4)
        release.set()
        await device.hears_nothing()
        assert len(desk.asked) == 1


async def test_a_query_that_was_not_kept_is_not_answered():
    desk, shelf = Desk(WORK), Shelf()
    shelf.is_away = True
    async with line(desk, shelf) as device:
        await device.say(ENQ, *frames_of(QUERY), answers=ACK * 3 + NAK)
        await device.say(EOT)
        await device.hears_nothing()
        assert desk.asked == []


async def test_a_query_that_names_no_tube_is_not_taken_for_everything():
    desk = Desk(WORK)
    async with line(desk) as device:
        await device.send(QUERY.replace(b"261123000017", b""))
        assert await device.receive() == NOTHING
    assert desk.asked == []


async def test_two_queries_in_one_session_are_both_answered():
    other = QUERY.replace(b"000017", b"000028")
    async with line(Desk(WORK)) as device:
        await device.say(ENQ, *frames_of(QUERY + other), answers=ACK * 7)
        await device.say(EOT)
        answers = {await device.receive(), await device.receive()}
    assert answers == {ANSWER, NOTHING}


async def test_a_query_asked_again_is_answered_once():
    desk = Desk(WORK)
    async with line(desk) as device:
        await device.say(ENQ, *frames_of(QUERY * 2), answers=ACK * 7)
        await device.say(EOT)
        assert await device.receive() == ANSWER
        await device.hears_nothing()
        assert len(desk.asked) == 2


async def test_contention_the_host_gives_way_and_tries_again():
    shelf = Shelf()
    async with line(Desk(WORK), shelf) as device:
        await device.send(QUERY)
        await device.hears(ENQ)
        await device.say(ENQ)  # at the same moment
        await device.hears_nothing(0.1)
        await device.send(RESULT)
        assert await device.receive() == ANSWER  # at once: the device has had the line
    assert shelf.messages == [QUERY, RESULT]


async def test_contention_and_then_silence_the_host_asks_again_after_its_wait():
    async with line(Desk(WORK)) as device:
        await device.send(QUERY)
        await device.hears(ENQ)
        await device.say(ENQ)
        assert await device.receive() == ANSWER


async def test_a_busy_device_is_asked_again_and_served_meanwhile():
    shelf = Shelf()
    async with line(Desk(WORK), shelf) as device:
        await device.send(QUERY)
        await device.hears(ENQ)
        await device.say(NAK)
        await device.send(RESULT)
        await device.hears(ENQ)
        await device.say(NAK, answers=ENQ)
        assert await device.receive_frames() == ANSWER
    assert shelf.messages == [QUERY, RESULT]


async def test_a_refused_frame_is_sent_again_and_six_refusals_end_the_attempt():
    async with line(Desk(WORK)) as device:
        await device.send(QUERY)
        await device.hears(ENQ)
        await device.say(ACK)
        first = await device.frame()
        for _ in range(5):
            await device.say(NAK)
            assert await device.frame() == first
        await device.say(NAK, answers=EOT)
        assert await device.receive() == ANSWER


async def test_a_storm_of_naks_in_one_piece_counts_once():
    async with line(Desk(WORK)) as device:
        await device.send(QUERY)
        await device.hears(ENQ)
        await device.say(ACK)
        first = await device.frame()
        await device.say(NAK * 50)
        assert await device.frame() == first
        await device.hears_nothing(0.1)


async def test_a_device_that_asks_and_never_takes_the_answer():
    shelf = Shelf()
    async with line(Desk(WORK), shelf, ImpatientServer) as device:
        await device.send(QUERY)
        for _ in range(3):
            await device.hears(ENQ + EOT)
        await device.hears_nothing(0.4)
        await device.send(RESULT)
    assert shelf.messages == [QUERY, RESULT]


async def test_a_device_that_falls_silent_in_the_middle_gets_the_whole_answer_again():
    async with line(Desk(WORK), kind=ImpatientServer) as device:
        await device.send(QUERY)
        await device.hears(ENQ)
        await device.say(ACK, answers=frames_of(ANSWER)[0])
        await device.say(ACK, answers=frames_of(ANSWER)[1])
        await device.hears(EOT)
        assert await device.receive() == ANSWER


async def test_a_device_that_begins_anew_in_the_middle_is_served_at_once():
    shelf = Shelf()
    async with line(Desk(WORK), shelf) as device:
        await device.send(QUERY)
        await device.hears(ENQ)
        await device.say(ACK, answers=frames_of(ANSWER)[0])
        await device.say(ENQ, answers=EOT + ACK)
        for frame in frames_of(RESULT):
            await device.say(frame, answers=ACK)
        await device.say(EOT)
        assert await device.receive() == ANSWER
    assert shelf.messages == [QUERY, RESULT]


async def test_a_device_that_interrupts_has_the_line_first():
    shelf = Shelf()
    async with line(Desk(WORK), shelf) as device:
        await device.send(QUERY)
        await device.hears(ENQ)
        await device.say(ACK, answers=frames_of(ANSWER)[0])
        await device.say(EOT, answers=EOT)
        await device.hears_nothing(0.1)
        await device.send(RESULT)
        assert await device.receive() == ANSWER
    assert shelf.messages == [QUERY, RESULT]


async def test_a_device_that_interrupts_and_sends_nothing_is_asked_again():
    async with line(Desk(WORK)) as device:
        await device.send(QUERY)
        await device.hears(ENQ)
        await device.say(ACK, answers=frames_of(ANSWER)[0])
        await device.say(EOT, answers=EOT)
        assert await device.receive() == ANSWER


async def test_keep_alives_disturb_nothing():
    shelf = Shelf()
    async with line(Desk(WORK), shelf) as device:
        await device.say(ENQ + EOT + ACK, answers=ACK)
        await device.send(b"H|\\^&|||OCD^VISION\rL||\r")
        await device.send(QUERY)
        assert await device.receive() == ANSWER
    assert len(shelf.messages) == 2


async def test_an_order_is_sent_unasked_and_settled():
    desk = Desk(downloads=(WORK, DeviceWork("261123000028", ("GLU",), WorkAction.CANCEL)))
    async with line(desk, **DOWNLOADS) as device:
        first, second = await device.receive(), await device.receive()
        assert b"O|1|261123000017||^^^GLU\\^^^CRE|R||||||N||||||||||||||O\r" in first
        assert first.endswith(b"L|1|N\r")
        assert b"O|1|261123000028||^^^GLU|R||||||C||||||||||||||O\r" in second
        settled = await desk.settlements(2)
    assert settled == [("261123000017", DownloadResult.ACCEPTED), ("261123000028", DownloadResult.ACCEPTED)]


async def test_an_order_the_device_does_not_take_goes_back_and_comes_again():
    desk = Desk(downloads=(WORK,))
    async with line(desk, kind=ImpatientServer, **DOWNLOADS) as device:
        await device.hears(ENQ + EOT)
        assert await desk.settlements(1) == [("261123000017", DownloadResult.UNDELIVERED)]
        assert b"261123000017" in await device.receive()
        assert (await desk.settlements(2))[1] == ("261123000017", DownloadResult.ACCEPTED)


async def test_an_order_goes_back_when_the_connection_ends():
    desk = Desk(downloads=(WORK,))
    async with line(desk, **DOWNLOADS) as device:
        await device.hears(ENQ)
    assert (await desk.settlements(1))[0] == ("261123000017", DownloadResult.UNDELIVERED)
    assert "ended" in desk.settled[0][2]


async def test_an_order_waits_for_the_device_and_for_its_query():
    desk, shelf = Desk(WORK), Shelf()
    async with line(desk, shelf, **DOWNLOADS) as device:
        await device.say(ENQ, answers=ACK)
        desk.queue.put_nowait(Download(uuid.uuid4(), DeviceWork("261123000039", ("NA",))))
        for frame in frames_of(QUERY):
            await device.say(frame, answers=ACK)
        await device.hears_nothing(0.1)
        await device.say(EOT)
        assert await device.receive() == ANSWER
        assert b"261123000039" in await device.receive()
        assert await desk.settlements(1) == [("261123000039", DownloadResult.ACCEPTED)]


async def test_an_order_survives_contention():
    desk, shelf = Desk(downloads=(WORK,)), Shelf()
    async with line(desk, shelf, **DOWNLOADS) as device:
        await device.hears(ENQ)
        await device.say(ENQ)
        await device.send(RESULT)
        assert b"261123000017" in await device.receive()
        assert await desk.settlements(1) == [("261123000017", DownloadResult.ACCEPTED)]
    assert shelf.messages == [RESULT]


async def test_without_a_desk_the_host_only_listens():
    shelf = Shelf()
    async with line(None, shelf, work={"sends_unasked": True}) as device:
        await device.send(QUERY)
        await device.hears_nothing()
    assert shelf.messages == [QUERY]


SIMPLE = {"frame_style": "simple", "work": {"style": "snibe"}}
SNIBE_QUERY = b"H|\\^&||PSWD|MAGLUMI X3|||||Lis||P|E1394-97|20260319\rQ|1|^261123000017||ALL||||||||O\rL|1|N\r"
SNIBE_ANSWER = rb"H|\^&||PSWD|MAGLUMI X3|||||Lis||P|E1394-97|"


async def test_a_simple_device_step_by_step():
    shelf = Shelf()
    async with line(Desk(WORK), shelf, **SIMPLE) as device:
        for step in (ENQ, STX, SNIBE_QUERY, ETX):
            await device.say(step, answers=ACK)
        await device.say(EOT, answers=ENQ)
        await device.say(ACK, answers=STX)
        await device.say(ACK, answers=SNIBE_ANSWER)
        assert (await device.records())[8:] == b"\rP|1\rO|1|261123000017||^^^GLU\\^^^CRE|R\rL|1|N\r"
        await device.say(ACK, answers=ETX)
        await device.say(ACK, answers=EOT)
    assert shelf.messages == [SNIBE_QUERY]


async def test_a_simple_device_with_nothing_ordered_hears_nothing():
    async with line(Desk(), **SIMPLE) as device:
        await device.say(ENQ + STX + SNIBE_QUERY + ETX + EOT, answers=ACK * 2)
        await device.hears_nothing()


async def test_a_bare_device_is_answered_with_bare_records():
    async with line(Desk(WORK), frame_style="bare") as device:
        await device.say(QUERY, answers=ANSWER)


async def test_the_simulated_analyzer_asks_and_is_answered():
    desk, shelf = Desk(WORK), Shelf()
    device = profile()
    async with (
        QuickServer("127.0.0.1", 0, shelf, profile_for=lambda _peer: device, desk_for=lambda _peer: desk) as server,
        AstmAnalyzerLine("127.0.0.1", server.port, LineFaults(max_piece=7)) as analyzer,
    ):
        assert await analyzer.ask(QUERY) == [ANSWER]
        assert await analyzer.deliver(RESULT) == (1, "ACK")
        assert await analyzer.receive(0.05) == []
    assert shelf.messages == [QUERY, RESULT]


@pytest.mark.parametrize("seed", range(3))
async def test_many_turns_on_one_line_lose_nothing(seed):
    """Results, queries and orders in any order, with contention whenever both sides want the line."""
    script = random.Random(seed)  # noqa: S311  plays a device
    desk, shelf = Desk(), Shelf()
    sent: list[bytes] = []
    heard: list[bytes] = []
    orders = 0
    async with line(desk, shelf, **DOWNLOADS) as device:
        for number in range(40):
            if script.random() < 0.3:
                desk.queue.put_nowait(Download(uuid.uuid4(), DeviceWork(f"T{number}", ("NA",))))
                orders += 1
            tube = b"26112300%04d" % number
            sent.append(script.choice([QUERY, RESULT]).replace(b"261123000017", tube).replace(b"261123000028", tube))
            heard += await device.take_turn(sent[-1])
        queries = sum(b"\rQ|" in message for message in sent)
        while len(heard) < queries + orders:
            heard.append(await device.receive())
        await desk.settlements(orders)
    assert shelf.messages == sent
    assert sorted(heard).count(NOTHING) == queries
    assert [result for _, result, _ in desk.settled] == [DownloadResult.ACCEPTED] * orders
