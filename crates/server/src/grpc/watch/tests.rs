use evergrant_core::change::{ChangeSet, Scope};
use evergrant_core::clock::Timestamp;
use evergrant_core::events::tail::TailOptions;
use evergrant_core::events::{ClientRecovered, EventBody};
use evergrant_core::ids::{ClientKey, ClientName};
use evergrant_core::store::{Directory as _, EventLog as _};
use evergrant_core::testing::store::{MemoryStore, Op};

use super::*;

#[test]
fn a_malformed_filter_names_its_field() {
    let bad = [
        (
            "tenant_id",
            v1::WatchRequest {
                tenant_id: "a b".into(),
                ..Default::default()
            },
        ),
        (
            "credential_id",
            v1::WatchRequest {
                credential_ids: vec![String::new()],
                ..Default::default()
            },
        ),
        (
            "providers",
            v1::WatchRequest {
                providers: vec!["a/b".into()],
                ..Default::default()
            },
        ),
        (
            "types",
            v1::WatchRequest {
                types: vec![0],
                ..Default::default()
            },
        ),
        (
            "types",
            v1::WatchRequest {
                types: vec![99],
                ..Default::default()
            },
        ),
        (
            "heartbeat_interval",
            v1::WatchRequest {
                heartbeat_interval: Some(prost_types::Duration {
                    seconds: 301,
                    nanos: 0,
                }),
                ..Default::default()
            },
        ),
    ];
    for (field, request) in bad {
        let error = parse(request, Duration::from_secs(15)).err().unwrap();
        assert!(
            error.message().starts_with(field),
            "{field}: {}",
            error.message()
        );
    }
}

#[test]
fn a_star_means_all_tenants_and_nothing_the_default_one() {
    let all = v1::WatchRequest {
        tenant_id: "*".into(),
        ..Default::default()
    };
    assert_eq!(
        parse(all, Duration::from_secs(15)).unwrap().filter.tenant,
        None
    );
    let default = parse(v1::WatchRequest::default(), Duration::from_secs(15))
        .unwrap()
        .filter
        .tenant
        .unwrap();
    assert_eq!(default.as_str(), "default");
}

#[derive(Debug)]
struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000)
    }
}

/// A replica whose tail was opened and reads no further, and its store.
async fn standing_replica() -> (Watches, Arc<MemoryStore>) {
    let store = Arc::new(MemoryStore::new(Arc::new(Noon)));
    let tail = Tail::open(store.clone(), TailOptions::default()).await;
    let watches = Watches::new(
        tail.unwrap(),
        store.clone(),
        Arc::new(Noon),
        Callers::default(),
        CursorCodec::new(&[7; 32]),
        WatchLimits::default(),
        CancellationToken::new(),
    );
    (watches, store)
}

async fn append_event(store: &MemoryStore) {
    let client = ClientKey {
        provider: ProviderName::parse("slack").unwrap(),
        client: ClientName::parse("main").unwrap(),
    };
    let snapshot = store.snapshot(&Scope::Client(client.clone())).await;
    let change = ChangeSet {
        revision: snapshot.unwrap().revision,
        writes: Vec::new(),
        events: vec![EventBody::ClientRecovered(ClientRecovered { client })],
    };
    store.apply(&change).await.unwrap();
}

async fn go_on_after(watches: &Watches, store: &MemoryStore, seq: u64) -> Result<(), ErrorReason> {
    let cursor = Cursor {
        epoch: epoch_hash(&store.position().await.unwrap().epoch),
        seq,
        filter: Filter::default().fingerprint(),
        issued_at: Noon.now(),
    };
    let request = v1::WatchRequest {
        tenant_id: "*".into(),
        after: watches.shared.cursors.encode(&cursor),
        ..v1::WatchRequest::default()
    };
    let opened = watches.open(Request::new(request)).await;
    opened.map(drop).map_err(|error| error.reason())
}

#[tokio::test]
async fn a_cursor_ahead_of_the_log_is_of_a_life_that_a_restore_took_back() {
    let (watches, store) = standing_replica().await;
    let refused = go_on_after(&watches, &store, 1).await;
    assert_eq!(refused, Err(ErrorReason::CursorEpochMismatch));
}

#[tokio::test]
async fn a_cursor_of_a_replica_that_has_read_further_is_good() {
    let (watches, store) = standing_replica().await;
    append_event(&store).await;
    assert_eq!(watches.shared.tail.head().borrow().seq, 0, "it stands");
    assert_eq!(go_on_after(&watches, &store, 1).await, Ok(()));
    let refused = go_on_after(&watches, &store, 2).await;
    assert_eq!(refused, Err(ErrorReason::CursorEpochMismatch));
}

#[tokio::test]
async fn a_cursor_ahead_of_this_replica_is_not_judged_without_the_store() {
    let (watches, store) = standing_replica().await;
    append_event(&store).await;
    let position = store.position().await.unwrap();
    assert_eq!(position.head, 1);
    let cursor = Cursor {
        epoch: epoch_hash(&position.epoch),
        seq: 1,
        filter: Filter::default().fingerprint(),
        issued_at: Noon.now(),
    };
    store.faults().fail_next(Op::Position, 1);
    let refused = watches.confirm(&cursor).await.unwrap_err();
    assert_eq!(refused.reason(), ErrorReason::StoreUnavailable);
}
