//! What a replica does all the time, whoever asks: it renews, follows the events, cleans up, and looks at itself.

use std::sync::Arc;
use std::time::Duration;

use evergrant_core::broker::Broker;
use evergrant_core::clock::Clock;
use evergrant_core::coherence::Coherence;
use evergrant_core::coordinator::Bus;
use evergrant_core::events::tail::Tail;
use evergrant_core::probe::Prober;
use evergrant_core::schedule::{Pace, Scheduler};
use evergrant_core::store::Store;

use crate::clock::SystemClock;
use crate::config::Config;
use crate::lifecycle::Lifecycle;
use crate::retention::{self, Retention};
use crate::sight::Sampler;
use crate::store::SqlStore;

use super::coordination::Coordination;
use super::size;

/// How often to look for grants to renew.
const RENEW_EVERY: Duration = Duration::from_secs(1);
/// How often to look for rejected clients whose next probe is due.
const LOOK_FOR_PROBES_EVERY: Duration = Duration::from_secs(1);
/// How often to look for grants that come near to their end.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(10);

pub(super) fn spawn(
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
    tasks.spawn(retention::of_kills(store.clone(), life.stop()));
    let log = store.audit_log().clone();
    let retention = config.audit.retention;
    tasks.spawn(retention::of_audit(log, retention, life.stop()));

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

    let prober = Prober::new(broker.clone(), LOOK_FOR_PROBES_EVERY, tasks.clone());
    tasks.spawn(prober.run(life.stop()));

    tasks.spawn(broker.announcer(ANNOUNCE_EVERY).run(life.stop()));

    tasks.spawn(sampler.run(life.stop()));
}
