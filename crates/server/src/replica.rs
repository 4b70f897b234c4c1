//! One replica of the service, from its configuration to its end.
//!
//! The order of a start: listeners, store, escrow and Redis, providers, broker; then what an earlier life left in the
//! journal is stored; then everything is served. The order of an end: NOT_SERVING, streams say Closing, flights
//! finish, what is on record by then is written, Redis and the store are closed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use evergrant_core::broker::Broker;
use evergrant_core::events::tail::{Tail, TailOptions};
use evergrant_core::store::Store as _;
use metrics_exporter_prometheus::PrometheusHandle;
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::admin;
use crate::audit::writer::Running;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::grpc::listener;
use crate::grpc::transport::{Acceptor, Listener};
use crate::grpc::watch::Watches;
use crate::health::Health;
use crate::kill::{Killer, RefusedCallers};
use crate::lifecycle::Lifecycle;
use crate::sight::{AtScrape, Here, Sampler};
use crate::store::{SqlStore, StoreOptions};

mod auditing;
mod broker;
mod consents;
mod coordination;
mod error;
mod inbound;
mod name;
mod reload;
mod sealing;
mod services;
mod socket;
mod tasks;

use auditing::auditing;
use broker::{broker, http_providers};
use consents::Callback;
use coordination::Coordination;
pub use error::StartError;
use inbound::InboundListener;
use reload::Reload;
use sealing::{known_or_lost, sealer};
use services::{gate, services};
use socket::{listen, local_address, share};

/// What readers that take nothing get of a shutdown, at most.
const UNREAD: Duration = Duration::from_secs(5);
/// What Redis gets to send its last notices.
const LAST_NOTICES: Duration = Duration::from_secs(2);

/// What a shutdown left behind when its time was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "not everything ended well: {refreshes} refreshes and {streams} streams were left, and {records} records of the audit \
     trail were lost"
)]
pub struct Unfinished {
    /// Refreshes that had begun. A token set that they got is in escrow, where there is one.
    pub refreshes: usize,
    /// Event streams.
    pub streams: usize,
    /// Records of the audit trail that could not be written in time, and are lost.
    pub records: u64,
}

/// A replica that serves.
#[derive(Debug)]
pub struct Replica {
    life: Lifecycle,
    store: Arc<SqlStore>,
    coordination: Coordination,
    broker: Arc<Broker>,
    watches: Watches,
    audit: Option<Running>,
    shutdown_timeout: Duration,
    grpc: SocketAddr,
    admin: Option<SocketAddr>,
    callback: Option<SocketAddr>,
    inbound: Option<SocketAddr>,
}

