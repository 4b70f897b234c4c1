//! Which traces are kept.

use opentelemetry::trace::{Link, SpanKind, TraceId, TraceState};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, ShouldSample};

/// Keeps a trace that begins here if the span that it is linked to is kept. What is linked to none is for another
/// sampler to decide.
///
/// A refresh is a trace of its own, linked to the call that began it. Without this, a caller who asked for a trace
/// would be led to a refresh that was thrown away.
#[derive(Debug, Clone)]
pub(super) struct AsItsCaller {
    pub(super) otherwise: Sampler,
}

impl ShouldSample for AsItsCaller {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        if links.is_empty() {
            let otherwise = &self.otherwise;
            return otherwise.should_sample(parent, trace, name, kind, attributes, links);
        }
        let kept = links.iter().any(|link| link.span_context.is_sampled());
        SamplingResult {
            decision: match kept {
                true => SamplingDecision::RecordAndSample,
                false => SamplingDecision::Drop,
            },
            attributes: Vec::new(),
            trace_state: TraceState::default(),
        }
    }
}
