use evergrant_core::ids::Epoch;
use evergrant_core::testing::coordinator::MemoryCoordinator;
use evergrant_core::testing::coordinator_contract::{Pair, entry};

use super::*;

evergrant_core::escrow_contract!(async {
    let (_, _, both) = both();
    Pair::new(both.clone() as Arc<dyn Escrow>, both)
});

fn both() -> (Arc<MemoryCoordinator>, Arc<MemoryCoordinator>, Arc<Escrows>) {
    let (one, two) = (MemoryCoordinator::new(), MemoryCoordinator::new());
    let both = Escrows(vec![one.clone(), two.clone()]);
    (one, two, Arc::new(both))
}

fn fail(memory: &MemoryCoordinator) {
    memory.set(|faults| faults.down = true);
}

fn heal(memory: &MemoryCoordinator) {
    memory.set(|faults| faults.down = false);
}

#[tokio::test]
async fn an_entry_is_safe_while_one_escrow_keeps_it() {
    let (one, two, both) = both();
    let kept = entry(&GrantId::random(), 3);
    fail(&one);
    assert_eq!(both.put(&kept).await, Ok(()));
    assert_eq!(
        both.find(&kept.grant, kept.base).await,
        Ok(Some(kept.clone()))
    );

    fail(&two);
    assert!(both.put(&kept).await.is_err());
}

#[tokio::test]
async fn an_entry_goes_to_every_escrow_and_out_of_every_escrow() {
    let (one, two, both) = both();
    let kept = entry(&GrantId::random(), 3);
    both.put(&kept).await.unwrap();
    for memory in [&one, &two] {
        assert_eq!(memory.escrowed(&kept.grant), Some(kept.clone()));
    }
    both.remove(&kept.grant, kept.base).await.unwrap();
    assert!(one.is_quiescent() && two.is_quiescent());
}

#[tokio::test]
async fn a_removal_that_one_escrow_missed_is_told_and_done_in_the_other() {
    let (one, two, both) = both();
    let kept = entry(&GrantId::random(), 3);
    both.put(&kept).await.unwrap();
    fail(&one);
    assert!(both.remove(&kept.grant, kept.base).await.is_err());
    assert_eq!(two.escrowed(&kept.grant), None);
}

#[tokio::test]
async fn nothing_found_is_only_said_when_all_answered() {
    let (one, _, both) = both();
    let grant = GrantId::random();
    assert_eq!(both.find(&grant, Generation(1)).await, Ok(None));
    fail(&one);
    assert!(both.find(&grant, Generation(1)).await.is_err());
    heal(&one);
    assert_eq!(both.find(&grant, Generation(1)).await, Ok(None));
}

#[tokio::test]
async fn of_two_entries_of_one_base_that_of_the_later_lease_is_found() {
    let (one, two, both) = both();
    let late = entry(&GrantId::random(), 3);
    let mut early = late.clone();
    early.epoch = Epoch(late.epoch.0 - 1);
    for (first, second) in [(&one, &two), (&two, &one)] {
        first.put(&early).await.unwrap();
        second.put(&late).await.unwrap();
        assert_eq!(
            both.find(&late.grant, late.base).await,
            Ok(Some(late.clone()))
        );
    }
}

#[tokio::test]
async fn what_any_escrow_has_from_an_earlier_life_is_told() {
    let (one, two, both) = both();
    let entries = [entry(&GrantId::random(), 1), entry(&GrantId::random(), 2)];
    one.leave_behind(vec![entries[0].clone()]);
    two.leave_behind(vec![entries[1].clone()]);
    assert_eq!(both.left_behind().await, Ok(entries.to_vec()));
}

#[tokio::test]
async fn without_an_escrow_nothing_is_kept_and_that_is_said() {
    let none = Escrows(Vec::new());
    let refused = none.put(&entry(&GrantId::random(), 1)).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "escrow is out of reach: none is configured"
    );
    assert_eq!(none.find(&GrantId::random(), Generation(1)).await, Ok(None));
}