impl Replica {
    /// Starts a replica and returns once it serves.
    pub async fn start(
        config: &Config,
        metrics: PrometheusHandle,
        life: Lifecycle,
    ) -> Result<Self, StartError> {
        // Before anything is opened: what is configured wrong must not migrate a database that others use.
        let providers = Arc::new(http_providers(config)?);
        let grpc_listener = listen("server.listen", config.server.listen).await?;
        let admin_listener = match config.server.admin_listen {
            Some(address) => Some(listen("server.admin_listen", address).await?),
            None => None,
        };
        let grpc = local_address(&grpc_listener)?;
        let admin = admin_listener.as_ref().map(local_address).transpose()?;
        let callback_listener = Callback::listen(config).await?;
        let callback = callback_listener.as_ref().map(|listener| listener.address);

        let tls = config.server.tls.as_ref();
        let tls = tls
            .map(|tls| Acceptor::new(tls, Listener::Grpc))
            .transpose()?;
        let inbound = match &config.inbound {
            Some(inbound) => Some(InboundListener::open(inbound).await?),
            None => None,
        };

        let (health, health_service) = Health::new().await;
        let started = CancellationToken::new();
        let until_started = life.tracker().spawn({
            let (listener, grpc_listener) = share(grpc_listener)?;
            let (tls, service) = (tls.clone(), health_service.clone());
            let started = started.clone();
            async move {
                listener::serve_health(listener, tls, service, started).await;
                grpc_listener
            }
        });
        let gauges = AtScrape::default();
        if let Some(listener) = admin_listener {
            let (health, metrics, gauges) = (health.clone(), metrics.clone(), gauges.clone());
            let served = admin::serve(listener, health, metrics, gauges, life.end());
            #[expect(
                clippy::disallowed_methods,
                reason = "it tells of the drain to its end"
            )]
            tokio::spawn(async move {
                if let Err(error) = served.await {
                    error!(%error, "the admin listener failed");
                }
            });
        }

        let sealer = sealer(config).await?;
        let options = StoreOptions {
            max_connections: config.store.max_connections,
            ..StoreOptions::default()
        };
        let (url, lost) = (&config.store.url, config.keys.lost());
        let store = SqlStore::connect_without(url, sealer.clone(), lost, options).await?;
        let auditing = auditing(&config.audit, store.audit_log())?;
        let store = Arc::new(store.noting(auditing.audit));
        let unknown = store.unknown_keys().await?;
        known_or_lost(config, unknown.iter())?;
        let coordination = Coordination::start(config, &sealer)?;
        let broker = broker(config, &store, &coordination, &providers, grpc, &life);
        let replayed = broker.replay_escrow().await?;
        if replayed > 0 {
            info!(
                replayed,
                "stored what an earlier life had left in the journal"
            );
        }
        let tail = Tail::open(store.clone(), TailOptions::default()).await?;

        let consents = consents::consents(config, &store, &broker, &providers, &life)?;
        let refused = RefusedCallers::default();
        refused.set(store.refused_callers().await?);
        let gate = gate(config, &store, refused.clone())?;
        let serving = reload::Serving {
            callers: gate.callers().clone(),
            tls: tls.clone(),
            inbound_tls: inbound.as_ref().and_then(|inbound| inbound.tls().cloned()),
        };
        life.tracker()
            .spawn(Reload::new(config, serving)?.run(life.stop()));
        let killer = Killer::new(
            store.clone(),
            broker.clone(),
            refused,
            name::of(grpc),
            config.audit.flush,
            life.tracker().clone(),
            life.stop(),
        );
        let services = services(
            config, gate, &store, &providers, &consents, &tail, &killer, &life,
        );
        life.tracker().spawn(killer.run());
        let watches = services.watches.clone();
        let rights = watches.clone().follow_rights(life.stop());
        life.tracker().spawn(rights);
        let clients: Vec<_> = providers.clients().cloned().collect();
        gauges.begin(Here {
            broker: broker.clone(),
            clients: clients.clone(),
            tail: tail.clone(),
            redis: coordination.redis_up(),
        });
        let sampler = Sampler {
            broker: broker.clone(),
            clients,
            receivers: config
                .inbound
                .iter()
                .flat_map(|inbound| inbound.receivers.keys().cloned())
                .collect(),
            store: store.clone(),
            clock: Arc::new(SystemClock),
            metrics,
        };
        tasks::spawn(
            config,
            &store,
            &coordination,
            &broker,
            &tail,
            sampler,
            &life,
        );
        started.cancel();
        let grpc_listener = until_started.await.map_err(StartError::task)?;
        let grace = UNREAD.min(config.server.shutdown_timeout / 4);
        let stop = life.stop();
        life.tracker().spawn(listener::serve(
            grpc_listener,
            tls,
            health_service,
            services,
            grace,
            stop,
        ));
        if let Some(listener) = callback_listener {
            // A consent under way may wait for its provider, and its user sees what comes of it.
            listener.serve(consents, config.server.shutdown_timeout / 2, &life);
        }
        let inbound_address = match inbound {
            Some(inbound) => Some(inbound.serve(&broker, grace, &life)?),
            None => None,
        };
        store.ping().await?;
        health.tell(true).await;
        let watched = health.run(store.clone(), store.audit().clone(), life.stop());
        life.tracker().spawn(watched);

        Ok(Self {
            life,
            store,
            coordination,
            broker,
            watches,
            audit: auditing.writer,
            shutdown_timeout: config.server.shutdown_timeout,
            grpc,
            admin,
            callback,
            inbound: inbound_address,
        })
    }

    /// Where the gRPC listener listens.
    pub fn grpc(&self) -> SocketAddr {
        self.grpc
    }

    /// Where the HTTP listener for metrics and probes listens.
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Where the HTTP listener for users who come back from a provider listens.
    pub fn callback(&self) -> Option<SocketAddr> {
        self.callback
    }

    /// Where providers report by themselves.
    pub fn inbound(&self) -> Option<SocketAddr> {
        self.inbound
    }

    /// Ends what drains already: waits for streams and flights as long as the configuration allows, then
    /// closes Redis and the store. An error if not everything ended in time, or records of the audit trail were lost.
    pub async fn finish(self) -> Result<(), Unfinished> {
        let drained = self.life.drained(self.shutdown_timeout).await;
        if !drained {
            self.broker.give_up();
        }
        let (_, _, refreshes) = self.broker.sizes();
        let streams = self.watches.open_streams();
        self.coordination.close(LAST_NOTICES).await;
        let records = match self.audit {
            Some(writer) => writer.close().await,
            None => 0,
        };
        self.store.close().await;
        if drained && records == 0 {
            info!("everything ended in good order");
            return Ok(());
        }
        error!(
            refreshes,
            streams, records, "the shutdown left something behind"
        );
        Err(Unfinished {
            refreshes,
            streams,
            records,
        })
    }
}

fn size(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
