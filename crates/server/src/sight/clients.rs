//! Gauges of OAuth clients: breaker, brake and budget.

use std::collections::BTreeMap;

use evergrant_core::broker::Broker;
use evergrant_core::cooldown::BreakerState;
use evergrant_core::ids::ClientKey;
use evergrant_core::store::Store;
use metrics::{Unit, describe_counter, describe_gauge, gauge};
use tracing::debug;

use super::{count, wide};

/// Shows every client of `configured`, and those of which the store knows something.
pub(super) async fn sample(broker: &Broker, store: &dyn Store, configured: &[ClientKey]) {
    for client in configured {
        let state = match broker.breaker_state(client) {
            BreakerState::Closed => 0.0,
            BreakerState::HalfOpen => 1.0,
            BreakerState::Open => 2.0,
        };
        set("evergrant_client_breaker_state", client, state);
        let usage = broker.budget(client);
        set(
            "evergrant_budget_concurrent",
            client,
            count(usage.concurrent),
        );
        set("evergrant_budget_in_use", client, count(usage.in_use));
        set("evergrant_budget_waiting", client, count(usage.waiting));
        let throttled = usage.throttled_for.unwrap_or_default();
        set(
            "evergrant_client_throttled_seconds",
            client,
            throttled.as_secs_f64(),
        );
    }
    let standings = match store.clients().await {
        Ok(standings) => standings,
        Err(error) => {
            debug!(%error, "how clients stand cannot be read");
            return;
        }
    };
    let mut brakes: BTreeMap<&ClientKey, (bool, u64)> = configured
        .iter()
        .map(|client| (client, (false, 0)))
        .collect();
    for standing in &standings {
        let brake = (standing.brake.is_some(), standing.held);
        brakes.insert(&standing.client, brake);
    }
    for (client, (engaged, held)) in brakes {
        set(
            "evergrant_brake_engaged",
            client,
            f64::from(u8::from(engaged)),
        );
        set("evergrant_grants_held", client, wide(held));
    }
}

fn set(name: &'static str, client: &ClientKey, value: f64) {
    gauge!(
        name,
        "provider" => client.provider.to_string(),
        "client" => client.client.to_string()
    )
    .set(value);
}

pub(super) fn describe() {
    describe_gauge!(
        "evergrant_client_breaker_state",
        "Whether a provider rejects an OAuth client: 0 closed, 1 half-open, 2 open"
    );
    describe_gauge!(
        "evergrant_brake_engaged",
        "Whether refusals of a client's grants are held"
    );
    describe_gauge!(
        "evergrant_grants_held",
        "Grants that were refused and are held"
    );
    describe_gauge!(
        "evergrant_budget_concurrent",
        "Refreshes of a client that this replica may run at once"
    );
    describe_gauge!(
        "evergrant_budget_in_use",
        "Refreshes of a client that have a place"
    );
    describe_gauge!(
        "evergrant_budget_waiting",
        "Refreshes of a client that wait for a place"
    );
    describe_counter!(
        "evergrant_budget_refusals_total",
        "Refreshes that got no place, by cause: concurrency, rate or throttled"
    );
    describe_gauge!(
        "evergrant_client_throttled_seconds",
        Unit::Seconds,
        "For how long a provider asks to be left alone still"
    );
    describe_gauge!(
        "evergrant_provider_clock_skew_seconds",
        Unit::Seconds,
        "By how much a provider's clock is ahead of ours"
    );
}
