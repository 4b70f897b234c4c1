use tokio_util::task::TaskTracker;

use super::*;
use crate::audit::record::{ANONYMOUS, Subject};
use crate::clock::SystemClock;

fn act() -> Act {
    Act {
        caller: ANONYMOUS.into(),
        peer: None,
        action: "DeleteCredential",
        subject: Subject::default(),
        outcome: OK,
        detail: String::new(),
    }
}

fn audit(capacity: usize, is_strict: bool) -> (Audit, Arc<Queue>, watch::Sender<u64>) {
    let queue = Arc::new(Queue::new(capacity));
    let (told, stored) = watch::channel(0);
    let audit = Audit::new(queue.clone(), stored, is_strict, Arc::new(SystemClock));
    (audit, queue, told)
}

#[tokio::test(start_paused = true)]
async fn in_strict_mode_nothing_goes_on_before_it_is_stored() {
    let (audit, queue, told) = audit(10, true);
    let ticket = audit.note(act());
    let waiting = TaskTracker::new().spawn({
        let audit = audit.clone();
        async move { audit.on_record(ticket).await }
    });
    queue.hurried().await;
    let (batch, entries) = queue.take();
    assert_eq!(entries.len(), 1);
    assert!(!waiting.is_finished());
    told.send_replace(batch);
    assert_eq!(waiting.await.unwrap(), Ok(()));

    let ticket = audit.note(act());
    let refused = audit.on_record(ticket).await;
    assert_eq!(refused, Err(Unrecorded), "nobody wrote it in time");
}

#[tokio::test]
async fn in_strict_mode_what_finds_no_room_is_refused() {
    let (audit, _queue, _told) = audit(1, true);
    let _first = audit.note(act());
    let ticket = audit.note(act());
    assert_eq!(audit.on_record(ticket).await, Err(Unrecorded));
}

#[tokio::test]
async fn otherwise_nobody_waits_even_where_there_is_no_room() {
    let (audit, queue, _told) = audit(1, false);
    for _ in 0..3 {
        let ticket = audit.note(act());
        assert_eq!(audit.on_record(ticket).await, Ok(()));
    }
    assert_eq!(queue.take().1.last().unwrap().count, 2);
}

#[tokio::test]
async fn whoever_must_know_waits_for_what_was_noted_before() {
    let (audit, queue, told) = audit(10, false);
    let _ticket = audit.note(act());
    let flushed = TaskTracker::new().spawn({
        let audit = audit.clone();
        async move { audit.flushed().await }
    });
    queue.hurried().await;
    told.send_replace(queue.take().0);
    assert_eq!(flushed.await.unwrap(), Ok(()));
}
