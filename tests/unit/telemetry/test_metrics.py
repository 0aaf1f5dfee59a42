"""Metrics: what is counted shows in Prometheus' text format under fixed names."""

import urllib.request

from telemetry import metrics


def sample(name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_partner_calls_are_counted_and_timed():
    labels = {"connector": "unit", "operation": "refund"}
    metrics.partner_called("unit", "refund", "ok", 0.2)
    metrics.partner_called("unit", "refund", "PARTNER_5XX", 0.7)
    assert sample("labsetu_partner_calls_total", **labels, outcome="ok") == 1
    assert sample("labsetu_partner_call_seconds_count", **labels) == 2
    assert sample("labsetu_partner_call_seconds_bucket", **labels, le="0.25") == 1


def test_a_stage_that_emptied_disappears():
    metrics.orders_by_stage({"registered": 3, "released": 1})
    metrics.orders_by_stage({"released": 2})
    assert sample("labsetu_orders", stage="released") == 2
    assert sample("labsetu_orders", stage="registered") is None


def test_connections_go_up_and_down():
    metrics.instrument_connected("unit", 1, "AU-1")
    metrics.instrument_connected("unit", 1, "AU-1")
    metrics.instrument_connected("unit", -1, "AU-1")
    metrics.instrument_connected("unit", 1)
    assert sample("labsetu_instrument_connections", protocol="unit", device="AU-1") == 1
    assert sample("labsetu_instrument_connections", protocol="unit", device="") == 1


def test_a_line_that_is_back_disappears_from_the_troubled():
    metrics.lines_in_trouble(["AU-1", "DIM-1"])
    metrics.lines_in_trouble(["DIM-1"])
    assert sample("labsetu_instrument_line_trouble", device="DIM-1") == 1
    assert sample("labsetu_instrument_line_trouble", device="AU-1") is None


def test_the_other_numbers_have_their_names():
    metrics.instrument_message("unit", "stored")
    metrics.inbox_lag("unit", 12.5)
    metrics.inbox_waiting({"queued": 4})
    metrics.attention_by_reason({"partner_offline": 2})
    metrics.command_done("verify_results", "ok")
    metrics.request_done("GET", "/unit/{id}", 200, 0.01)
    text = metrics.exposition().decode()
    for line in (
        'labsetu_instrument_messages_total{device="",outcome="stored",protocol="unit"} 1.0',
        'labsetu_inbox_lag_seconds{source="unit"} 12.5',
        'labsetu_inbox_waiting{state="queued"} 4.0',
        'labsetu_attention{reason="partner_offline"} 2.0',
        'labsetu_commands_total{command="verify_results",outcome="ok"} 1.0',
        'labsetu_http_requests_total{method="GET",route="/unit/{id}",status="200"} 1.0',
    ):
        assert line in text


def test_a_process_without_http_serves_them():
    server, thread = metrics.serve("127.0.0.1", 0)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics") as answer:
            assert b"labsetu_partner_calls" in answer.read()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_numbers_of_devices_are_replaced():
    def gauges(**more):
        facts = {
            "connections": 1, "is_silent": False, "silent_minutes": 3, "messages_hour": 9, "errors_hour": 0,
            "repeats_hour": 0, "open_exceptions": 2, "query_seconds": 0.25, **more,
        }  # fmt: skip
        return metrics.DeviceGauges(**facts)

    metrics.devices({"XN-1": gauges(), "BS-1": gauges(is_silent=True)})
    text = metrics.exposition().decode()
    assert 'labsetu_device_silent{analyzer="BS-1"} 1.0' in text
    assert 'labsetu_device_open_exceptions{analyzer="XN-1"} 2.0' in text
    assert 'labsetu_device_query_seconds{analyzer="XN-1"} 0.25' in text
    metrics.devices({"XN-1": gauges()})
    assert 'analyzer="BS-1"' not in metrics.exposition().decode()
