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


async def test_the_first_word_of_a_device_is_waited_for():
    lines = DeviceLines()
    waiting = asyncio.ensure_future(lines.until_it_speaks())
    await asyncio.sleep(0)
    assert not waiting.done()
    lines.hear(None)
    await asyncio.wait_for(waiting, 1)
    assert lines.header is None
