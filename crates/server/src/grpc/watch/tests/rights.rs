use evergrant_core::ids::KillId;
use evergrant_core::testing::clock::ManualClock;

use super::*;
use crate::audit::Audit;
use crate::audit::queue::Queue;
use crate::grpc::caller::{CallerRule, Identity, San};
use crate::grpc::peer::{ClientCertificate, Peer};
use crate::kill::RefusedCallers;

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
