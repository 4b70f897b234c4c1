//! The broker of a replica, and the providers that it asks.

use std::net::SocketAddr;
use std::sync::Arc;

use evergrant_core::broker::Broker;
use evergrant_core::refresh::{Limits, Ports};
use evergrant_providers::HttpProviders;
use tracing::info;

use crate::attempts;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::lifecycle::Lifecycle;
use crate::store::SqlStore;

use super::coordination::Coordination;
use super::{StartError, name, size};

/// Credentials that a replica remembers. An entry takes about a kilobyte.
const REMEMBERED: usize = 100_000;

pub(super) fn http_providers(config: &Config) -> Result<HttpProviders, StartError> {
    let catalogue = Arc::new(config.catalogue()?);
    let clock = Arc::new(SystemClock);
    Ok(HttpProviders::new(
        catalogue,
        config.oauth_clients(),
        clock,
    )?)
}

pub(super) fn broker(
    config: &Config,
    store: &Arc<SqlStore>,
    coordination: &Coordination,
    providers: &Arc<HttpProviders>,
    grpc: SocketAddr,
    life: &Lifecycle,
) -> Arc<Broker> {
    let replica = name::of(grpc);
    info!(%replica, "leases and attempts of this replica bear this name");
    let (attempts, writer) = attempts::queue();
    let written = writer.run(store.clone(), life.stop());
    life.tracker().spawn(written);
    let refresh = &config.refresh;
    let ports = Ports {
        store: store.clone(),
        locks: coordination.locks.clone(),
        escrow: coordination.escrow.clone(),
        bus: coordination.bus.clone(),
        providers: providers.clone(),
        clock: Arc::new(SystemClock),
        attempts: Arc::new(attempts),
        replica,
    };
    let limits = Limits {
        attempt_timeout: refresh.attempt_timeout,
        store_timeout: refresh.store_timeout,
        lease: refresh.lease,
        per_client: size(refresh.per_provider),
    };
    let broker = Broker::new(ports, limits, REMEMBERED, life.tracker(), life.stop());
    Arc::new(broker)
}
