use std::collections::BTreeMap;

use evergrant_core::ageing::Dates;
use evergrant_core::change::{ChangeSet, NewGrant, Scope, Write};
use evergrant_core::clock::Timestamp;
use evergrant_core::events::tail::TailOptions;
use evergrant_core::events::{ClientRecovered, EventBody};
use evergrant_core::grant::{GrantType, Invalidation, InvalidationReason, Means, TokenSet};
use evergrant_core::ids::{
    ClientKey, ClientName, CredentialId, CredentialKey, Generation, GrantId, TenantId,
};
use evergrant_core::secret::AccessToken;
use evergrant_core::store::{Credential, Directory as _, EventLog as _};
use evergrant_core::testing::store::{MemoryStore, Op};
use evergrant_proto::encoded::event::event_service_server::EventServiceServer;
use futures_util::StreamExt as _;
use prost::Message as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;
use tonic::Code;
use tonic::service::Routes;
use v1::watch_response::Event as Wire;

use super::*;
use crate::grpc::caller::{Caller, Callers};
use crate::grpc::record::Notes;
use crate::grpc::transport::{self, Leashes};

mod requests;
mod rights;

fn call() -> Call {
    Call::new("Watch", Caller::trusted(), None, None, Notes::default())
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
    standing_replica_with(WatchLimits::default()).await
}

async fn standing_replica_with(limits: WatchLimits) -> (Watches, Arc<MemoryStore>) {
    let callers = Callers::new(Vec::new(), 1, Arc::new(Noon)).unwrap();
    standing_replica_for(callers, limits).await
}

async fn standing_replica_for(
    callers: Callers,
    limits: WatchLimits,
) -> (Watches, Arc<MemoryStore>) {
    standing_replica_at(Gate::new(callers), limits).await
}

async fn standing_replica_at(gate: Gate, limits: WatchLimits) -> (Watches, Arc<MemoryStore>) {
    let store = Arc::new(MemoryStore::new(Arc::new(Noon)));
    let tail = Tail::open(store.clone(), TailOptions::default()).await;
    let watches = Watches::new(
        tail.unwrap(),
        store.clone(),
        Arc::new(Noon),
        gate,
        CursorCodec::new(&[7; 32]),
        limits,
        CancellationToken::new(),
    );
    let following = watches.clone().follow_rights(CancellationToken::new());
    TaskTracker::new().spawn(following);
    (watches, store)
}

/// `names` with a dead grant each.
async fn add_dead(store: &MemoryStore, names: &[&str]) {
    let tenant = TenantId::parse("t1").unwrap();
    let at = Noon.now();
    for name in names {
        let id = GrantId::random();
        let grant = NewGrant {
            id: id.clone(),
            tenant: tenant.clone(),
            client: client(),
            account: None,
            grant_type: GrantType::AuthorizationCode,
            parent: None,
            generation: Generation::FIRST,
            tokens: TokenSet {
                access_token: AccessToken::new("a".into()),
                token_type: "Bearer".into(),
                expires_at: None,
                refresh_token: None,
                refresh_expires_at: None,
                scopes: Vec::new(),
                metadata: BTreeMap::new(),
                means: Means::default(),
                minted_by: None,
            },
            issued_at: at,
            dates: Dates::default(),
        };
        let credential = Credential {
            key: CredentialKey {
                tenant: tenant.clone(),
                id: CredentialId::parse(name).unwrap(),
            },
            grant: id.clone(),
            labels: BTreeMap::new(),
            created_at: at,
            version: 1,
        };
        write(
            store,
            vec![
                Write::InsertGrant(Box::new(grant)),
                Write::InsertCredential(credential),
            ],
        )
        .await;
        let invalidation = Invalidation {
            reason: InvalidationReason::GrantRevoked,
            provider_error: String::new(),
            message: String::new(),
            at,
            reported: false,
        };
        write(
            store,
            vec![Write::InvalidateGrant {
                grant: id,
                generation: Generation::FIRST,
                epoch: None,
                invalidation,
            }],
        )
        .await;
    }
}

async fn write(store: &MemoryStore, writes: Vec<Write>) {
    let snapshot = store.snapshot(&Scope::Client(client())).await;
    let change = ChangeSet {
        revision: snapshot.unwrap().revision,
        writes,
        events: Vec::new(),
    };
    store.apply(&change).await.unwrap();
}

fn client() -> ClientKey {
    ClientKey {
        provider: ProviderName::parse("slack").unwrap(),
        client: ClientName::parse("main").unwrap(),
    }
}

async fn append_event(store: &MemoryStore) {
    let client = client();
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
        after: watches.shared.deliveries.cursors().encode(&cursor),
        ..v1::WatchRequest::default()
    };
    let opened = watches.open(&call(), request).await;
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

type Messages = Pin<Box<dyn Stream<Item = Result<Encoded, Status>> + Send>>;

async fn watch(watches: &Watches, skip_snapshot: bool) -> Messages {
    let request = v1::WatchRequest {
        tenant_id: "*".into(),
        skip_snapshot,
        ..v1::WatchRequest::default()
    };
    let stream = watches.open(&call(), request).await.unwrap();
    Box::pin(stream.into_stream())
}

