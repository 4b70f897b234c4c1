//! Lines of the log, each with the trace that it belongs to where there is one.

use std::fmt;
use std::io::{self, IsTerminal as _};

use opentelemetry::trace::TraceContextExt as _;
use tracing::{Event, Metadata, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{FilterExt as _, FilterFn};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, layer};
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

use crate::config::telemetry::LogFormat;

/// The layer that writes lines where nobody traces. Spans are no part of it, so that there are none at all.
pub(super) fn to_standard_error<S>(format: LogFormat, filter: EnvFilter) -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let lines = layer()
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .boxed(),
    };
    lines.with_filter(FilterFn::new(is_event).and(filter))
}

/// The same where spans are exported: a line that is written within a span has the ids of its trace and its span.
pub(super) fn with_trace<S>(format: LogFormat, filter: EnvFilter) -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let colours = io::stderr().is_terminal();
    let lines = layer().with_ansi(colours).with_writer(io::stderr);
    let lines = match format {
        LogFormat::Text => lines
            .map_event_format(|inner| WithTrace {
                inner: inner.with_ansi(colours),
                format,
            })
            .boxed(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .map_event_format(|inner| WithTrace { inner, format })
            .boxed(),
    };
    lines.with_filter(FilterFn::new(is_event).and(filter))
}

fn is_event(metadata: &Metadata<'_>) -> bool {
    metadata.is_event()
}

/// Writes a line as `inner` does, and at its end `trace_id` and `span_id`.
struct WithTrace<F> {
    inner: F,
    format: LogFormat,
}

impl<S, N, F> FormatEvent<S, N> for WithTrace<F>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        // The layer sees events alone, so the span is asked for where it is.
        let current = Span::current().context();
        let span = current.span();
        let ids = span.span_context();
        if !ids.is_valid() {
            return self.inner.format_event(context, writer, event);
        }
        let mut line = String::new();
        self.inner
            .format_event(context, Writer::new(&mut line), event)?;
        let line = line.trim_end();
        let (trace, span) = (ids.trace_id(), ids.span_id());
        match (self.format, line.strip_suffix('}')) {
            (LogFormat::Json, Some(line)) => {
                writeln!(
                    writer,
                    "{line},\"trace_id\":\"{trace}\",\"span_id\":\"{span}\"}}"
                )
            }
            _ => writeln!(writer, "{line} trace_id={trace} span_id={span}"),
        }
    }
}
