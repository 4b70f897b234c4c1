//! Metrics: the recorder, what each means, and the gauges that are sampled.

mod clients;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use evergrant_core::broker::Broker;
use evergrant_core::clock::Clock;
use evergrant_core::events::tail::Tail;
use evergrant_core::ids::{ClientKey, ProviderName};
use evergrant_core::store::Store;
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// From a fast answer out of memory to a call that uses its whole time.
const SECONDS: [f64; 14] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0,
];

const SAMPLE_EVERY: Duration = Duration::from_secs(5);

/// Installs the process's recorder and describes every metric.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)?
        .install_recorder()?;
    describe();
    Ok(handle)
}

/// What is sampled, and from where.
pub struct Sampler {
    /// Whose sizes are shown.
    pub broker: Arc<Broker>,
    /// The clients that are shown, whether or not anything was heard of them.
    pub clients: Vec<ClientKey>,
    /// Whose counts are shown.
    pub store: Arc<dyn Store>,
    /// Whose lag is shown.
    pub tail: Arc<Tail>,
    /// The time now.
    pub clock: Arc<dyn Clock>,
    /// Whose histograms are kept from growing.
    pub metrics: PrometheusHandle,
    /// Whether Redis answers; `None` without Redis.
    pub redis: Option<tokio::sync::watch::Receiver<bool>>,
}

impl std::fmt::Debug for Sampler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sampler").finish_non_exhaustive()
    }
}

