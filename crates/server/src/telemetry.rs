//! Logs: lines to standard error, as text or as JSON.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

use crate::config::telemetry::{LogFormat, Telemetry};

/// Begins to log for the rest of the process's life. A filter in `rust_log` wins over the configuration's, unless
/// it is empty or no filter; then a line says so. If logging was begun before, it goes on as it was.
pub fn init(telemetry: &Telemetry, rust_log: Option<&str>) {
    let (filter, complaint) = filter(telemetry, rust_log);
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    let begun = match telemetry.format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    if let (Ok(()), Some(complaint)) = (begun, complaint) {
        tracing::warn!("{complaint}");
    }
}

fn filter(telemetry: &Telemetry, rust_log: Option<&str>) -> (EnvFilter, Option<String>) {
    let configured = || EnvFilter::builder().parse_lossy(&telemetry.level);
    match rust_log.filter(|text| !text.trim().is_empty()) {
        None => (configured(), None),
        Some(text) => match EnvFilter::builder().parse(text) {
            Ok(filter) => (filter, None),
            Err(error) => {
                let complaint = format!("RUST_LOG is not used, since it is no filter: {error}");
                (configured(), Some(complaint))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(rust_log: Option<&str>) -> (String, bool) {
        let telemetry = Telemetry {
            level: "evergrant_core=debug,warn".into(),
            format: LogFormat::Text,
        };
        let (filter, complaint) = filter(&telemetry, rust_log);
        (filter.to_string(), complaint.is_some())
    }

    #[test]
    fn rust_log_wins_unless_it_is_empty_or_no_filter() {
        let configured = "evergrant_core=debug,warn".to_owned();
        assert_eq!(chosen(None), (configured.clone(), false));
        assert_eq!(chosen(Some(" ")), (configured.clone(), false));
        assert_eq!(chosen(Some("a=loud")), (configured, true));
        assert_eq!(chosen(Some("trace")), ("trace".to_owned(), false));
    }

    #[test]
    fn a_second_beginning_changes_nothing_and_does_not_panic() {
        let telemetry = Telemetry {
            level: "off".into(),
            format: LogFormat::Json,
        };
        init(&telemetry, None);
        init(&telemetry, None);
    }
}