async fn next(messages: &mut Messages) -> Result<v1::WatchResponse, Status> {
    let Encoded { shared, own } = messages.next().await.expect("it goes on")?;
    Ok(v1::WatchResponse::decode([&shared[..], &own].concat().as_slice()).unwrap())
}

/// A watcher that has taken the first of two messages of its snapshot.
async fn in_the_snapshot(watches: &Watches, store: &MemoryStore) -> Messages {
    add_dead(store, &["a", "b"]).await;
    let mut messages = watch(watches, false).await;
    let first = next(&mut messages).await.unwrap();
    assert!(matches!(first.event, Some(Wire::CredentialInvalidated(_))));
    messages
}

async fn assert_closing_without_a_cursor(mut messages: Messages, code: Code, reason: &str) {
    let closing = next(&mut messages).await.unwrap();
    let said = matches!(&closing.event, Some(Wire::Closing(closing)) if closing.reason == reason);
    assert!(said, "{closing:?}");
    assert_eq!(closing.cursor, "", "the snapshot is not over");
    assert_eq!(next(&mut messages).await.unwrap_err().code(), code);
    assert!(messages.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_of_a_snapshot_is_told_before_it_is_sent_away() {
    let (watches, store) = standing_replica().await;
    let messages = in_the_snapshot(&watches, &store).await;
    tokio::time::advance(Duration::from_secs(121)).await;
    assert_closing_without_a_cursor(messages, Code::Aborted, "SLOW_CONSUMER").await;
}

#[tokio::test(start_paused = true)]
async fn a_reader_of_a_snapshot_is_told_of_a_shutdown() {
    let (watches, store) = standing_replica().await;
    let messages = in_the_snapshot(&watches, &store).await;
    watches.shared.stop.cancel();
    assert_closing_without_a_cursor(messages, Code::Unavailable, "SHUTTING_DOWN").await;
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_does_not_read_the_log_greets_nobody() {
    let (watches, _store) = standing_replica().await;
    let greeting = next(&mut watch(&watches, true).await).await.unwrap();
    assert!(matches!(greeting.event, Some(Wire::Heartbeat(_))));
    tokio::time::advance(Duration::from_secs(11)).await;
    let mut messages = watch(&watches, true).await;
    let first = next(&mut messages).await.unwrap();
    let Some(Wire::Closing(closing)) = first.event else {
        panic!("{first:?}");
    };
    assert_eq!(closing.reason, "EVENT_LOG_UNREACHABLE");
}

#[tokio::test(start_paused = true)]
async fn who_was_not_greeted_has_a_heartbeat_once_the_log_is_read_again() {
    let (watches, _store) = standing_replica().await;
    tokio::time::advance(Duration::from_secs(11)).await;
    let mut messages = watch(&watches, true).await;
    let tail = Arc::clone(&watches.shared.tail);
    let (_notices, notices) = tokio::sync::broadcast::channel(1);
    let stop = CancellationToken::new();
    let reading = tail.run(notices, |_| {}, stop.clone());
    let before = tokio::time::Instant::now();
    let first = tokio::select! {
        first = next(&mut messages) => first.unwrap(),
        () = reading => panic!("it goes on"),
    };
    assert!(matches!(first.event, Some(Wire::Heartbeat(_))), "{first:?}");
    assert!(before.elapsed() <= Duration::from_secs(1));
}

#[tokio::test]
async fn a_watcher_that_reads_nothing_and_answers_pings_loses_its_place() {
    let limits = WatchLimits {
        cut_after: Duration::from_millis(50),
        ..WatchLimits::default()
    };
    let (watches, _store) = standing_replica_with(limits).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = Routes::new(EventServiceServer::new(watches.clone()));
    let leashes = Leashes {
        look: Duration::from_millis(20),
        grace: Duration::from_millis(100),
    };
    let tasks = TaskTracker::new();
    let stop = CancellationToken::new();
    tasks.spawn(transport::serve(listener, None, routes, leashes, stop));

    let socket = TcpStream::connect(address).await.unwrap();
    let client = h2::client::Builder::new()
        .initial_window_size(0)
        .handshake::<_, bytes::Bytes>(socket);
    let (client, connection) = client.await.unwrap();
    tasks.spawn(async {
        let _ended = connection.await;
    });
    let request = http::Request::post("http://server.test/evergrant.v1.EventService/Watch")
        .header("content-type", "application/grpc");
    let mut client = client.ready().await.unwrap();
    let request = request.body(()).unwrap();
    let (answer, mut body) = client.send_request(request, false).unwrap();
    body.send_data(bytes::Bytes::from_static(&[0; 5]), true)
        .unwrap();
    let mut answer = answer.await.unwrap().into_body();
    assert_eq!(watches.open_streams(), 1);
    let reset = tokio::time::timeout(Duration::from_secs(10), answer.data()).await;
    let error = reset.expect("it is reset").unwrap().unwrap_err();
    assert_eq!(error.reason(), Some(h2::Reason::CANCEL));
    assert_eq!(watches.open_streams(), 0);
}