impl Sampler {
    /// Samples until `stop` is cancelled.
    pub async fn run(self, stop: CancellationToken) {
        let mut shown = Shown::default();
        loop {
            self.sample(&mut shown).await;
            self.metrics.run_upkeep();
            self.broker.purge_expired();
            tokio::select! {
                () = tokio::time::sleep(SAMPLE_EVERY) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn sample(&self, shown: &mut Shown) {
        let (live, dead, flights) = self.broker.sizes();
        gauge!("evergrant_cache_grants", "state" => "live").set(count(live));
        gauge!("evergrant_cache_grants", "state" => "dead").set(count(dead));
        gauge!("evergrant_flights").set(count(flights));
        gauge!("evergrant_clients_rejected").set(count(self.broker.rejected_clients().len()));
        clients::sample(&self.broker, &*self.store, &self.clients).await;
        let unread = self.tail.head().borrow().read_at.elapsed();
        gauge!("evergrant_stream_lag_seconds").set(unread.as_secs_f64());
        if let Some(redis) = &self.redis {
            gauge!("evergrant_redis_up").set(if *redis.borrow() { 1.0 } else { 0.0 });
        }
        let now = self.clock.now();
        match self.store.backlog(now).await {
            Ok(backlog) => {
                gauge!("evergrant_refreshes_overdue").set(wide(backlog.due));
                let oldest = backlog
                    .oldest
                    .map_or(Duration::ZERO, |due_at| now.since(due_at));
                gauge!("evergrant_refreshes_overdue_oldest_seconds").set(oldest.as_secs_f64());
            }
            Err(error) => debug!(%error, "the backlog cannot be counted"),
        }
        match self.store.count_by_state().await {
            Ok(counts) => {
                for ((provider, active), grants) in shown.with_empty(counts) {
                    let state = if active { "active" } else { "invalidated" };
                    gauge!("evergrant_grants", "provider" => provider.to_string(), "state" => state)
                        .set(wide(grants));
                }
            }
            Err(error) => debug!(%error, "grants cannot be counted"),
        }
    }
}

/// The series of stored grants that were ever shown. A series keeps its last value until it gets another, and a count
/// in the database has no row for what is no longer there.
#[derive(Debug, Default)]
struct Shown(BTreeSet<(ProviderName, bool)>);

impl Shown {
    /// The counts, and zero for each series that was shown before and is not among them.
    fn with_empty(
        &mut self,
        counts: Vec<(ProviderName, bool, u64)>,
    ) -> BTreeMap<(ProviderName, bool), u64> {
        let series = counts
            .iter()
            .map(|(provider, active, _)| (provider.clone(), *active));
        self.0.extend(series);
        let mut all: BTreeMap<_, _> = self.0.iter().cloned().map(|series| (series, 0)).collect();
        all.extend(
            counts
                .into_iter()
                .map(|(provider, active, grants)| ((provider, active), grants)),
        );
        all
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge of more than 2^53 things is not exact"
)]
fn wide(count: u64) -> f64 {
    count as f64
}

fn count(count: usize) -> f64 {
    wide(count as u64)
}

/// Says which build this is.
pub fn tell_build(version: &'static str, revision: &'static str) {
    gauge!("evergrant_build_info", "version" => version, "revision" => revision).set(1.0);
}

fn describe() {
    describe_counter!(
        "evergrant_requests_total",
        "Requests by method, gRPC code and reason"
    );
    describe_histogram!(
        "evergrant_request_seconds",
        Unit::Seconds,
        "Time to answer a request"
    );
    describe_counter!(
        "evergrant_refreshes_total",
        "Refresh attempts by provider, client and outcome"
    );
    describe_histogram!(
        "evergrant_provider_call_seconds",
        Unit::Seconds,
        "Time of one provider call"
    );
    describe_counter!(
        "evergrant_inbound_total",
        "What providers reported by receiver and outcome"
    );
    describe_counter!(
        "evergrant_revocations_total",
        "Revocations asked of providers, by provider and outcome"
    );
    describe_counter!("evergrant_flights_total", "Flights that were started");
    describe_counter!(
        "evergrant_flight_joiners_total",
        "Callers that joined a flight in the air"
    );
    describe_gauge!("evergrant_flights", "Flights in the air");
    describe_counter!(
        "evergrant_lock_contended_total",
        "Leader locks that another process held"
    );
    describe_counter!(
        "evergrant_lock_unreachable_total",
        "Leader locks that nobody could tell of"
    );
    describe_counter!(
        "evergrant_lock_lost_total",
        "Leader locks that were gone at release"
    );
    describe_counter!(
        "evergrant_lease_waits_total",
        "Leases that another attempt held"
    );
    describe_counter!(
        "evergrant_lease_losses_total",
        "Leases too short for a call"
    );
    describe_counter!(
        "evergrant_lease_takeovers_total",
        "Attempts taken over that never told their end"
    );
    describe_counter!(
        "evergrant_recovery_calls_total",
        "Provider calls made after a takeover"
    );
    describe_counter!(
        "evergrant_in_lease_retries_total",
        "Second calls after one without an answer"
    );
    describe_counter!(
        "evergrant_race_recoveries_total",
        "Refusals behind which a newer token was found"
    );
    describe_counter!(
        "evergrant_superseded_total",
        "Token sets that came after a newer one"
    );
    describe_counter!(
        "evergrant_rotations_lost_total",
        "Token sets that could be stored nowhere before this process ended"
    );
    describe_counter!(
        "evergrant_attempts_lost_total",
        "Attempts whose outcome could not be kept for who asks later"
    );
    describe_counter!(
        "evergrant_healed_total",
        "Grants taken for dead that had a working token"
    );
    describe_counter!(
        "evergrant_escrow_written_total",
        "Token sets put into escrow"
    );
    describe_counter!(
        "evergrant_escrow_adopted_total",
        "Token sets adopted from escrow"
    );
    describe_counter!(
        "evergrant_escrow_replayed_total",
        "Token sets stored from escrow at start"
    );
    describe_counter!(
        "evergrant_new_token_refused_total",
        "Refused tokens that had replaced a refused one"
    );
    describe_counter!("evergrant_cache_hits_total", "Tokens answered from memory");
    describe_counter!(
        "evergrant_cache_misses_total",
        "Credentials looked up in the store"
    );
    describe_gauge!("evergrant_cache_grants", "Grants in memory by state");
    describe_gauge!("evergrant_grants", "Stored grants by provider and state");
    describe_gauge!(
        "evergrant_refreshes_overdue",
        "Grants due and not yet renewed"
    );
    describe_gauge!(
        "evergrant_refreshes_overdue_oldest_seconds",
        Unit::Seconds,
        "Since when the oldest is due"
    );
    describe_counter!(
        "evergrant_events_written_total",
        "Events written by this replica"
    );
    describe_counter!(
        "evergrant_consents_total",
        "Consents that ended, by provider and outcome"
    );
    describe_counter!(
        "evergrant_change_conflicts_total",
        "Changes planned anew after a conflict"
    );
    describe_gauge!(
        "evergrant_stream_lag_seconds",
        Unit::Seconds,
        "Time since the event log was last read"
    );
    describe_gauge!("evergrant_streams_open", "Open Watch streams");
    describe_counter!(
        "evergrant_stream_ends_total",
        "Watch streams ended by this replica, by reason"
    );
    describe_counter!(
        "evergrant_requests_cut_off_total",
        "Requests and streams ended because nobody took what they answered"
    );
    describe_counter!(
        "evergrant_stream_catch_ups_total",
        "Pages that streams behind the ring read from the store"
    );
    describe_counter!(
        "evergrant_notices_missed_total",
        "Notices between replicas that were missed"
    );
    describe_gauge!("evergrant_store_up", "Whether the store can be used");
    describe_gauge!("evergrant_redis_up", "Whether Redis answers");
    describe_gauge!(
        "evergrant_clients_rejected",
        "OAuth clients that their providers reject"
    );
    clients::describe();
    describe_gauge!("evergrant_build_info", "Version and revision of this build");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_that_went_to_zero_is_shown_as_zero() {
        let slack = ProviderName::parse("slack").unwrap();
        let mut shown = Shown::default();
        let first = shown.with_empty(vec![(slack.clone(), true, 2), (slack.clone(), false, 1)]);
        assert_eq!(first[&(slack.clone(), false)], 1);
        let then = shown.with_empty(vec![(slack.clone(), true, 3)]);
        assert_eq!(then[&(slack.clone(), true)], 3);
        assert_eq!(then[&(slack, false)], 0);
    }
}
