use std::collections::BTreeMap;
use std::time::Duration;

use evergrant_core::attempts::NoAttemptLog;
use evergrant_core::broker::Ask;
use evergrant_core::change::plan::CreateCredential;
use evergrant_core::clock::Clock as _;
use evergrant_core::events::tail::TailOptions;
use evergrant_core::grant::GrantType;
use evergrant_core::ids::{CredentialId, CredentialKey, ReplicaName, TenantId};
use evergrant_core::provider::{Limits, Renewal};
use evergrant_core::refresh::{self, Ports};
use evergrant_core::testing::clock::ManualClock;
use evergrant_core::testing::coordinator::MemoryCoordinator;
use evergrant_core::testing::provider::ScriptedProviders;
use evergrant_core::testing::sample;
use evergrant_core::testing::store::MemoryStore;
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;

/// A broker with a credential, which nobody has asked for.
async fn broker() -> (Arc<Broker>, Arc<MemoryStore>, CredentialKey) {
    let clock = ManualClock::new();
    let provider = ScriptedProviders::new(clock.clone());
    provider.set_profile(|profile| {
        profile.limits = Limits {
            concurrent: Some(8),
            per_minute: None,
        };
    });
    let store = Arc::new(MemoryStore::new(clock.clone()));
    let coordinator = MemoryCoordinator::new();
    let ports = Ports {
        store: store.clone(),
        locks: coordinator.clone(),
        escrow: coordinator.clone(),
        bus: coordinator,
        providers: provider.clone(),
        clock: clock.clone(),
        attempts: Arc::new(NoAttemptLog),
        replica: ReplicaName::parse("replica").unwrap(),
    };
    let limits = refresh::Limits {
        attempt_timeout: Duration::from_secs(1),
        store_timeout: Duration::from_secs(1),
        lease: Duration::from_secs(5),
        per_client: 64,
    };
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let broker = Arc::new(Broker::new(ports, limits, 10, &tasks, stop));
    let new = CreateCredential {
        key: CredentialKey {
            tenant: TenantId::parse("t").unwrap(),
            id: CredentialId::parse("c").unwrap(),
        },
        client: sample::client("acme"),
        grant_type: GrantType::AuthorizationCode,
        account: None,
        labels: BTreeMap::new(),
        tokens: provider.consent("family"),
        issued_at: clock.now(),
        renewal: Renewal::default(),
    };
    broker.registry().create_credential(&new).await.unwrap();
    (broker, store, new.key)
}

#[tokio::test(start_paused = true)]
async fn gauges_show_what_holds_when_somebody_looks() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _here = ::metrics::set_default_local_recorder(&recorder);
    let at_scrape = AtScrape::default();
    let look = || {
        at_scrape.show();
        let text = handle.render();
        let lines = text.lines().filter_map(|line| line.rsplit_once(' '));
        let pair = |(name, value): (&str, &str)| (name.to_owned(), value.parse().unwrap());
        let lines = lines.filter(|(name, _)| !name.starts_with('#'));
        lines.map(pair).collect::<BTreeMap<String, f64>>()
    };
    assert!(look().is_empty(), "there is nothing yet to be shown");

    let (broker, store, key) = broker().await;
    let (redis, up) = watch::channel(true);
    at_scrape.begin(Here {
        broker: broker.clone(),
        clients: vec![sample::client("acme")],
        tail: Tail::open(store, TailOptions::default()).await.unwrap(),
        redis: Some(up),
    });
    let live = "evergrant_cache_grants{state=\"live\"}";
    let of_client = |name: &str| format!("evergrant_{name}{{provider=\"acme\",client=\"main\"}}");
    let first = look();
    assert_eq!((first[live], first["evergrant_redis_up"]), (0.0, 1.0));
    assert_eq!(first["evergrant_stream_lag_seconds"], 0.0);
    assert_eq!(first["evergrant_flights"], 0.0);
    assert_eq!(first["evergrant_clients_rejected"], 0.0);
    assert_eq!(first[&of_client("client_breaker_state")], 0.0);
    assert_eq!(first[&of_client("client_throttled_seconds")], 0.0);
    let budget = ["budget_concurrent", "budget_in_use", "budget_waiting"];
    assert_eq!(budget.map(|name| first[&of_client(name)]), [8.0, 0.0, 0.0]);

    broker.get_token(&key, &Ask::default()).await.unwrap();
    redis.send(false).unwrap();
    tokio::time::advance(Duration::from_secs(3)).await;
    let then = look();
    assert_eq!((then[live], then["evergrant_redis_up"]), (1.0, 0.0));
    assert_eq!(then["evergrant_stream_lag_seconds"], 3.0);
}
