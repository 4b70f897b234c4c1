//! One replica of the service, from its configuration to its end.
//!
//! The order of a start: listeners, store, escrow and Redis, providers, broker; then what an earlier life left in the
//! journal is stored; then everything is served. The order of an end: NOT_SERVING, streams say Closing, flights
//! finish, Redis and the store are closed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use evergrant_core::broker::Broker;
use evergrant_core::clock::Clock;
use evergrant_core::coherence::Coherence;
use evergrant_core::coordinator::Bus;
use evergrant_core::events::tail::{Tail, TailOptions};
use evergrant_core::ids::ReplicaName;
use evergrant_core::refresh::{Limits, Ports};
use evergrant_core::schedule::{Pace, Scheduler};
use evergrant_core::store::Store;
use evergrant_providers::HttpProviders;
use metrics_exporter_prometheus::PrometheusHandle;
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::admin;
use crate::attempts::{self, AttemptQueue};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::config::keys::Keys;
use crate::consent::Consents;
use crate::grpc::caller::Callers;
use crate::grpc::credential::Credentials;
use crate::grpc::cursor::CursorCodec;
use crate::grpc::integration::Integrations;
use crate::grpc::listener::{self, Services};
use crate::grpc::provider::Providers;
use crate::grpc::token::Tokens;
use crate::grpc::transport::acceptor;
use crate::grpc::watch::{WatchLimits, Watches};
use crate::health::Health;
use crate::lifecycle::Lifecycle;
use crate::retention::{self, Retention};
use crate::seal::Sealer;
use crate::sight::Sampler;
use crate::store::{SqlStore, StoreOptions};

mod consents;
mod coordination;
mod error;
mod inbound;
mod name;
mod socket;

use consents::Callback;
use coordination::Coordination;
pub use error::StartError;
use inbound::InboundListener;
use socket::{listen, local_address, share};

/// Credentials that a replica remembers. An entry takes about a kilobyte.
const REMEMBERED: usize = 100_000;
/// How often to look for grants to renew.
const RENEW_EVERY: Duration = Duration::from_secs(1);
/// How often to look for grants that come near to their end.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(10);
/// What readers that take nothing get of a shutdown, at most.
const UNREAD: Duration = Duration::from_secs(5);
/// What Redis gets to send its last notices.
const LAST_NOTICES: Duration = Duration::from_secs(2);

/// What a shutdown left behind when its time was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not everything ended in time: {refreshes} refreshes and {streams} streams were left")]
pub struct Unfinished {
    /// Refreshes that had begun. A token set that they got is in escrow, where there is one.
    pub refreshes: usize,
    /// Event streams.
    pub streams: usize,
}

