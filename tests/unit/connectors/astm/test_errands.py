import asyncio
import uuid

from connectors.astm.errands import MAX_ANSWER_ATTEMPTS, MAX_ORDER_ATTEMPTS, Errands, HostTimers
from connectors.astm.sender import SendResult
from domain.device_orders import DeviceWork, Download, DownloadResult

TIMERS = HostTimers(yielded=0.2, interrupted=0.2, again=0.02, again_most=0.03, answer_life=0.2, desk=0.05)
ORDER = Download(uuid.uuid4(), DeviceWork("7", ("A",)))


class Desk:
    def __init__(self) -> None:
        self.settled: list[DownloadResult] = []
        self.given = 0
        self.is_stuck = False

    async def work_for(self, query):
        return ()

    async def next_download(self) -> Download:
        self.given += 1
        return ORDER

    async def settle(self, download: Download, result: DownloadResult, note: str = "") -> None:
        if self.is_stuck:
            await asyncio.Event().wait()
        self.settled.append(result)


async def test_answers_go_before_orders_and_a_question_has_one_answer():
    errands = Errands(Desk(), TIMERS)
    assert errands.seconds_left() is None
    errands.add_download(ORDER, b"order")
    errands.add_answer(("1",), b"first")
    errands.add_answer(("2",), b"second")
    errands.add_answer(("1",), b"first again")
    assert errands.seconds_left() == 0
    said = []
    while errand := errands.due():
        said.append(errand.message)
        await errands.finished(errand, SendResult.SENT)
    assert said == [b"second", b"first again", b"order"]
    assert errands.seconds_left() is None


async def test_answers_can_be_taken_back_and_grow_old():
    errands = Errands(None, TIMERS)
    errands.add_answer(("1",), b"a")
    errands.add_answer(("2",), b"b")
    errands.cancel_answers(("1",))
    errand = errands.due()
    assert (errand.message, errands.holds(errand)) == (b"b", True)
    errands.cancel_answers(())
    assert (errands.due(), errands.holds(errand)) == (None, False)
    errands.add_answer(("3",), b"c")
    await asyncio.sleep(TIMERS.answer_life + 0.05)
    assert errands.due() is None


async def test_an_answer_is_tried_three_times_with_pauses():
    errands = Errands(None, TIMERS)
    errands.add_answer(("1",), b"a")
    for _ in range(MAX_ANSWER_ATTEMPTS):
        await asyncio.sleep(TIMERS.again + 0.01)
        await errands.finished(errands.due(), SendResult.RETRY_LATER)
        assert errands.due() is None
    await asyncio.sleep(TIMERS.again + 0.01)
    assert errands.due() is None


async def test_the_device_ends_a_pause_by_sending():
    errands = Errands(None, TIMERS)
    errands.add_answer(("1",), b"a")
    for result in (SendResult.YIELDED, SendResult.INTERRUPTED):
        errand = errands.due()
        await errands.finished(errand, result)
        assert 0.1 < errands.seconds_left() <= 0.2
        errands.resume()
        assert errands.due() is errand
    await errands.finished(errand, SendResult.SENT, is_line_wanted=True)
    errands.add_answer(("2",), b"b")
    assert errands.due() is None


async def test_an_order_is_settled_once():
    desk = Desk()
    errands = Errands(desk, TIMERS)
    errands.add_download(ORDER, b"order")
    await errands.finished(errands.due(), SendResult.RETRY_LATER)
    assert desk.settled == [DownloadResult.UNDELIVERED]
    errands.resume()
    assert errands.due() is None
    errands.add_download(ORDER, b"order")
    for _ in range(MAX_ORDER_ATTEMPTS):
        assert desk.settled == [DownloadResult.UNDELIVERED]
        await errands.finished(errands.due(), SendResult.YIELDED)  # giving way does not count
        errands.resume()
        await errands.finished(errands.due(), SendResult.INTERRUPTED)
        errands.resume()
    assert desk.settled == [DownloadResult.UNDELIVERED] * 2


async def test_the_next_order_is_fetched_when_the_last_is_settled():
    desk, fetched = Desk(), asyncio.Queue()
    errands = Errands(desk, TIMERS)
    async with asyncio.TaskGroup() as tasks:
        fetching = tasks.create_task(errands.fetch(fetched.put))
        for count in (1, 2, 3):
            async with asyncio.timeout(5):
                download = await fetched.get()
            assert desk.given == count
            errands.add_download(download, b"order")
            await errands.finished(errands.due(), SendResult.SENT if count == 1 else SendResult.RETRY_LATER)
            errands.resume()
        async with asyncio.timeout(5):
            await fetched.get()
        fetching.cancel()
    await errands.close()
    assert desk.settled == [DownloadResult.ACCEPTED, *[DownloadResult.UNDELIVERED] * 3]
    await errands.close()
    assert len(desk.settled) == 4


async def test_a_desk_that_does_not_come_back_holds_nobody_up():
    desk = Desk()
    desk.is_stuck = True
    errands = Errands(desk, TIMERS)
    errands.add_download(ORDER, b"order")
    async with asyncio.timeout(2):
        await errands.finished(errands.due(), SendResult.SENT)
    assert errands.due() is None
