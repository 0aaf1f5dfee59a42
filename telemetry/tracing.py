"""Traces by OpenTelemetry over OTLP/HTTP; nothing at all when no endpoint is set, not even the library's import.

Source: OpenTelemetry specification 1.45, "OTLP Exporter": traces go to `<endpoint>/v1/traces`, specs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider


def configure(service: str, endpoint: str) -> TracerProvider | None:
    """Send this process's spans to `endpoint` and return the provider, or None when `endpoint` is empty.

    Args:
        service: Name of the process, e.g. `labsetu-api`.
        endpoint: `http://host:4318`, without a path.
    """
    if not endpoint:
        return None
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=5)
    provider = provider_with(service, BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return provider


def provider_with(service: str, processor: SpanProcessor) -> TracerProvider:
    """Return a provider of spans named after `service` that hands them to `processor`."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

    provider = TracerProvider(resource=Resource.create({"service.name": service}), shutdown_on_exit=False)
    provider.add_span_processor(processor)
    return provider


def configured() -> TracerProvider | None:
    """Return the provider that `configure` has set in this process, if it has."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    provider = trace.get_tracer_provider()
    return provider if isinstance(provider, TracerProvider) else None


def close(provider: TracerProvider | None) -> None:
    """Send what is still held back; for the end of a process."""
    if provider is not None:
        provider.shutdown()
