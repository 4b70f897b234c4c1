use super::*;
use crate::testing::coordinator_contract::{Pair, entry};

crate::locks_contract!(async {
    let memory = MemoryCoordinator::new();
    Pair::new(memory.clone() as Arc<dyn Locks>, memory)
});
crate::escrow_contract!(async {
    let memory = MemoryCoordinator::new();
    Pair::new(memory.clone() as Arc<dyn Escrow>, memory)
});
crate::bus_contract!(async {
    let memory = MemoryCoordinator::new();
    Pair::new(memory.clone() as Arc<dyn Bus>, memory)
});

const TTL: Duration = Duration::from_secs(45);

#[tokio::test]
async fn a_service_that_is_down_does_nothing_and_says_so() {
    let memory = MemoryCoordinator::new();
    let (grant, owner) = (GrantId::random(), OwnerToken::random());
    let mut notices = memory.subscribe();
    memory.set(|faults| faults.down = true);

    assert!(memory.acquire(&grant, &owner, TTL).await.is_err());
    assert!(memory.put(&entry(&grant, 1)).await.is_err());
    memory.publish(Notice::EventsAppended { head: 1 }).await;

    memory.set(|faults| faults.down = false);
    assert!(memory.is_quiescent());
    assert!(notices.try_recv().is_err());
    assert_eq!(memory.commands(), 2);
}

#[tokio::test]
async fn a_lost_answer_hides_an_act_that_took_place() {
    let memory = MemoryCoordinator::new();
    let (grant, owner) = (GrantId::random(), OwnerToken::random());
    memory.set(|faults| faults.lost_answers = 1);

    assert!(memory.acquire(&grant, &owner, TTL).await.is_err());
    assert_eq!(memory.holder(&grant), Some(owner.clone()));
    assert_eq!(
        memory.acquire(&grant, &owner, TTL).await,
        Ok(Acquired::Won),
        "asking again as the same owner repairs it"
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_service_takes_its_time_and_locks_expire_by_paused_time() {
    let memory = MemoryCoordinator::new();
    let (grant, owner) = (GrantId::random(), OwnerToken::random());
    memory.set(|faults| faults.delay = Duration::from_secs(3));

    let begin = Instant::now();
    assert_eq!(memory.acquire(&grant, &owner, TTL).await, Ok(Acquired::Won));
    assert_eq!(begin.elapsed(), Duration::from_secs(3));

    tokio::time::advance(TTL).await;
    assert_eq!(memory.holder(&grant), None);
}

#[tokio::test]
async fn a_flush_and_an_early_expiry_free_the_lock() {
    let memory = MemoryCoordinator::new();
    let (grant, owner) = (GrantId::random(), OwnerToken::random());
    for free in [&(|| memory.flush()) as &dyn Fn(), &|| {
        memory.expire_lock(&grant)
    }] {
        assert_eq!(memory.acquire(&grant, &owner, TTL).await, Ok(Acquired::Won));
        free();
        assert_eq!(memory.holder(&grant), None);
        assert_eq!(memory.renew(&grant, &owner, TTL).await, Ok(false));
    }
}

#[tokio::test]
async fn entries_left_behind_are_told_until_they_are_removed() {
    let memory = MemoryCoordinator::new();
    let kept = entry(&GrantId::random(), 4);
    memory.leave_behind(vec![kept.clone()]);

    assert_eq!(memory.left_behind().await, Ok(vec![kept.clone()]));
    assert_eq!(memory.escrowed(&kept.grant), Some(kept.clone()));
    memory.remove(&kept.grant, kept.base).await.unwrap();
    assert_eq!(memory.left_behind().await, Ok(Vec::new()));
}
