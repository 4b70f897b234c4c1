use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, advance};

use super::{MemoryStore, Op};
use crate::change::{ChangeSet, Scope, Write};
use crate::clock::{Clock, Timestamp};
use crate::ids::{ClientKey, ClientName, GrantId, ProviderName};
use crate::store::{ApplyError, Directory, EventLog, GrantStore, Store, StoreError};
use crate::testing::store_contract::StoreHarness;

/// Wall time that moves with tokio's.
struct PausedClock(Instant);

impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000).plus(self.0.elapsed())
    }
}

struct Harness(Arc<MemoryStore>);

async fn harness() -> Harness {
    let clock = PausedClock(Instant::now());
    Harness(Arc::new(MemoryStore::new(Arc::new(clock))))
}

#[async_trait]
impl StoreHarness for Harness {
    fn store(&self) -> Arc<dyn Store> {
        self.0.clone()
    }

    async fn pass(&self, duration: Duration) {
        advance(duration).await;
    }
}

crate::store_contract_tests!(
    #[tokio::test(start_paused = true)]
    harness()
);

fn client() -> ClientKey {
    ClientKey {
        provider: ProviderName::parse("slack").unwrap(),
        client: ClientName::parse("main").unwrap(),
    }
}

#[tokio::test]
async fn ordered_failures_strike_the_next_calls_of_that_operation() {
    let Harness(store) = harness().await;
    store.faults().fail_next(Op::Ping, 2);
    assert!(store.position().await.is_ok());
    assert!(matches!(
        store.ping().await,
        Err(StoreError::Unavailable(_))
    ));
    assert!(store.ping().await.is_err());
    assert!(store.ping().await.is_ok());
    assert_eq!(store.faults().calls(Op::Ping), 3);

    store.faults().set_down(true);
    assert!(store.position().await.is_err());
    store.faults().set_down(false);
    assert!(store.position().await.is_ok());
}

#[tokio::test]
async fn a_lost_answer_hides_a_change_that_took_place() {
    let Harness(store) = harness().await;
    let change = ChangeSet {
        revision: 0,
        writes: Vec::new(),
        events: Vec::new(),
    };
    store.faults().lose_next_answers(Op::Apply, 1);
    let applied = store.apply(&change).await;
    assert!(matches!(
        applied,
        Err(ApplyError::Store(StoreError::Unavailable(_)))
    ));
    let snapshot = store.snapshot(&Scope::Client(client())).await.unwrap();
    assert_eq!(snapshot.revision, 1);
    let touch = Write::TouchGrant(GrantId::random());
    let writes = vec![touch];
    let applied = store
        .apply(&ChangeSet {
            revision: 1,
            writes,
            ..change
        })
        .await;
    assert_eq!(applied, Err(ApplyError::Conflict));
}

#[tokio::test]
async fn a_held_call_waits_until_it_is_released() {
    let Harness(store) = harness().await;
    let held = store.faults().hold_next(Op::Grant);
    let id = GrantId::random();
    let mut call = Box::pin(store.grant(&id));
    tokio::select! {
        biased;
        _ = &mut call => panic!("it did not wait"),
        () = held.reached() => {}
    }
    held.release();
    assert_eq!(call.await.unwrap(), None);
}
