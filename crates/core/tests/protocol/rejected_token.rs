//! Callers report a token that an API refused (R12).

use evergrant_core::broker::{Ask, Refused};
use evergrant_core::failure::FailureReason;
use evergrant_core::grant::{InvalidationReason, TokenSet};
use evergrant_core::provider::Verdict;
use evergrant_core::testing::provider::failure;
use evergrant_core::testing::store::Op;

use super::world::{World, all, death_of, generation_of, reason_of, refused, seconds};

fn refused_text(sha256: [u8; 32]) -> Ask {
    Ask {
        refused: Some(Refused::Sha256(sha256)),
        ..Ask::default()
    }
}

// W62, W71
#[tokio::test(start_paused = true)]
async fn r12_five_hundred_reports_of_one_token_are_one_refresh() {
    let (world, _, key) = World::with_fresh().await;
    let replicas = world.replicas(4);
    for replica in &replicas {
        replica.token(&key).await.unwrap();
    }
    world.provider.set_latency(seconds(1));
    let reports = replicas
        .iter()
        .flat_map(|replica| (0..125).map(|_| replica.begin_ask(&key, refused(1))))
        .collect();
    for answer in all(reports).await {
        assert_eq!(generation_of(&answer), 2);
    }
    assert_eq!(world.calls(), 1);
    for replica in &replicas {
        replica.idle().await;
        assert_eq!(generation_of(&replica.ask(&key, refused(1)).await), 2);
    }
    assert_eq!(world.calls(), 1);
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn r12_a_report_of_a_token_that_was_replaced_already_costs_no_call() {
    let (world, replica, key) = World::with_expired().await;
    let old = world.grant(&key).await.tokens.access_token.sha256();
    assert_eq!(generation_of(&replica.token(&key).await), 2);
    assert_eq!(generation_of(&replica.ask(&key, refused(1)).await), 2);
    assert_eq!(
        generation_of(&replica.ask(&key, refused_text(old)).await),
        2
    );
    assert_eq!(world.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn r12_a_report_by_the_tokens_hash_counts_like_one_by_its_generation() {
    let (world, replica, key) = World::with_fresh().await;
    let current = world.grant(&key).await.tokens.access_token.sha256();
    let answer = replica.ask(&key, refused_text(current)).await;
    assert_eq!(generation_of(&answer), 2);
    assert_eq!(world.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn r12_a_report_of_a_newer_token_than_this_replica_knows_makes_it_read() {
    let (world, one, key) = World::with_fresh().await;
    let other = world.replica();
    other.token(&key).await.unwrap();
    assert_eq!(generation_of(&one.ask(&key, refused(1)).await), 2);
    // The other replica has heard of nothing; its caller has generation 2 from the first.
    assert_eq!(generation_of(&other.ask(&key, refused(2)).await), 3);
    assert_eq!(world.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn r12_a_report_of_a_token_that_never_was_is_answered_with_the_token_that_is() {
    let (world, replica, key) = World::with_fresh().await;
    assert_eq!(generation_of(&replica.ask(&key, refused(99)).await), 1);
    let reads = || world.store.faults().calls(Op::GrantOf);
    let before = reads();
    assert_eq!(generation_of(&replica.ask(&key, refused(99)).await), 1);
    assert_eq!(reads(), before + 1, "somebody may have stored it meanwhile");
    assert_eq!(generation_of(&replica.token(&key).await), 1);
    assert_eq!(reads(), before + 1, "it makes nobody else read");
    assert_eq!(world.calls(), 0);
}

// After a restore callers hold newer generations than the database does.
#[tokio::test(start_paused = true)]
async fn who_refuses_a_token_of_a_later_life_is_renewed_for_as_anybody_else() {
    let (world, replica, key) = World::with_expired().await;
    assert_eq!(generation_of(&replica.ask(&key, refused(99)).await), 2);
    assert_eq!(generation_of(&replica.ask(&key, refused(99)).await), 2);
    assert_eq!(world.calls(), 1);
    assert_eq!(generation_of(&replica.ask(&key, refused(2)).await), 3);
}

#[tokio::test(start_paused = true)]
async fn a_report_of_a_token_that_never_was_takes_no_unsaved_token_from_others() {
    let (world, replica, key) = World::with_expired().await;
    world.store.faults().fail_next(Op::Commit, 1_000);
    assert_eq!(generation_of(&replica.token(&key).await), 2);
    world.store.faults().set_down(true);
    assert!(replica.ask(&key, refused(99)).await.is_err());
    assert_eq!(generation_of(&replica.token(&key).await), 2);
    world.store.faults().set_down(false);
    assert_eq!(generation_of(&replica.ask(&key, refused(99)).await), 2);
    assert_eq!(generation_of(&replica.token(&key).await), 2);
}

#[tokio::test(start_paused = true)]
async fn r11_a_refused_token_is_not_served_even_if_it_cannot_be_renewed() {
    let (world, replica, key) = World::with_fresh().await;
    let fault = failure(Verdict::Transient, "server_error");
    world.provider.fail_all(Some(fault));
    for _ in 0..3 {
        let answer = replica.ask(&key, refused(1)).await;
        assert_eq!(reason_of(&answer), FailureReason::ProviderUnavailable);
    }
    assert_eq!(world.calls(), 1);
    assert_eq!(
        generation_of(&replica.token(&key).await),
        1,
        "not known to others"
    );
}

// B40, B41
#[tokio::test(start_paused = true)]
async fn a_new_token_that_is_refused_again_is_not_renewed_again_for_a_while() {
    let (world, replica, key) = World::with_fresh().await;
    assert_eq!(generation_of(&replica.ask(&key, refused(1)).await), 2);
    for _ in 0..10 {
        assert!(replica.ask(&key, refused(2)).await.is_err());
    }
    assert_eq!(world.calls(), 1);
    assert!(world.is_active(&key).await);
    world.clock.shift(seconds(60));
    assert_eq!(generation_of(&replica.ask(&key, refused(2)).await), 3);
    assert_eq!(world.calls(), 2);
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_that_cannot_be_renewed_ends_its_grant_without_a_call() {
    let world = World::new();
    let tokens = TokenSet {
        refresh_token: None,
        ..world.provider.consent("a")
    };
    let key = world.connect_with("a", None, tokens).await;
    let replica = world.replica();
    let reports = (0..50)
        .map(|_| replica.begin_ask(&key, refused(1)))
        .collect();
    for answer in all(reports).await {
        assert_eq!(death_of(&answer), InvalidationReason::NotRefreshable);
    }
    assert_eq!(world.calls(), 0);
    assert_eq!(world.kinds().await.len(), 1);
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn r12_a_token_that_is_refused_while_its_refresh_still_tells_others_costs_one_call_more() {
    let (world, replica, key) = World::with_expired().await;
    // The flight goes on for some seconds after its callers were served.
    world.coordinator.set(|faults| faults.delay = seconds(2));
    assert_eq!(generation_of(&replica.token(&key).await), 2);
    world.coordinator.set(|faults| faults.delay = seconds(0));
    assert_eq!(generation_of(&replica.ask(&key, refused(2)).await), 3);
    assert_eq!(world.calls(), 2);
    replica.idle().await;
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn r12_a_report_does_not_trust_a_look_that_began_before_the_token_was_stored() {
    let (world, one, key) = World::with_fresh().await;
    world.coordinator.set(|faults| faults.lost_notices = true);
    let other = world.replica();
    assert_eq!(generation_of(&other.token(&key).await), 1);
    // Somebody refuses what there never was, and this makes the replica look: it sees the first generation.
    let look = world.store.faults().hold_next_answer(Op::GrantOf);
    let earlier = other.begin_ask(&key, refused(9));
    look.reached().await;
    assert_eq!(generation_of(&one.ask(&key, refused(1)).await), 2);
    let report = other.begin_ask(&key, refused(2));
    tokio::time::sleep(seconds(1)).await;
    assert!(!report.is_finished(), "it waits for the look");
    look.release();
    assert_eq!(generation_of(&report.await.unwrap()), 3);
    earlier.await.unwrap().unwrap();
    world.check(&key).await;
}
