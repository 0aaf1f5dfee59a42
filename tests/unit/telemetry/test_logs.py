"""Log lines: one JSON object each, allow-listed, bounded, without foreign messages."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator

import pytest

from telemetry import logs


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    stream = io.StringIO()
    logs.configure("INFO", stream)
    yield stream
    logging.captureWarnings(capture=False)
    root.handlers[:] = before
    root.setLevel(level)


def only(lines: io.StringIO) -> dict[str, object]:
    text = lines.getvalue()
    assert text.count("\n") == 1
    parsed: dict[str, object] = json.loads(text)
    return parsed


def test_a_line_says_when_what_and_for_which_order(lines: io.StringIO):
    with logs.bind(order_no="DEL-261123-0042", request_id="r1"):
        logging.getLogger("api").info("order %s", "placed", extra={"status": 201, "connector": ""})
    line = only(lines)
    assert line["at"].endswith("Z")  # type: ignore[union-attr]
    assert {name: line[name] for name in line if name != "at"} == {
        "level": "info", "logger": "api", "message": "order placed",
        "order_no": "DEL-261123-0042", "request_id": "r1", "status": 201,
    }  # fmt: skip


def test_what_is_not_allowed_does_not_get_out(lines: io.StringIO):
    logging.getLogger("api").info("saved", extra={"patient_name": "Asha Verma", "phone": "+919000000001"})
    assert "Asha" not in lines.getvalue()
    assert "900000" not in lines.getvalue()
    with pytest.raises(ValueError, match="patient_name"), logs.bind(patient_name="Asha"):
        pass


def test_outside_text_cannot_fake_a_line(lines: io.StringIO):
    with logs.bind(request_id='x\r\n{"level": "error"}'):
        logging.getLogger("api").info("a\nb\u0085\u2028c", extra={"route": "\x00\x1b[31m"})
    line = only(lines)
    assert line["message"] == "a\nb\u0085\u2028c"
    assert not any(character in lines.getvalue()[:-1] for character in "\n\r\x00\x1b\u0085\u2028")


def test_long_values_are_cut(lines: io.StringIO):
    with logs.bind(operation="o" * 600):
        logging.getLogger("api").info("m" * 600, extra={"code": "c" * 600})
    line = only(lines)
    assert [len(str(line[key])) for key in ("message", "operation", "code")] == [512, 512, 512]


def test_errors_show_where_but_not_what_the_driver_quoted(lines: io.StringIO):
    try:
        try:
            int("Asha Verma")
        except ValueError as error:
            raise RuntimeError("wrapped Asha Verma") from error
    except RuntimeError:
        logging.getLogger("store").exception("not saved")
    line = only(lines)
    assert "Asha" not in lines.getvalue()
    assert line["error"] == "RuntimeError"
    assert "ValueError" in str(line["trace"])
    assert "test_errors_show_where" in str(line["trace"])


def test_a_format_that_does_not_fit_loses_no_line():
    record = logging.LogRecord("api", logging.INFO, "api.py", 1, "%d of %s", ("many",), None)
    assert json.loads(logs.JsonFormatter().format(record))["message"] == "%d of %s"


async def test_each_task_has_its_own_binding():
    seen: dict[str, str] = {}

    async def work(name: str) -> None:
        with logs.bind(request_id=name):
            await asyncio.sleep(0)
            seen[name] = logs.bound()["request_id"]

    async with asyncio.TaskGroup() as tasks:
        for name in ("a", "b"):
            tasks.create_task(work(name))
    assert seen == {"a": "a", "b": "b"}
    assert "request_id" not in logs.bound()


def test_inner_values_win_and_are_taken_back():
    with logs.bind(order_no="1", branch="DEL"):
        with logs.bind(order_no="2", branch=""):
            assert dict(logs.bound()) == {"order_no": "2", "branch": "DEL"}
        assert dict(logs.bound()) == {"order_no": "1", "branch": "DEL"}


def test_chatty_libraries_are_quiet(lines: io.StringIO):
    for name in ("httpx", "uvicorn.access", "sqlalchemy.engine", "urllib3.connectionpool"):
        logging.getLogger(name).info("GET https://partner.example/?token=abc")
    assert lines.getvalue() == ""
