//! Metrics: the recorder, what each means, and the gauges that are sampled.

mod brakes;
mod here;
pub mod metrics;
mod zero;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ::metrics::gauge;
use evergrant_core::broker::Broker;
use evergrant_core::clock::Clock;
use evergrant_core::ids::{ClientKey, ProviderName, ReceiverName};
use evergrant_core::store::Store;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;
use tracing::debug;

pub use self::here::{AtScrape, Here};

/// From a fast answer out of memory to a call that uses its whole time.
const SECONDS: [f64; 14] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0,
];

const SAMPLE_EVERY: Duration = Duration::from_secs(5);
/// Counting credentials takes a join of everything that is stored, so it is done in one round of so many.
const CREDENTIALS_EVERY: usize = 12;

/// Installs the process's recorder and describes every metric.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)?
        .install_recorder()?;
    metrics::describe();
    Ok(handle)
}

/// What is sampled, and from where.
pub struct Sampler {
    /// Whose memory is kept from holding what has expired.
    pub broker: Arc<Broker>,
    /// The clients that are shown, whether or not anything was heard of them.
    pub clients: Vec<ClientKey>,
    /// Likewise the receivers of what providers report.
    pub receivers: Vec<ReceiverName>,
    /// Whose counts are shown.
    pub store: Arc<dyn Store>,
    /// The time now.
    pub clock: Arc<dyn Clock>,
    /// Whose histograms are kept from growing.
    pub metrics: PrometheusHandle,
}

impl std::fmt::Debug for Sampler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sampler").finish_non_exhaustive()
    }
}

impl Sampler {
    /// Samples until `stop` is cancelled.
    pub async fn run(self, stop: CancellationToken) {
        zero::show(&self.clients, &self.receivers);
        let mut grants = Shown::of(&self.clients);
        let mut credentials = grants.clone();
        for round in 0_usize.. {
            self.sample(&mut grants).await;
            if round.is_multiple_of(CREDENTIALS_EVERY) {
                self.count_credentials(&mut credentials).await;
            }
            self.metrics.run_upkeep();
            self.broker.purge_expired();
            tokio::select! {
                () = tokio::time::sleep(SAMPLE_EVERY) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn sample(&self, grants: &mut Shown) {
        brakes::sample(&*self.store, &self.clients).await;
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
            Ok(counts) => grants.show("evergrant_grants", counts),
            Err(error) => debug!(%error, "grants cannot be counted"),
        }
    }

    async fn count_credentials(&self, credentials: &mut Shown) {
        match self.store.count_credentials().await {
            Ok(counts) => credentials.show("evergrant_credentials", counts),
            Err(error) => debug!(%error, "credentials cannot be counted"),
        }
    }
}

/// The series of a count of what is stored that were ever shown. A series keeps its last value until it gets another, and a count
/// in the database has no row for what is no longer there.
#[derive(Debug, Clone, Default)]
struct Shown(BTreeSet<(ProviderName, bool)>);

impl Shown {
    /// Those of the providers of `clients`.
    fn of(clients: &[ClientKey]) -> Self {
        let of_client =
            |client: &ClientKey| [true, false].map(|state| (client.provider.clone(), state));
        Self(clients.iter().flat_map(of_client).collect())
    }

    fn show(&mut self, name: &'static str, counts: Vec<(ProviderName, bool, u64)>) {
        for ((provider, active), count) in self.with_empty(counts) {
            let state = if active { "active" } else { "invalidated" };
            gauge!(name, "provider" => provider.to_string(), "state" => state).set(wide(count));
        }
    }

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

fn set(name: &'static str, client: &ClientKey, value: f64) {
    gauge!(
        name,
        "provider" => client.provider.to_string(),
        "client" => client.client.to_string()
    )
    .set(value);
}

fn count(count: usize) -> f64 {
    wide(count as u64)
}

/// Says which build this is.
pub fn tell_build(version: &'static str, revision: &'static str) {
    gauge!("evergrant_build_info", "version" => version, "revision" => revision).set(1.0);
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
