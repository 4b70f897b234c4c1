//! Notices over Redis.

use evergrant_core::coordinator::{Bus, Notice};
use tokio::sync::broadcast::Receiver;
use tokio::time::timeout;

use crate::{PATIENCE, two_replicas};

async fn next(receiver: &mut Receiver<Notice>) -> Notice {
    let notice = timeout(PATIENCE, receiver.recv()).await;
    notice.expect("it comes in time").expect("no lag")
}

fn head(head: u64) -> Notice {
    Notice::EventsAppended { head }
}

#[tokio::test]
async fn nobody_hears_a_notice_twice() {
    let (_server, one, other) = two_replicas().await;
    let (mut at_one, mut at_other) = (one.subscribe(), other.subscribe());
    for n in 0..100 {
        one.publish(head(n)).await;
    }
    for n in 0..100 {
        assert_eq!(next(&mut at_one).await, head(n));
        assert_eq!(next(&mut at_other).await, head(n));
    }
    // Whatever Redis brought back of the notices above came before this one.
    other.publish(head(100)).await;
    assert_eq!(next(&mut at_one).await, head(100));
    assert_eq!(next(&mut at_other).await, head(100));
}

#[tokio::test]
async fn strange_messages_are_ignored() {
    let (server, one, other) = two_replicas().await;
    let mut at_one = one.subscribe();
    for text in ["hello", "", "1 x events", "9 x events 1"] {
        server.command(&["PUBLISH", "evergrant:tok", text]);
    }
    server.command(&["PUBLISH", "other:tok", "1 x events 5"]);
    other.publish(head(7)).await;
    assert_eq!(next(&mut at_one).await, head(7));
}
