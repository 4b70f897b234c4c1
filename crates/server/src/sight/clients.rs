//! Gauges of OAuth clients: breaker, brake and budget.

use std::collections::BTreeMap;

use ::metrics::gauge;
use evergrant_core::breaker::BreakerState;
use evergrant_core::broker::Broker;
use evergrant_core::ids::ClientKey;
use evergrant_core::store::Store;
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
