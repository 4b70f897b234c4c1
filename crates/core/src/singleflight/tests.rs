use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Barrier, oneshot};
use tokio_util::task::TaskTracker;

use super::*;

fn flights() -> Flights<&'static str, Result<u32, &'static str>> {
    Flights::new(TaskTracker::new())
}

/// Starts or joins a flight that lands when `gate` fires.
fn gated(
    flights: &Flights<&'static str, Result<u32, &'static str>>,
    runs: &Arc<AtomicUsize>,
    outcome: Result<u32, &'static str>,
) -> (
    Flight<Result<u32, &'static str>>,
    Option<oneshot::Sender<()>>,
) {
    let (open, gate) = oneshot::channel();
    let runs = Arc::clone(runs);
    let flight = flights.join("k", Span::none, move |landing| async move {
        runs.fetch_add(1, Ordering::SeqCst);
        let _ = gate.await;
        landing.land(outcome);
    });
    let open = (!flight.joined()).then_some(open);
    (flight, open)
}

// A1, A2, C32
#[tokio::test]
async fn callers_that_race_on_a_key_share_one_run_and_its_value() {
    let (flights, runs) = (flights(), Arc::new(AtomicUsize::new(0)));
    let (first, open) = gated(&flights, &runs, Ok(7));
    let joiners: Vec<_> = (0..49).map(|_| gated(&flights, &runs, Ok(8)).0).collect();
    assert!(joiners.iter().all(Flight::joined));
    open.unwrap().send(()).unwrap();
    assert_eq!(first.outcome().await, Ok(Ok(7)));
    for joiner in joiners {
        assert_eq!(joiner.outcome().await, Ok(Ok(7)));
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

// A3, A4, B25, B26
#[tokio::test]
async fn after_success_and_after_failure_the_next_call_runs_again() {
    let (flights, runs) = (flights(), Arc::new(AtomicUsize::new(0)));
    for (round, outcome) in [Ok(1), Err("boom"), Ok(2)].into_iter().enumerate() {
        let (flight, open) = gated(&flights, &runs, outcome);
        let (joiner, _) = gated(&flights, &runs, Ok(99));
        open.unwrap().send(()).unwrap();
        assert_eq!(flight.outcome().await, Ok(outcome));
        assert_eq!(
            joiner.outcome().await,
            Ok(outcome),
            "a failure is shared too"
        );
        assert!(flights.is_empty());
        assert_eq!(runs.load(Ordering::SeqCst), round + 1);
    }
}

// A5, B28, C33
#[tokio::test]
async fn distinct_keys_do_not_share_a_flight() {
    let flights = flights();
    let a = flights.join("a", Span::none, |landing| async { landing.land(Ok(1)) });
    let b = flights.join("b", Span::none, |landing| async { landing.land(Ok(2)) });
    assert!(!a.joined() && !b.joined());
    assert_eq!(a.outcome().await, Ok(Ok(1)));
    assert_eq!(b.outcome().await, Ok(Ok(2)));
}

// A6
#[tokio::test]
async fn a_panic_reaches_every_waiter_and_frees_the_key() {
    let flights = flights();
    let flight = flights.join("k", Span::none, |landing| async move {
        let _landing = landing;
        panic!("deliberate");
    });
    assert_eq!(flight.outcome().await, Err(FlightLost));
    let next = flights.join("k", Span::none, |landing| async { landing.land(Ok(1)) });
    assert!(!next.joined());
    assert_eq!(next.outcome().await, Ok(Ok(1)));
}

// A8
#[tokio::test]
async fn a_late_end_does_not_evict_a_successor() {
    let flights = flights();
    let (send, receive) = oneshot::channel();
    let first = flights.join("k", Span::none, |landing| async move {
        let _ = send.send(landing);
    });
    let late = receive.await.unwrap();
    // The entry is taken away as `land` does it, and a successor takes off under the same key.
    flights.shared.lock().remove("k");
    let (_open, gate) = oneshot::channel::<()>();
    let successor = flights.join("k", Span::none, |landing| async move {
        let _ = gate.await;
        landing.land(Ok(2));
    });
    assert!(!successor.joined());
    late.land(Ok(1));
    assert_eq!(first.outcome().await, Ok(Ok(1)));
    let joiner = flights.join("k", Span::none, |landing| async { landing.land(Ok(3)) });
    assert!(joiner.joined(), "the successor still flies");
}

// L2, W69
#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_changes_nothing() {
    let (flights, runs) = (flights(), Arc::new(AtomicUsize::new(0)));
    let (first, open) = gated(&flights, &runs, Ok(7));
    let (second, _) = gated(&flights, &runs, Ok(8));
    assert!(
        tokio::time::timeout(Duration::from_millis(50), first.outcome())
            .await
            .is_err()
    );
    drop(first);
    open.unwrap().send(()).unwrap();
    assert_eq!(second.outcome().await, Ok(Ok(7)));
}

#[tokio::test]
async fn an_announced_outcome_serves_callers_while_the_work_goes_on() {
    let flights = flights();
    let (open, gate) = oneshot::channel::<()>();
    let first = flights.join("k", Span::none, |landing| async move {
        landing.announce(Ok(1));
        let _ = gate.await;
        landing.land(Ok(2));
    });
    assert_eq!(first.outcome().await, Ok(Ok(1)));
    let joiner = flights.join("k", Span::none, |landing| async { landing.land(Ok(3)) });
    assert!(joiner.joined());
    assert_eq!(joiner.outcome().await, Ok(Ok(1)));
    open.send(()).unwrap();
    flights.shared.tracker.close();
    flights.shared.tracker.wait().await;
    assert!(flights.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_woken_waiter_that_asks_again_never_finds_the_flight_that_woke_it() {
    let flights: Flights<&'static str, usize> = Flights::new(TaskTracker::new());
    let runs = Arc::new(AtomicUsize::new(0));
    for _ in 0..200 {
        let barrier = Arc::new(Barrier::new(4));
        let callers: Vec<_> = (0..4)
            .map(|_| {
                let (flights, runs, barrier) =
                    (flights.clone(), Arc::clone(&runs), Arc::clone(&barrier));
                let tracker = flights.shared.tracker.clone();
                tracker.spawn(async move {
                    barrier.wait().await;
                    let mut last = 0;
                    for _ in 0..3 {
                        let runs = Arc::clone(&runs);
                        let flight = flights.join("k", Span::none, |landing| async move {
                            landing.land(runs.fetch_add(1, Ordering::SeqCst) + 1);
                        });
                        let now = flight.outcome().await.unwrap();
                        assert!(now > last, "an outcome was seen twice in a row");
                        last = now;
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_flight_that_told_its_outcome_has_landed_only_when_its_work_is_done() {
    let flights = flights();
    let (open, gate) = oneshot::channel::<()>();
    let flight = flights.join("k", Span::none, |landing| async move {
        landing.announce(Ok(1));
        let _ = gate.await;
    });
    assert_eq!(flight.outcome().await, Ok(Ok(1)));
    let soon = Duration::from_secs(1);
    assert!(tokio::time::timeout(soon, flight.landed()).await.is_err());
    assert!(flights.join("k", Span::none, |_| async {}).joined());
    open.send(()).unwrap();
    flight.landed().await;
    assert!(!flights.join("k", Span::none, |_| async {}).joined());
}
