import asyncio
from uuid import uuid4

from connectors.hl7.replies import Outgoing
from connectors.hl7.sender import Sender
from connectors.hl7.verdicts import Verdict
from domain.device_orders import Download, DownloadResult
from tests.unit.connectors.hl7.work import profile, tube

YES = DownloadResult.ACCEPTED


class Wire:
    """Hands everything written to `answers`, which may call back into the sender."""

    def __init__(self, *verdicts: Verdict | None) -> None:
        self.written: list[bytes] = []
        self.verdicts = list(verdicts)
        self.sender = Sender(self.write, profile("law", answer_s=0.05, attempts=3))

    async def write(self, message: bytes) -> None:
        self.written.append(message)
        verdict = self.verdicts.pop(0) if self.verdicts else None
        if verdict is not None:
            assert self.sender.hear(verdict)


def said(result: DownloadResult | None, *, is_commit: bool = False, note: str = "") -> Verdict:
    return Verdict("C", is_commit, result, note)


MESSAGE = Outgoing("C", b"MSH")


async def test_an_answer_ends_the_wait():
    wire = Wire(said(YES))
    assert await wire.sender.ask(MESSAGE, 3) == said(YES)
    assert wire.written == [b"MSH"]


async def test_silence_is_asked_again_and_then_given_up():
    wire = Wire(None, None, said(YES))
    assert await wire.sender.ask(MESSAGE, 3) == said(YES)
    assert await wire.sender.ask(MESSAGE, 2) is None
    assert len(wire.written) == 5


async def test_try_again_is_tried_again():
    wire = Wire(said(None, note="answered AE"), said(YES))
    assert await wire.sender.ask(MESSAGE, 3) == said(YES)
    wire = Wire(said(None, note="answered AE"), said(None, note="answered AE"))
    assert await wire.sender.ask(MESSAGE, 2) == said(None, note="answered AE")


async def test_a_commit_is_waited_through():
    wire = Wire(said(YES, is_commit=True), said(YES))
    assert await wire.sender.ask(MESSAGE, 3) == said(YES)
    assert len(wire.written) == 2


async def test_answers_to_nothing_are_told_apart():
    wire = Wire(said(YES))
    await wire.sender.ask(MESSAGE)
    assert not wire.sender.hear(said(YES))
    assert not wire.sender.hear(Verdict("", is_commit=False, result=YES))


async def test_one_at_a_time():
    wire = Wire()
    first = asyncio.ensure_future(wire.sender.ask(MESSAGE))
    await asyncio.sleep(0)
    second = asyncio.ensure_future(wire.sender.ask(Outgoing("D", b"MSH D")))
    await asyncio.sleep(0.01)
    assert wire.written == [b"MSH"]
    assert wire.sender.hear(said(YES))
    assert await first == said(YES)
    await asyncio.sleep(0)
    assert wire.written[-1] == b"MSH D"
    assert wire.sender.hear(Verdict("D", is_commit=False, result=YES))
    assert (await second).control_id == "D"


async def test_downloads():
    download = Download(uuid4(), tube("S", "1"))
    for verdict, expected in [
        (said(YES), (YES, "")),
        (said(DownloadResult.REFUSED, note="no"), (DownloadResult.REFUSED, "no")),
        (None, (DownloadResult.UNDELIVERED, "the device did not answer")),
    ]:
        wire = Wire(verdict)
        assert await wire.sender.deliver(download, None, "C") == expected
        assert b"|OML^O33^OML_O33|C|" in wire.written[0]


async def test_work_asked_for_is_sent_once_whatever_comes_of_it():
    for verdict in (None, said(YES), said(DownloadResult.REFUSED, note="1 of 1 refused: UA")):
        wire = Wire(verdict)
        await wire.sender.answer(MESSAGE)
        assert len(wire.written) == 1


async def test_an_answer_counts_also_when_nobody_waits_any_more():
    wire = Wire()
    waiting = asyncio.ensure_future(wire.sender.ask(MESSAGE))
    await asyncio.sleep(0)
    assert wire.sender.outcome_of("C") == (DownloadResult.UNDELIVERED, "the connection ended")
    assert wire.sender.hear(said(YES))
    waiting.cancel()
    await asyncio.wait({waiting})
    assert waiting.cancelled()
    assert wire.sender.outcome_of("C") == (YES, "")
    assert wire.sender.outcome_of("D")[0] is DownloadResult.UNDELIVERED


async def test_a_device_that_wanted_it_again_has_not_refused_it_when_the_connection_ends():
    wire = Wire(said(None, note="answered AE"))
    await wire.sender.ask(MESSAGE)
    assert wire.sender.outcome_of("C")[0] is DownloadResult.UNDELIVERED
