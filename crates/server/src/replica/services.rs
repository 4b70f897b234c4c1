//! The gRPC services of a replica.

use std::sync::Arc;

use evergrant_core::clock::Clock;
use evergrant_core::events::tail::Tail;
use evergrant_core::store::Store;
use evergrant_providers::HttpProviders;

use crate::clock::SystemClock;
use crate::config::Config;
use crate::consent::Consents;
use crate::grpc::audit::AuditRecords;
use crate::grpc::caller::Callers;
use crate::grpc::credential::Credentials;
use crate::grpc::cursor::CursorCodec;
use crate::grpc::gate::Gate;
use crate::grpc::integration::Integrations;
use crate::grpc::kill::Kills;
use crate::grpc::listener::Services;
use crate::grpc::provider::Providers;
use crate::grpc::token::Tokens;
use crate::grpc::watch::{WatchLimits, Watches};
use crate::kill::{Killer, RefusedCallers};
use crate::lifecycle::Lifecycle;
use crate::store::SqlStore;

use super::{StartError, size};

/// Who may call and who no longer may, how often, and where it goes on record.
pub(super) fn gate(
    config: &Config,
    store: &SqlStore,
    refused: RefusedCallers,
) -> Result<Gate, StartError> {
    let streams = size(config.events.max_streams_per_caller);
    let callers = Callers::new(config.callers.clone(), streams, Arc::new(SystemClock))?;
    let gate = Gate::new(callers).refusing(refused);
    Ok(gate.noting(store.audit().clone()))
}

#[expect(
    clippy::too_many_arguments,
    reason = "a replica puts them together here alone"
)]
pub(super) fn services(
    config: &Config,
    gate: Gate,
    store: &Arc<SqlStore>,
    providers: &Arc<HttpProviders>,
    consents: &Consents,
    tail: &Arc<Tail>,
    killer: &Killer,
    life: &Lifecycle,
) -> Services {
    let broker = killer.broker();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store_port: Arc<dyn Store> = store.clone();
    let events = &config.events;
    let limits = WatchLimits {
        streams: size(events.max_streams),
        snapshots: size(events.max_snapshots),
        heartbeat: events.heartbeat,
        max_age: events.stream_lifetime,
        ..WatchLimits::default()
    };
    Services {
        tokens: Tokens::new(broker.clone(), gate.clone(), clock.clone()),
        watches: Watches::new(
            tail.clone(),
            store_port.clone(),
            clock.clone(),
            gate.clone(),
            CursorCodec::new(store.cursor_key()),
            limits,
            life.stop(),
        ),
        credentials: Credentials::new(
            broker.clone(),
            store_port.clone(),
            providers.clone(),
            consents.clone(),
            gate.clone(),
            clock.clone(),
        ),
        integrations: Integrations::new(broker.registry(), store_port.clone(), gate.clone()),
        kills: Kills::new(killer.clone(), providers.clone(), gate.clone(), life.stop()),
        audit: AuditRecords::new(store.audit_log().clone(), gate.clone()),
        providers: Providers::new(broker.clone(), store_port, providers.clone(), gate, clock),
    }
}
