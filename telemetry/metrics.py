"""The metrics of all processes, for Prometheus. Whoever measures calls the functions here; names live in one place.

Labels are codes from fixed vocabularies or of the laboratory's devices, never an order number or anything of a patient.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from wsgiref.simple_server import WSGIServer

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    start_http_server,
)

CONTENT_TYPE = CONTENT_TYPE_LATEST

registry = CollectorRegistry()

_partner_calls = Counter(
    "labsetu_partner_calls", "Calls to partners", ["connector", "operation", "outcome"], registry=registry
)
_partner_seconds = Histogram(
    "labsetu_partner_call_seconds", "Duration of calls to partners", ["connector", "operation"], registry=registry,
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)  # fmt: skip
_connections = Gauge(
    "labsetu_instrument_connections", "Open connections of analyzers", ["protocol", "device"], registry=registry
)
_messages = Counter(
    "labsetu_instrument_messages", "Messages from analyzers", ["protocol", "outcome", "device"], registry=registry
)
_lines_in_trouble = Gauge(
    "labsetu_instrument_line_trouble", "1 where a device's line should be there and is not", ["device"],
    registry=registry,
)  # fmt: skip
_inbox_lag = Gauge(
    "labsetu_inbox_lag_seconds", "Age of the oldest inbound message that waits, by source", ["source"],
    registry=registry,
)  # fmt: skip
_inbox_waiting = Gauge("labsetu_inbox_waiting", "Inbound messages by state", ["state"], registry=registry)
_orders = Gauge("labsetu_orders", "Open orders by stage", ["stage"], registry=registry)
_attention = Gauge("labsetu_attention", "Open orders that need a person, by reason", ["reason"], registry=registry)
_devices = {
    "connections": Gauge(
        "labsetu_device_connections", "Open connections of an analyzer", ["analyzer"], registry=registry
    ),
    "is_silent": Gauge(
        "labsetu_device_silent", "1 where an analyzer is silent in working hours", ["analyzer"], registry=registry
    ),
    "silent_minutes": Gauge(
        "labsetu_device_silent_minutes", "Working minutes since an analyzer was heard from", ["analyzer"],
        registry=registry,
    ),
    "messages_hour": Gauge(
        "labsetu_device_messages_hour", "Messages of an analyzer in the last hour", ["analyzer"], registry=registry
    ),
    "errors_hour": Gauge(
        "labsetu_device_errors_hour", "Broken or unreadable ones of them", ["analyzer"], registry=registry
    ),
    "repeats_hour": Gauge("labsetu_device_repeats_hour", "Repetitions among them", ["analyzer"], registry=registry),
    "open_exceptions": Gauge(
        "labsetu_device_open_exceptions", "What of an analyzer's messages waits for a person", ["analyzer"],
        registry=registry,
    ),
    "query_seconds": Gauge(
        "labsetu_device_query_seconds", "95 of 100 host queries of the last hour were answered within this",
        ["analyzer"], registry=registry,
    ),
}  # fmt: skip
_commands = Counter("labsetu_commands", "Staff actions", ["command", "outcome"], registry=registry)
_requests = Counter("labsetu_http_requests", "HTTP requests", ["method", "route", "status"], registry=registry)
_request_seconds = Histogram(
    "labsetu_http_request_seconds", "Duration of HTTP requests", ["method", "route"], registry=registry,
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)  # fmt: skip


@dataclass(frozen=True)
class DeviceGauges:
    """The numbers of one analyzer."""

    connections: int
    is_silent: bool
    silent_minutes: int
    messages_hour: int
    errors_hour: int
    repeats_hour: int
    open_exceptions: int
    query_seconds: float


def partner_called(connector: str, operation: str, outcome: str, seconds: float) -> None:
    """Count one call; `outcome` is `ok` or the error's code."""
    _partner_calls.labels(connector, operation, outcome).inc()
    _partner_seconds.labels(connector, operation).observe(seconds)


def instrument_connected(protocol: str, change: int, device: str = "") -> None:
    """Count analyzers in (+1) or out (-1).

    Args:
        protocol: `hl7`, `astm`, `au` or `dimension`.
        change: Difference.
        device: Code of the registered device, "" for one that is not known.
    """
    _connections.labels(protocol, device).inc(change)


def instrument_message(protocol: str, outcome: str, device: str = "") -> None:
    """Count a message; `outcome` is `stored`, `duplicate` or `refused`, `device` its code or "" for an unknown one."""
    _messages.labels(protocol, outcome, device).inc()


def lines_in_trouble(devices: Iterable[str]) -> None:
    """Replace the devices whose line should be there and is not."""
    _replace(_lines_in_trouble, dict.fromkeys(devices, 1))


def inbox_lag(source: str, seconds: float) -> None:
    """Set the age of the oldest waiting message of `source`; 0 when none waits."""
    _inbox_lag.labels(source).set(seconds)


def inbox_waiting(states: Mapping[str, int]) -> None:
    """Replace the numbers of inbound messages by state."""
    _replace(_inbox_waiting, states)


def orders_by_stage(stages: Mapping[str, int]) -> None:
    """Replace the numbers of open orders by stage."""
    _replace(_orders, stages)


def attention_by_reason(reasons: Mapping[str, int]) -> None:
    """Replace the numbers of open orders by what they need a person for."""
    _replace(_attention, reasons)


def devices(numbers: Mapping[str, DeviceGauges]) -> None:
    """Replace the numbers of analyzers, by the laboratory's code of the device."""
    for name, gauge in _devices.items():
        _replace(gauge, {code: float(getattr(one, name)) for code, one in numbers.items()})


def command_done(command: str, outcome: str) -> None:
    """Count a staff action; `outcome` is `ok` or the refusal's code."""
    _commands.labels(command, outcome).inc()


def request_done(method: str, route: str, status: int, seconds: float) -> None:
    """Count an HTTP request; `route` is the template (`/orders/{order_no}`), never the path itself."""
    _requests.labels(method, route, str(status)).inc()
    _request_seconds.labels(method, route).observe(seconds)


def exposition() -> bytes:
    """Return all metrics in Prometheus' text format, for a `/metrics` route; its type is `CONTENT_TYPE`."""
    return generate_latest(registry)


def serve(host: str, port: int) -> tuple[WSGIServer, threading.Thread]:
    """Serve `/metrics` from a thread, for processes without an HTTP side; shut the server down to end it."""
    return start_http_server(port, addr=host, registry=registry)


def _replace(gauge: Gauge, values: Mapping[str, int] | Mapping[str, float]) -> None:
    gauge.clear()
    for label, value in values.items():
        gauge.labels(label).set(value)
