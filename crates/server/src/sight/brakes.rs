//! Gauges of brakes, which only the store knows.

use std::collections::BTreeMap;

use evergrant_core::ids::ClientKey;
use evergrant_core::store::Store;
use tracing::debug;

use super::{set, wide};

/// Shows every client of `configured`, and those of which the store knows something.
pub(super) async fn sample(store: &dyn Store, configured: &[ClientKey]) {
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
