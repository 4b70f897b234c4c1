//! The contract of [`Bus`].

use std::time::Duration;

use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::time::{Instant, timeout};

use super::{PATIENCE, Pair};
use crate::coordinator::{Bus, Notice};
use crate::ids::{Generation, GrantId};

/// Makes a test of each claim about [`Bus`].
#[macro_export]
macro_rules! bus_contract {
    ($make:expr) => {
        mod bus_contract {
            use super::*;
            use $crate::testing::coordinator_contract::bus;

            #[tokio::test]
            async fn the_own_process_hears_at_once_and_in_order() {
                bus::the_own_process_hears_at_once_and_in_order($make.await).await;
            }

            #[tokio::test]
            async fn another_replica_hears() {
                bus::another_replica_hears($make.await).await;
            }

            #[tokio::test]
            async fn nobody_hears_what_was_told_before() {
                bus::nobody_hears_what_was_told_before($make.await).await;
            }

            #[tokio::test]
            async fn a_reader_that_lags_is_told_so() {
                bus::a_reader_that_lags_is_told_so($make.await).await;
            }
        }
    };
}

/// One notice of each kind.
fn notices() -> [Notice; 3] {
    let grant = GrantId::random();
    let generation = Generation(u64::MAX);
    [
        Notice::GrantChanged {
            grant: grant.clone(),
            generation,
            version: 3,
        },
        Notice::RefreshFailed { grant, generation },
        Notice::EventsAppended { head: 9 },
    ]
}

/// What is published is in the receiver when `publish` returns.
pub async fn the_own_process_hears_at_once_and_in_order(pair: Pair<dyn Bus>) {
    let mut receiver = pair.one.subscribe();
    let notices = notices();
    for notice in &notices {
        pair.one.publish(notice.clone()).await;
    }
    for notice in notices {
        assert_eq!(receiver.try_recv(), Ok(notice));
    }
}

/// Every kind of notice arrives elsewhere as it was told.
pub async fn another_replica_hears(pair: Pair<dyn Bus>) {
    let mut receiver = pair.other.subscribe();
    for notice in notices() {
        let begin = Instant::now();
        // A notice may be lost while a subscription is being made, so it is repeated.
        loop {
            pair.one.publish(notice.clone()).await;
            if hears(&mut receiver, &notice, Duration::from_millis(200)).await {
                break;
            }
            assert!(begin.elapsed() < PATIENCE, "{notice:?} never came");
        }
    }
}

/// A subscription begins when it is made.
pub async fn nobody_hears_what_was_told_before(pair: Pair<dyn Bus>) {
    pair.one.publish(Notice::EventsAppended { head: 1 }).await;
    let mut receiver = pair.one.subscribe();
    pair.one.publish(Notice::EventsAppended { head: 2 }).await;
    assert_eq!(receiver.try_recv(), Ok(Notice::EventsAppended { head: 2 }));
}

/// Whoever does not read misses the oldest, learns it, and hears the newest; the publisher never waits.
pub async fn a_reader_that_lags_is_told_so(pair: Pair<dyn Bus>) {
    const MANY: u64 = 10_000;
    let mut receiver = pair.one.subscribe();
    for head in 1..=MANY {
        pair.one.publish(Notice::EventsAppended { head }).await;
    }
    assert!(matches!(receiver.recv().await, Err(RecvError::Lagged(_))));
    let newest = Notice::EventsAppended { head: MANY };
    assert!(hears(&mut receiver, &newest, PATIENCE).await);
}

async fn hears(receiver: &mut Receiver<Notice>, notice: &Notice, patience: Duration) -> bool {
    timeout(patience, async {
        while receiver.recv().await.expect("no lag") != *notice {}
    })
    .await
    .is_ok()
}
