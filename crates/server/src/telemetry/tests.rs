use opentelemetry::trace::{Link, SpanKind, TraceId, TraceState};
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags};
use opentelemetry_sdk::trace::{SamplingDecision, ShouldSample as _};

use super::*;
use crate::config::telemetry::LogFormat;

const BUILD: Build = Build {
    version: "1.0.0",
    revision: "unknown",
    profile: "test",
};

fn telemetry(level: &str) -> Telemetry {
    Telemetry {
        level: level.into(),
        format: LogFormat::Text,
        otlp_endpoint: None,
        trace_ratio: 1.0,
    }
}

fn chosen(rust_log: Option<&str>) -> (String, bool) {
    let (filter, complaint) = filter(&telemetry("evergrant_core=debug,warn"), rust_log);
    (filter.to_string(), complaint.is_some())
}

#[test]
fn rust_log_wins_unless_it_is_empty_or_no_filter() {
    let configured = "evergrant_core=debug,warn".to_owned();
    assert_eq!(chosen(None), (configured.clone(), false));
    assert_eq!(chosen(Some(" ")), (configured.clone(), false));
    assert_eq!(chosen(Some("a=loud")), (configured.clone(), true));
    assert_eq!(chosen(Some("inof")), (configured, true));
    assert_eq!(chosen(Some("trace")), ("trace".to_owned(), false));
}

#[test]
fn a_word_that_is_no_level_is_no_target_unless_it_can_be_one() {
    let is_one = |text| config::telemetry::filter(text).is_ok();
    for good in [
        "info",
        "WARN",
        "off",
        "hyper=warn,info",
        "evergrant_core",
        "h2::codec",
        "[rpc]=debug",
        "info,",
    ] {
        assert!(is_one(good), "{good}");
    }
    for bad in ["inof", "info,debgu", "hyper", "hyper=inof"] {
        assert!(!is_one(bad), "{bad}");
    }
}

#[test]
fn a_second_beginning_changes_nothing_and_does_not_panic() {
    for format in [LogFormat::Json, LogFormat::Text] {
        let telemetry = Telemetry {
            format,
            ..telemetry("off")
        };
        let _nowhere = init(&telemetry, BUILD, None);
    }
}

#[test]
fn a_refresh_is_kept_if_the_call_that_began_it_is() {
    let sampled = [link(TraceFlags::SAMPLED)];
    let dropped = [link(TraceFlags::default())];
    assert!(kept(0.0, None, &sampled) && !kept(1.0, None, &dropped));
    assert!(kept(1.0, None, &[]) && !kept(0.0, None, &[]));
}

#[test]
fn a_caller_decides_for_its_own_trace() {
    assert!(kept(0.0, Some(TraceFlags::SAMPLED), &[]));
    assert!(!kept(1.0, Some(TraceFlags::default()), &[]));
}

/// Whether a span is kept whose parent, at a caller, has these flags.
fn kept(ratio: f64, parent: Option<TraceFlags>, links: &[Link]) -> bool {
    let parent = parent.map(|flags| {
        let caller = link(flags).span_context;
        opentelemetry::Context::new().with_remote_span_context(caller)
    });
    let (trace, kind) = (TraceId::from_bytes([1; 16]), SpanKind::Internal);
    let sampler = export::sampler(ratio);
    let result = sampler.should_sample(parent.as_ref(), trace, "span", &kind, &[], links);
    result.decision == SamplingDecision::RecordAndSample
}

fn link(flags: TraceFlags) -> Link {
    let (trace, span) = (TraceId::from_bytes([2; 16]), SpanId::from_bytes([3; 8]));
    let context = SpanContext::new(trace, span, flags, true, TraceState::default());
    Link::with_context(context)
}
