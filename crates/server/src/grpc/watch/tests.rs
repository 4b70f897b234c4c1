use std::collections::BTreeMap;

use evergrant_core::ageing::Dates;
use evergrant_core::change::{ChangeSet, NewGrant, Scope, Write};
use evergrant_core::clock::Timestamp;
use evergrant_core::events::tail::TailOptions;
use evergrant_core::events::{ClientRecovered, EventBody};
use evergrant_core::grant::{GrantType, Invalidation, InvalidationReason, Means, TokenSet};
use evergrant_core::ids::{
    ClientKey, ClientName, CredentialId, CredentialKey, Generation, GrantId, KillId, TenantId,
};
use evergrant_core::secret::AccessToken;
use evergrant_core::store::{Credential, Directory as _, EventLog as _};
use evergrant_core::testing::clock::ManualClock;
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
use crate::audit::Audit;
use crate::audit::queue::Queue;
use crate::grpc::caller::{Caller, CallerRule, Callers, Identity, San};
use crate::grpc::peer::{ClientCertificate, Peer};
use crate::grpc::record::Notes;
use crate::grpc::transport::{self, Leashes};
use crate::kill::RefusedCallers;

fn call() -> Call {
    Call::new("Watch", Caller::trusted(), None, None, Notes::default())
}

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

/// `ops` may watch these tenants.
fn watcher(tenants: &[&str], allow: Permission) -> CallerRule {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"ops");
    let tenants = tenants.iter().map(|name| TenantId::parse(name).unwrap());
    CallerRule {
        name: "ops".into(),
        identity: Identity::Token(digest.as_ref().try_into().unwrap()),
        tenants: Some(tenants.collect()),
        allow: vec![allow],
        rate: None,
    }
}

