import asyncio

from connectors.hl7.device_lines import MOST_WAITING, DeviceLines, LineRegistry
from connectors.hl7.replies import Outgoing


def messages(*names: str) -> tuple[Outgoing, ...]:
    return tuple(Outgoing(name, b"MSH") for name in names)


def test_a_device_is_known_by_its_address():
    registry = LineRegistry()
    assert registry.of("10.0.0.1:5000") is registry.of("10.0.0.1:5001")
    assert registry.of("10.0.0.1:5000") is not registry.of("10.0.0.2:5000")
    assert registry.of("fe80::1:5000") is registry.of("fe80::1:5001")
    assert registry.of("") is registry.of("")


def test_addresses_are_not_kept_for_ever():
    registry = LineRegistry()
    first = registry.of("10.0.0.1:1")
    for number in range(2000):
        registry.of(f"10.1.{number // 256}.{number % 256}:1")
    assert registry.of("10.0.0.1:1") is not first


async def test_messages_wait_in_their_order_and_not_for_ever():
    lines = DeviceLines()
    lines.queue(messages("gone"), 0)
    lines.queue(messages("a", "b"), 5)
    assert [(await lines.next()).control_id for _ in range(2)] == ["a", "b"]
    lines.queue(messages("c"), 5)
    lines.forget()
    lines.queue(messages("d"), 5)
    assert (await lines.next()).control_id == "d"


async def test_there_is_an_end_to_what_waits():
    lines = DeviceLines()
    assert lines.has_room_for(MOST_WAITING)
    assert not lines.has_room_for(MOST_WAITING + 1)
    lines.queue(messages(*map(str, range(MOST_WAITING + 5))), 5)
    assert not lines.has_room_for(1)


async def test_the_first_word_of_a_device_tells_which_line_is_which():
    lines = DeviceLines()
    speaks, listens = lines.join(), lines.join()
    waiting = asyncio.ensure_future(listens.until_for_work())
    await asyncio.sleep(0)
    assert not waiting.done()
    lines.hear(speaks, None)
    await asyncio.wait_for(waiting, 1)
    assert (speaks.is_for_work, listens.is_for_work) == (False, True)
    assert lines.header is None


async def test_a_line_that_comes_later_takes_the_work_where_no_other_does():
    lines = DeviceLines()
    speaks = lines.join()
    lines.hear(speaks, None)
    listens = lines.join()
    assert listens.is_for_work
    lines.leave(listens)
    assert not listens.is_for_work
    assert lines.join().is_for_work


async def test_a_line_on_which_the_device_speaks_again_after_a_break_is_not_taken_for_the_other():
    lines = DeviceLines()
    speaks, listens = lines.join(), lines.join()
    lines.hear(speaks, None)
    lines.leave(speaks)
    again = lines.join()
    assert (again.is_for_work, listens.is_for_work) == (False, True)
    lines.hear(again, None)
    assert (again.is_for_work, listens.is_for_work) == (False, True)


async def test_a_line_that_was_opened_anew_replaces_a_dead_one():
    lines = DeviceLines()
    speaks, dead = lines.join(), lines.join()
    lines.hear(speaks, None)
    anew = lines.join()
    assert dead.is_for_work
    lines.hear(speaks, None)
    await asyncio.wait_for(dead.until_not_for_work(), 1)
    assert anew.is_for_work


async def test_a_line_opened_for_work_takes_it_at_once_and_whatever_is_said_on_it():
    lines = DeviceLines()
    ours = lines.join(is_opened_for_work=True)
    theirs = lines.join()
    for spoken_on in (ours, theirs):
        lines.hear(spoken_on, None)
        assert (ours.is_for_work, theirs.is_for_work) == (True, False)
    lines.leave(ours)
    assert not theirs.is_for_work
