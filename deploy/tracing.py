"""Settings for gunicorn that send traces by OpenTelemetry: docs/tracing.md says how to use them.

No span holds a code, an e-mail or a key: addresses and the texts of errors are left out.
"""

from collections.abc import Sequence

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.psycopg2 import Psycopg2Instrumentor
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Status

hidden = {
    # Queries hold e-mails, and the addresses of /unsubscribe a signed customer id.
    *("http.target", "http.url", "url.full", "url.path", "url.query"),
    # PostgreSQL's errors quote the row.
    *("exception.message", "exception.stacktrace"),
}


class Redacting(SpanExporter):
    """Exports spans without the hidden attributes."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export the spans."""
        return self._exporter.export([without_data(span) for span in spans])

    def shutdown(self) -> None:
        """Close the exporter."""
        self._exporter.shutdown()


def without_data(span: ReadableSpan) -> ReadableSpan:
    """Return a copy of the span without the hidden attributes."""
    events = [Event(it.name, shown(it.attributes), it.timestamp) for it in span.events]
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=shown(span.attributes),
        events=events,
        links=span.links,
        kind=span.kind,
        instrumentation_scope=span.instrumentation_scope,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
    )


def shown(attributes):
    """Return the attributes that are not hidden."""
    return {name: value for name, value in (attributes or {}).items() if name not in hidden}


def begin(exporter: SpanExporter) -> None:
    """Trace all requests and statements of this process and those that it forks."""
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Redacting(exporter)))
    trace.set_tracer_provider(provider)
    # Before voucherpool is imported, whose application is a Flask.
    FlaskInstrumentor().instrument()
    Psycopg2Instrumentor().instrument(skip_dep_check=True)  # psycopg2-binary is psycopg2


begin(OTLPSpanExporter())

from voucherpool.config.settings import beside  # noqa: E402

exec(compile(beside("gunicorn.conf.py").read_text(), "gunicorn.conf.py", "exec"))  # noqa: S102