/// A replica that serves.
#[derive(Debug)]
pub struct Replica {
    life: Lifecycle,
    store: Arc<SqlStore>,
    coordination: Coordination,
    broker: Arc<Broker>,
    watches: Watches,
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
        let tls = tls.map(|tls| acceptor(tls, "h2")).transpose()?;
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
        if let Some(listener) = admin_listener {
            let served = admin::serve(listener, health.clone(), metrics.clone(), life.end());
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
        let store = Arc::new(store);
        let unknown = store.unknown_keys().await?;
        known_or_lost(config, unknown.iter())?;
        let coordination = Coordination::start(config, &sealer)?;
        let providers = Arc::new(http_providers(config)?);
        let (attempts, writer) = attempts::queue();
        let name = name::of(grpc);
        info!(replica = %name, "this replica is named in leases and attempts");
        let witness = Witness { name, attempts };
        let broker = broker(config, &store, &coordination, &providers, witness, &life);
        life.tracker().spawn(writer.run(store.clone(), life.stop()));
        let replayed = broker.replay_escrow().await?;
        if replayed > 0 {
            info!(
                replayed,
                "stored what an earlier life had left in the journal"
            );
        }
        let tail = Tail::open(store.clone(), TailOptions::default()).await?;

        let consents = consents::consents(config, &store, &broker, &providers, &life)?;
        let services = services(config, &store, &broker, &providers, &consents, &tail, &life);
        let watches = services.watches.clone();
        let sampler = Sampler {
            broker: broker.clone(),
            clients: providers.clients().cloned().collect(),
            store: store.clone(),
            tail: tail.clone(),
            clock: Arc::new(SystemClock),
            metrics,
            redis: coordination.redis_up(),
        };
        spawn_tasks(
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
            listener.serve(consents, &life);
        }
        let inbound_address = match inbound {
            Some(inbound) => Some(inbound.serve(&broker, grace, &life)?),
            None => None,
        };
        store.ping().await?;
        health.tell(true).await;
        life.tracker().spawn(health.run(store.clone(), life.stop()));

        Ok(Self {
            life,
            store,
            coordination,
            broker,
            watches,
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
    /// closes Redis and the store. An error if not everything ended in time.
    pub async fn finish(self) -> Result<(), Unfinished> {
        let drained = self.life.drained(self.shutdown_timeout).await;
        if !drained {
            self.broker.give_up();
        }
        let (_, _, refreshes) = self.broker.sizes();
        let left = Unfinished {
            refreshes,
            streams: self.watches.open_streams(),
        };
        self.coordination.close(LAST_NOTICES).await;
        self.store.close().await;
        if drained {
            info!("everything ended in good order");
            return Ok(());
        }
        let Unfinished { refreshes, streams } = left;
        error!(refreshes, streams, "the shutdown left something behind");
        Err(left)
    }
}

/// The sealing keys. A key file is made for a store in which nothing is sealed yet, and for no other.
async fn sealer(config: &Config) -> Result<Sealer, StartError> {
    if let Keys::File { path, .. } = &config.keys
        && !path.exists()
        && let Some(id) = SqlStore::sealed_by(&config.store.url).await?
        && !config.keys.lost().contains(&id)
    {
        let path = path.clone();
        return Err(StartError::MissingKeyFile { path, id });
    }
    let (active, keys) = config.sealing_keys()?;
    Ok(Sealer::new(&active, keys)?)
}

/// What an unknown key sealed would fail one caller after the other, so it stops the start.
fn known_or_lost<'a>(
    config: &Config,
    unknown: impl IntoIterator<Item = &'a String>,
) -> Result<(), StartError> {
    let lost = config.keys.lost();
    match unknown.into_iter().find(|id| !lost.contains(id)) {
        Some(id) => Err(StartError::MissingKey(id.clone())),
        None => Ok(()),
    }
}

fn http_providers(config: &Config) -> Result<HttpProviders, StartError> {
    let catalogue = Arc::new(config.catalogue()?);
    let clock = Arc::new(SystemClock);
    Ok(HttpProviders::new(
        catalogue,
        config.oauth_clients(),
        clock,
    )?)
}

/// Who a replica is to those who ask what became of a refresh.
struct Witness {
    name: ReplicaName,
    attempts: AttemptQueue,
}

fn broker(
    config: &Config,
    store: &Arc<SqlStore>,
    coordination: &Coordination,
    providers: &Arc<HttpProviders>,
    witness: Witness,
    life: &Lifecycle,
) -> Arc<Broker> {
    let refresh = &config.refresh;
    let ports = Ports {
        store: store.clone(),
        locks: coordination.locks.clone(),
        escrow: coordination.escrow.clone(),
        bus: coordination.bus.clone(),
        providers: providers.clone(),
        clock: Arc::new(SystemClock),
        attempts: Arc::new(witness.attempts),
        replica: witness.name,
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

fn services(
    config: &Config,
    store: &Arc<SqlStore>,
    broker: &Arc<Broker>,
    providers: &Arc<HttpProviders>,
    consents: &Consents,
    tail: &Arc<Tail>,
    life: &Lifecycle,
) -> Services {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store_port: Arc<dyn Store> = store.clone();
    let events = &config.events;
    let callers = Callers::new(config.callers.clone(), size(events.max_streams_per_caller));
    let limits = WatchLimits {
        streams: size(events.max_streams),
        snapshots: size(events.max_snapshots),
        heartbeat: events.heartbeat,
        max_age: events.stream_lifetime,
        ..WatchLimits::default()
    };
    Services {
        tokens: Tokens::new(broker.clone(), callers.clone(), clock.clone()),
        watches: Watches::new(
            tail.clone(),
            store_port.clone(),
            clock.clone(),
            callers.clone(),
            CursorCodec::new(store.cursor_key()),
            limits,
            life.stop(),
        ),
        credentials: Credentials::new(
            broker.registry(),
            broker.revoker(),
            store_port.clone(),
            providers.clone(),
            consents.clone(),
            callers.clone(),
            clock.clone(),
        ),
        integrations: Integrations::new(broker.registry(), store_port.clone(), callers.clone()),
        providers: Providers::new(
            broker.clone(),
            store_port,
            providers.clone(),
            callers,
            clock,
        ),
    }
}

fn spawn_tasks(
    config: &Config,
    store: &Arc<SqlStore>,
    coordination: &Coordination,
    broker: &Arc<Broker>,
    tail: &Arc<Tail>,
    sampler: Sampler,
    life: &Lifecycle,
) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let tasks = life.tracker();
    let retention = Retention {
        events: config.events.retention,
        orphans: config.store.orphan_retention,
    };
    tasks.spawn(retention::run(store.clone(), retention, life.stop()));
    tasks.spawn(retention::of_authorizations(store.clone(), life.stop()));

    let store: Arc<dyn Store> = store.clone();
    let bus: Arc<dyn Bus> = coordination.bus.clone();

    let coherence = Coherence::new(broker.clone(), store.clone(), bus.clone());
    tasks.spawn(coherence.run(life.stop()));

    let notices = bus.subscribe();
    let (follower, observer, stop) = (tail.clone(), broker.clone(), life.stop());
    tasks.spawn(async move {
        follower
            .run(notices, |event| observer.observe(event), stop)
            .await;
    });

    let pace = Pace {
        interval: RENEW_EVERY,
        concurrency: size(config.refresh.concurrency),
        per_client: config.refresh.per_provider,
    };
    let scheduler = Scheduler::new(broker.clone(), store, clock, pace, tasks.clone());
    tasks.spawn(scheduler.run(life.stop()));

    tasks.spawn(broker.announcer(ANNOUNCE_EVERY).run(life.stop()));

    tasks.spawn(sampler.run(life.stop()));
}

fn size(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
