//! The tail of a log that is not what it was.

use std::sync::Arc;

use evergrant_core::events::reader::{ReadError, Reader};
use evergrant_core::events::tail::Tail;
use evergrant_core::store::EventLog;
use evergrant_core::testing::store::Op;

use super::events::{die_and_return, tail};
use super::world::{World, seconds};

/// Longer than the tail's poll.
async fn polled() {
    tokio::time::sleep(seconds(1)).await;
}

/// What a reader gets without waiting.
async fn rest(reader: &mut Reader) -> Result<Vec<u64>, ReadError> {
    let batch = reader.next_batch().await?;
    Ok(batch.iter().map(|event| event.seq).collect())
}

/// A new reader sees what happens from now on.
async fn goes_on(world: &World, tail: &Arc<Tail>) {
    let mut reader = Reader::at_head(tail.clone());
    let epoch = world.store.position().await.unwrap().epoch;
    assert_eq!(*reader.epoch(), epoch);
    let began = reader.position();
    die_and_return(world, 1).await;
    polled().await;
    assert_eq!(rest(&mut reader).await.unwrap(), [began + 1, began + 2]);
}

#[tokio::test(start_paused = true)]
async fn a_renewed_epoch_ends_open_readers_and_new_ones_begin_anew() {
    let (world, _, _) = World::with_fresh().await;
    let tail = tail(&world, 16).await;
    let (mut early, mut late) = (Reader::at_head(tail.clone()), Reader::at_head(tail.clone()));
    die_and_return(&world, 2).await;
    polled().await;
    assert_eq!(rest(&mut early).await.unwrap(), [1, 2, 3, 4]);
    world.store.renew_epoch();
    let told = tokio::time::timeout(seconds(1), early.changed(|| false)).await;
    told.expect("who waits is woken");
    for reader in [&mut early, &mut late] {
        assert_eq!(rest(reader).await, Err(ReadError::EpochChanged));
    }
    goes_on(&world, &tail).await;
    for reader in [&mut early, &mut late] {
        assert_eq!(rest(reader).await, Err(ReadError::EpochChanged), "for good");
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_with_a_hole_is_read_again_once_its_epoch_is_renewed() {
    let (world, _, _) = World::with_fresh().await;
    let tail = tail(&world, 16).await;
    let mut reader = Reader::at_head(tail.clone());
    let held = world.store.faults().hold_next(Op::EventsAfter);
    held.reached().await;
    die_and_return(&world, 2).await;
    world.store.lose_event(2);
    held.release();
    polled().await;
    assert_eq!(rest(&mut reader).await, Err(ReadError::EpochChanged));
    let mut other = Reader::at_head(tail.clone());
    assert_eq!(rest(&mut other).await, Err(ReadError::EpochChanged));
    assert!(tail.head().borrow().broken);
    world.store.renew_epoch();
    polled().await;
    goes_on(&world, &tail).await;
}

#[tokio::test(start_paused = true)]
async fn a_tail_that_slept_until_events_were_pruned_goes_on_after_them() {
    let (world, _, _) = World::with_fresh().await;
    let tail = tail(&world, 16).await;
    let mut reader = Reader::at_head(tail.clone());
    let held = world.store.faults().hold_next(Op::EventsAfter);
    held.reached().await;
    die_and_return(&world, 3).await;
    world.clock.shift(seconds(1));
    assert_eq!(world.store.prune(seconds(0), 4).await, Ok(4));
    held.release();
    polled().await;
    let expired = ReadError::Expired { after: 0, floor: 4 };
    assert_eq!(rest(&mut reader).await, Err(expired));
    goes_on(&world, &tail).await;
}