async fn watching_t1(watches: &Watches) -> Messages {
    let mut request = Request::new(v1::WatchRequest {
        tenant_id: "t1".into(),
        skip_snapshot: true,
        ..v1::WatchRequest::default()
    });
    let headers = request.metadata_mut();
    headers.insert("authorization", "Bearer ops".parse().unwrap());
    let mut messages = watches.watch(request).await.unwrap().into_inner();
    let greeting = next(&mut messages).await.unwrap();
    assert!(matches!(greeting.event, Some(Wire::Heartbeat(_))));
    messages
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_as_soon_as_its_caller_may_watch_no_more_and_not_before() {
    let may = || watcher(&["t1", "t2"], Permission::EventWatch);
    for (then, code) in [
        (
            vec![watcher(&["t2"], Permission::EventWatch)],
            Code::PermissionDenied,
        ),
        (
            vec![watcher(&["t1"], Permission::TokenGet)],
            Code::PermissionDenied,
        ),
        (Vec::new(), Code::Unauthenticated),
    ] {
        let callers = Callers::new(vec![may()], 1, Arc::new(Noon)).unwrap();
        let (watches, _) = standing_replica_for(callers.clone(), WatchLimits::default()).await;
        let mut messages = watching_t1(&watches).await;
        let began = tokio::time::Instant::now();
        callers
            .replace(vec![watcher(&["t1"], Permission::EventWatch)])
            .unwrap();
        let silence = tokio::time::timeout(Duration::from_secs(1), messages.next()).await;
        assert!(silence.is_err(), "it may still watch");
        callers.replace(then).unwrap();
        let end = next(&mut messages).await.unwrap_err();
        assert_eq!(end.code(), code);
        assert!(
            began.elapsed() < Duration::from_secs(2),
            "no heartbeat was waited for"
        );
        assert!(messages.next().await.is_none());
        drop(messages);
        assert_eq!(watches.open_streams(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_what_its_caller_showed() {
    let clock = ManualClock::new();
    let name = San::parse("ops.example.org").unwrap();
    let rule = CallerRule {
        identity: Identity::San(name.clone()),
        ..watcher(&["t1"], Permission::EventWatch)
    };
    let callers = Callers::new(vec![rule], 1, clock).unwrap();
    let (watches, _) = standing_replica_for(callers, WatchLimits::default()).await;
    let lifetime = Duration::from_secs(7);
    let certificate = ClientCertificate {
        names: vec![name],
        not_after: ManualClock::START.plus(lifetime),
    };
    let mut request = Request::new(v1::WatchRequest {
        tenant_id: "t1".into(),
        skip_snapshot: true,
        ..v1::WatchRequest::default()
    });
    request.extensions_mut().insert(Arc::new(Peer {
        address: ([192, 0, 2, 1], 4_711).into(),
        certificate: Some(certificate),
    }));
    let began = tokio::time::Instant::now();
    let mut messages = watches.watch(request).await.unwrap().into_inner();
    next(&mut messages).await.unwrap();
    let end = next(&mut messages).await.unwrap_err();
    assert_eq!(end.code(), Code::Unauthenticated);
    assert!(end.message().contains("has expired"), "{}", end.message());
    let lived = began.elapsed();
    assert!(
        lived >= lifetime && lived < lifetime + Duration::from_secs(1),
        "{lived:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_as_soon_as_its_caller_is_locked_out_and_not_of_another() {
    let callers = vec![watcher(&["t1"], Permission::EventWatch)];
    let callers = Callers::new(callers, 1, Arc::new(Noon)).unwrap();
    let refused = RefusedCallers::default();
    let gate = Gate::new(callers).refusing(refused.clone());
    let (watches, _) = standing_replica_at(gate, WatchLimits::default()).await;
    let mut messages = watching_t1(&watches).await;
    let kill = KillId::random();
    refused.set(vec![("other".into(), kill.clone())]);
    let silence = tokio::time::timeout(Duration::from_secs(1), messages.next()).await;
    assert!(silence.is_err(), "it may still watch");
    let began = tokio::time::Instant::now();
    refused.set(vec![("ops".into(), kill.clone())]);
    let end = next(&mut messages).await.unwrap_err();
    assert_eq!(end.code(), Code::PermissionDenied);
    let why = format!("caller ops was locked out by kill {kill}");
    assert_eq!(end.message(), why);
    assert!(began.elapsed() < Duration::from_secs(1));
    assert!(messages.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_on_record_with_the_reason_that_it_was_ended_with() {
    type End = fn(&Callers, &RefusedCallers);
    let ends: [(End, &str); 4] = [
        (
            |callers, _| {
                let now = vec![watcher(&["t1"], Permission::TokenGet)];
                callers.replace(now).unwrap();
            },
            "PERMISSION_DENIED",
        ),
        (
            |callers, _| callers.replace(Vec::new()).unwrap(),
            "UNAUTHENTICATED",
        ),
        (
            |_, refused| refused.set(vec![("ops".into(), KillId::random())]),
            "PERMISSION_DENIED",
        ),
        (|_, _| {}, "OK"),
    ];
    for (end, outcome) in ends {
        let rules = vec![watcher(&["t1"], Permission::EventWatch)];
        let callers = Callers::new(rules, 1, Arc::new(Noon)).unwrap();
        let refused = RefusedCallers::default();
        let queue = Arc::new(Queue::new(10));
        let (_, stored) = tokio::sync::watch::channel(0);
        let audit = Audit::new(queue.clone(), stored, false, Arc::new(Noon));
        let gate = Gate::new(callers.clone())
            .refusing(refused.clone())
            .noting(audit);
        let (watches, _) = standing_replica_at(gate, WatchLimits::default()).await;
        let mut messages = watching_t1(&watches).await;
        end(&callers, &refused);
        if outcome != "OK" {
            next(&mut messages).await.unwrap_err();
        }
        drop(messages);
        let (_, entries) = queue.take();
        let last = &entries.last().unwrap().act;
        assert_eq!((last.action, last.outcome), ("WatchEnded", outcome));
    }
}
