//! Every metric: what it is called, what it means, and which labels it has.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// A metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What it counts or measures.
    pub kind: Kind,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it means.
    pub means: &'static str,
}

/// What a metric counts or measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What happened since the start.
    Counter,
    /// How things stand now.
    Gauge,
    /// How long things took.
    Histogram,
}

/// All of them.
pub const METRICS: [Metric; 67] = [
    // Requests.
    counter(
        "evergrant_requests_total",
        &["method", "code", "reason"],
        "Requests",
    ),
    histogram(
        "evergrant_request_seconds",
        &["method"],
        "Time to answer a request",
    ),
    counter(
        "evergrant_requests_cut_off_total",
        &[],
        "Requests and streams ended because nobody took what they answered",
    ),
    counter(
        "evergrant_caller_rate_limited_total",
        &["caller"],
        "Requests refused because their caller asks too often",
    ),
    counter(
        "evergrant_tls_handshakes_failed_total",
        &["listener", "cause"],
        "TLS handshakes that failed",
    ),
    counter(
        "evergrant_reloads_total",
        &["outcome"],
        "Changes of certificates and callers that were put in place or refused",
    ),
    gauge(
        "evergrant_reload_failing",
        &[],
        "Whether certificates or callers on disk cannot be used, so that older ones serve",
    ),
    // Refreshes.
    counter(
        "evergrant_refreshes_total",
        &["provider", "client", "outcome"],
        "Refresh attempts that had an outcome",
    ),
    histogram(
        "evergrant_provider_call_seconds",
        &["provider"],
        "Time of one provider call",
    ),
    gauge("evergrant_flights", &[], "Flights in the air"),
    counter("evergrant_flights_total", &[], "Flights that were started"),
    counter(
        "evergrant_flight_joiners_total",
        &[],
        "Callers that joined a flight in the air",
    ),
    gauge(
        "evergrant_refreshes_overdue",
        &[],
        "Grants that are due and not yet renewed",
    ),
    gauge(
        "evergrant_refreshes_overdue_oldest_seconds",
        &[],
        "For how long the oldest of them has been due",
    ),
    counter(
        "evergrant_new_token_refused_total",
        &[],
        "Refused tokens that had replaced a refused one",
    ),
    counter(
        "evergrant_revocations_total",
        &["provider", "outcome"],
        "Revocations asked of providers",
    ),
    counter(
        "evergrant_consents_total",
        &["provider", "outcome"],
        "Consents that ended",
    ),
    counter(
        "evergrant_inbound_total",
        &["receiver", "outcome"],
        "What providers reported",
    ),
    // What is stored, and what is in memory.
    gauge("evergrant_grants", &["provider", "state"], "Stored grants"),
    gauge(
        "evergrant_credentials",
        &["provider", "state"],
        "Stored credentials, by the state of their grant",
    ),
    gauge("evergrant_cache_grants", &["state"], "Grants in memory"),
    counter(
        "evergrant_cache_hits_total",
        &[],
        "Tokens answered from memory",
    ),
    counter(
        "evergrant_cache_misses_total",
        &[],
        "Credentials looked up in the store",
    ),
    // OAuth clients.
    gauge(
        "evergrant_clients_rejected",
        &[],
        "OAuth clients that their providers reject",
    ),
    gauge(
        "evergrant_client_breaker_state",
        &["provider", "client"],
        "Whether a provider rejects an OAuth client: 0 closed, 1 half-open, 2 open",
    ),
    gauge(
        "evergrant_brake_engaged",
        &["provider", "client"],
        "Whether refusals of a client's grants are held",
    ),
    gauge(
        "evergrant_grants_held",
        &["provider", "client"],
        "Grants that were refused and are held",
    ),
    gauge(
        "evergrant_budget_concurrent",
        &["provider", "client"],
        "Refreshes of a client that this replica may run at once",
    ),
    gauge(
        "evergrant_budget_in_use",
        &["provider", "client"],
        "Refreshes of a client that have a place",
    ),
    gauge(
        "evergrant_budget_waiting",
        &["provider", "client"],
        "Refreshes of a client that wait for a place",
    ),
    counter(
        "evergrant_budget_refusals_total",
        &["cause"],
        "Refreshes that got no place in the budget of their client",
    ),
    gauge(
        "evergrant_client_throttled_seconds",
        &["provider", "client"],
        "For how long a provider asks to be left alone still",
    ),
    gauge(
        "evergrant_provider_clock_skew_seconds",
        &["provider"],
        "By how much a provider's clock is ahead of ours",
    ),
    // Replicas among themselves.
    counter(
        "evergrant_lock_contended_total",
        &[],
        "Leader locks that another process held",
    ),
    counter(
        "evergrant_lock_lost_total",
        &[],
        "Leader locks that were gone at release",
    ),
    counter(
        "evergrant_lock_unreachable_total",
        &[],
        "Leader locks that nobody could tell of",
    ),
    counter(
        "evergrant_lease_waits_total",
        &[],
        "Leases that another attempt held",
    ),
    counter(
        "evergrant_lease_losses_total",
        &[],
        "Leases too short for a call",
    ),
    counter(
        "evergrant_lease_takeovers_total",
        &[],
        "Attempts taken over that never told their end",
    ),
    counter(
        "evergrant_recovery_calls_total",
        &[],
        "Provider calls made after a takeover",
    ),
    counter(
        "evergrant_in_lease_retries_total",
        &[],
        "Second calls after one without an answer",
    ),
    counter(
        "evergrant_race_recoveries_total",
        &[],
        "Refusals behind which a newer token was found",
    ),
    counter(
        "evergrant_superseded_total",
        &[],
        "Token sets that came after a newer one",
    ),
    counter(
        "evergrant_healed_total",
        &[],
        "Grants taken for dead that had a working token",
    ),
    counter(
        "evergrant_killed_total",
        &[],
        "Grants that kills invalidated",
    ),
    counter(
        "evergrant_rotations_lost_total",
        &[],
        "Token sets that could be stored nowhere before this process ended",
    ),
    counter(
        "evergrant_attempts_lost_total",
        &[],
        "Attempts whose outcome could not be kept for who asks later",
    ),
    counter(
        "evergrant_escrow_written_total",
        &[],
        "Token sets put into escrow",
    ),
    counter(
        "evergrant_escrow_adopted_total",
        &[],
        "Token sets adopted from escrow",
    ),
    counter(
        "evergrant_escrow_replayed_total",
        &[],
        "Token sets stored from escrow at start",
    ),
    counter(
        "evergrant_change_conflicts_total",
        &[],
        "Changes planned anew after a conflict",
    ),
    counter(
        "evergrant_notices_missed_total",
        &[],
        "Notices between replicas that were missed",
    ),
    // Events.
    counter(
        "evergrant_events_written_total",
        &[],
        "Events written by this replica",
    ),
    gauge("evergrant_streams_open", &[], "Open Watch streams"),
    gauge(
        "evergrant_stream_lag_seconds",
        &[],
        "Time since the event log was last read",
    ),
    counter(
        "evergrant_stream_catch_ups_total",
        &[],
        "Pages that streams behind the ring read from the store",
    ),
    counter(
        "evergrant_stream_ends_total",
        &["reason"],
        "Watch streams ended by this replica",
    ),
    // The audit trail.
    counter(
        "evergrant_audit_records_total",
        &[],
        "Records of the audit trail that were written",
    ),
    counter(
        "evergrant_audit_records_lost_total",
        &[],
        "Records of the audit trail that found no room",
    ),
    counter(
        "evergrant_audit_altered_total",
        &[],
        "Alterations of the audit trail that this replica found",
    ),
    counter(
        "evergrant_audit_write_failures_total",
        &[],
        "Batches of the audit trail that had to be tried again",
    ),
    gauge(
        "evergrant_audit_waiting",
        &[],
        "Records that wait while a batch of the audit trail cannot be written, those of the batch among them",
    ),
    histogram(
        "evergrant_audit_write_seconds",
        &[],
        "Time of writing a batch of the audit trail",
    ),
    counter(
        "evergrant_audit_lines_lost_total",
        &[],
        "Lines of the audit trail that were not taken",
    ),
    // The rest.
    gauge("evergrant_store_up", &[], "Whether the store can be used"),
    gauge("evergrant_redis_up", &[], "Whether Redis answers"),
    gauge(
        "evergrant_build_info",
        &["version", "revision"],
        "Always 1; its labels say which build this is",
    ),
];

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    means: &'static str,
) -> Metric {
    let kind = Kind::Counter;
    Metric {
        name,
        kind,
        labels,
        means,
    }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], means: &'static str) -> Metric {
    let kind = Kind::Gauge;
    Metric {
        name,
        kind,
        labels,
        means,
    }
}

const fn histogram(
    name: &'static str,
    labels: &'static [&'static str],
    means: &'static str,
) -> Metric {
    let kind = Kind::Histogram;
    Metric {
        name,
        kind,
        labels,
        means,
    }
}

/// Describes every metric to the recorder.
pub(super) fn describe() {
    for metric in METRICS {
        let Metric {
            name, kind, means, ..
        } = metric;
        let unit = if name.ends_with("_seconds") {
            Unit::Seconds
        } else {
            Unit::Count
        };
        match kind {
            Kind::Counter => describe_counter!(name, unit, means),
            Kind::Gauge => describe_gauge!(name, unit, means),
            Kind::Histogram => describe_histogram!(name, unit, means),
        }
    }
}
