"""JSON log lines on standard error, one object each, in UTC; what they may carry is an allow-list.

    with bind(order_no=order_no):
        logger.info("report issued", extra={"connector": "files"})

A line has `at`, `level`, `logger`, `message`, the bound values and the allowed extras. Anything else handed over as
`extra` is dropped: a patient's name cannot get out by a careless call. Values are cut at 512 characters; line breaks in
them are escaped, so that outside text cannot fake a line.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TextIO

ALLOWED_KEYS = frozenset(
    {
        "request_id", "order_no", "accession_no", "invoice_no", "report_id", "workflow_id", "run_id", "task_queue",
        "connector", "operation", "outcome", "code", "partner_code", "status", "method", "route", "elapsed_ms",
        "attempt", "analyzer", "protocol", "peer", "branch", "user_id", "event_id", "message_id", "size", "count",
        "port", "stage", "signal", "object_key",
    }
)  # fmt: skip
"""Ids, codes and numbers only; never a name, a phone number, a result value or a token."""

MAX_VALUE_CHARS = 512
_MAX_TRACE_CHARS = 8192

_ALSO_BREAKS = {code: f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), 0x2028, 0x2029)}
"""Line breaks and controls that JSON does not escape by itself (it does escape CR, LF and all below a blank)."""

_bound: ContextVar[Mapping[str, str]] = ContextVar("bound", default=MappingProxyType({}))


@contextmanager
def bind(**values: str | int) -> Iterator[None]:
    """Add values to every log line of this task and of the tasks it starts; empty values change nothing.

    Raises:
        ValueError: A key is not in `ALLOWED_KEYS`.
    """
    if unknown := values.keys() - ALLOWED_KEYS:
        raise ValueError(f"not allowed in logs: {', '.join(sorted(unknown))}")
    token = _bound.set({**_bound.get(), **{key: str(value) for key, value in values.items() if value != ""}})
    try:
        yield
    finally:
        _bound.reset(token)


def bound() -> Mapping[str, str]:
    """Return what is bound here, e.g. to hand a request id on."""
    return _bound.get()


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without a line break."""
        moment = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, object] = {
            "at": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _cut(_message(record)),
            **{key: _cut(value) for key, value in _bound.get().items()},
        }
        for key, value in vars(record).items():
            if key in ALLOWED_KEYS and value not in (None, ""):
                line[key] = value if isinstance(value, int | float) else _cut(str(value))
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = type(record.exc_info[1]).__name__
            line["trace"] = _trace(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False).translate(_ALSO_BREAKS)


def configure(level: str, stream: TextIO | None = None) -> None:
    """Send all logging of this process to `stream` (standard error), as JSON lines; safe to call again."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        chatty = logging.getLogger(name)
        chatty.handlers.clear()
        chatty.propagate = True
    # These name URLs, statements and their values at INFO or DEBUG: paths carry tokens, values are patient data.
    for name in ("uvicorn.access", "httpx", "httpcore", "urllib3", "sqlalchemy", "asyncpg", "minio", "mail.log"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)


def _message(record: logging.LogRecord) -> str:
    """Return the message; where format and arguments do not fit, the format alone, so that no line is lost."""
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):
        return str(record.msg)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_VALUE_CHARS else text[: MAX_VALUE_CHARS - 1] + "…"


def _trace(error: BaseException) -> str:
    """Return where an error came from: files, lines and class names, never the messages of foreign errors.

    A driver's or a parser's message quotes its input, which may be a patient's.
    """
    lines: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        frames = traceback.extract_tb(current.__traceback__)[-12:]
        lines += [f"{type(current).__name__}", *(f"  {frame.filename}:{frame.lineno} {frame.name}" for frame in frames)]
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return "\n".join(lines)[:_MAX_TRACE_CHARS]
