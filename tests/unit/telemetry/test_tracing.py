"""Traces: none without an endpoint, named after the process with one."""

from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from telemetry import tracing


def test_nothing_is_set_up_without_an_endpoint():
    assert tracing.configure("labsetu-api", "") is None
    tracing.close(None)


def test_spans_carry_the_name_of_the_process():
    exporter = InMemorySpanExporter()
    provider = tracing.provider_with("labsetu-worker", SimpleSpanProcessor(exporter))
    with provider.get_tracer("unit").start_as_current_span("step"):
        pass
    tracing.close(provider)
    (span,) = exporter.get_finished_spans()
    assert span.name == "step"
    assert span.resource.attributes["service.name"] == "labsetu-worker"
