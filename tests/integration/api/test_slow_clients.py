"""Clients that dawdle, over real sockets: each is cut off, and the others are served meanwhile."""

import asyncio
import socket
import time

import pytest
import pytest_asyncio
import uvicorn
from starlette.responses import Response

from api.limits import BodyGuard
from api.server import server_config
from tests.fixtures.running_api import CONFIG

HEADER_DEADLINE, READ_DEADLINE, WRITE_DEADLINE = 0.4, 0.5, 0.6
BIG = 8 * 1024 * 1024


async def _application(scope, receive, send):
    message = await receive()
    content = b"x" * BIG if scope["path"] == "/big" else b"%d" % len(message.get("body", b""))
    await Response(content)(scope, receive, send)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def port():
    config = server_config(
        BodyGuard(_application, CONFIG.model_copy(update={"read_deadline_s": READ_DEADLINE})),
        host="127.0.0.1", port=0, header_deadline_s=HEADER_DEADLINE, write_deadline_s=WRITE_DEADLINE,
    )  # fmt: skip
    config.lifespan = "off"
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(config)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server._serve([listener]))
        while not server.started:  # noqa: ASYNC110  uvicorn offers no event
            await asyncio.sleep(0.01)
        yield listener.getsockname()[1]
        server.should_exit = True


async def _closed_after(reader, begun):
    await asyncio.wait_for(reader.read(), 10)
    return time.monotonic() - begun


@pytest.mark.parametrize(
    "sent", [b"", b"POST / HT", b"POST / HTTP/1.1\r\nHost: x\r\n", b"POST / HTTP/1.1\r\nHost: x\r\nX-Slow: "]
)
async def test_a_head_that_does_not_arrive_is_cut_off(port, sent):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    begun = time.monotonic()
    writer.write(sent)
    assert HEADER_DEADLINE * 0.8 <= await _closed_after(reader, begun) < HEADER_DEADLINE + 2
    writer.close()


async def test_a_dripped_head_is_cut_off_although_bytes_keep_coming(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    begun = time.monotonic()
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n")

    async def drip():
        for number in range(100):
            await asyncio.sleep(0.05)
            writer.write(b"X-%d: y\r\n" % number)
            await writer.drain()

    async with asyncio.TaskGroup() as tasks:
        dripping = tasks.create_task(_until_closed(drip()))
        assert await _closed_or_reset(reader, begun) < HEADER_DEADLINE + 2
        dripping.cancel()
    writer.close()


async def _until_closed(dripping):
    try:
        await dripping
    except (ConnectionError, asyncio.CancelledError):
        return


async def _closed_or_reset(reader, begun):
    try:
        return await _closed_after(reader, begun)
    except ConnectionError:
        return time.monotonic() - begun


async def test_a_body_that_does_not_arrive_is_answered_408_and_closed(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    begun = time.monotonic()
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
    answer = await asyncio.wait_for(reader.read(), 10)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"REQUEST_TOO_SLOW" in answer
    assert READ_DEADLINE * 0.8 <= time.monotonic() - begun < READ_DEADLINE + 2
    writer.close()


async def test_a_body_without_a_declared_length_is_counted_as_it_comes(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    writer.write((b"4000\r\n" + b"x" * 0x4000 + b"\r\n") * 2)
    answer = await asyncio.wait_for(reader.read(), 10)
    assert answer.startswith(b"HTTP/1.1 413")
    writer.close()


async def test_a_client_that_does_not_read_its_answer_is_cut_off(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    writer.transport.pause_reading()
    writer.write(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.sleep(WRITE_DEADLINE + 0.6)
    writer.transport.resume_reading()
    received = 0
    try:
        while chunk := await asyncio.wait_for(reader.read(65_536), 10):
            received += len(chunk)
    except ConnectionError:
        pass
    assert received < BIG, "the connection was aborted before the whole answer left"
    writer.close()


async def test_an_honest_client_is_served_twice_on_one_connection(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(2):
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert head.startswith(b"HTTP/1.1 200")
        assert b"server:" not in head.lower()
        assert await reader.readexactly(1) == b"3"
        await asyncio.sleep(HEADER_DEADLINE + 0.1)  # idle between requests is allowed
    writer.close()
