//! What tracing costs where nobody traces. A process of its own, since all tests of one share what they log with.

use evergrant_server::config::Config;
use evergrant_server::{Build, telemetry};
use tracing::{Level, event_enabled, info_span};

#[test]
fn without_an_endpoint_a_span_is_nothing_and_lines_are_filtered_as_ever() {
    let level = ("EVERGRANT__TELEMETRY__LEVEL", "evergrant_core=debug,warn");
    let environment = [level].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = Config::load(None, environment.into_iter(), Vec::new()).unwrap();
    let build = Build {
        version: "1.0.0",
        revision: "unknown",
        profile: "test",
    };
    let _nowhere = telemetry::init(&config.telemetry, build, None);

    assert!(info_span!(target: "evergrant_core", "refresh").is_disabled());
    assert!(info_span!(target: "evergrant_server", "rpc").is_disabled());
    assert!(event_enabled!(target: "evergrant_core", Level::DEBUG));
    assert!(!event_enabled!(target: "evergrant_server", Level::INFO));
    assert!(event_enabled!(target: "h2", Level::WARN));
}
