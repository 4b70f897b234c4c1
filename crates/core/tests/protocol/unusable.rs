//! A grant of which no request can be made: only a person can mend it, and it is not harmed.

use evergrant_core::failure::FailureReason;
use evergrant_core::provider::{Delivery, Verdict};
use evergrant_core::testing::provider::failure;

use super::world::{World, generation_of, reason_of, seconds};

fn unusable(world: &World) {
    let mut error = failure(Verdict::Request, "");
    error.delivery = Delivery::NotSent;
    error.message = "catalogue entry acme: token_url placeholder {shop} has no value".to_owned();
    world.provider.fail_all(Some(error));
}

#[tokio::test(start_paused = true)]
async fn a_grant_of_which_no_request_can_be_made_is_told_so_and_stays_as_it_was() {
    let (world, replica, key) = World::with_expired().await;
    unusable(&world);
    for _ in 0..5 {
        let answer = replica.token(&key).await;
        assert_eq!(reason_of(&answer), FailureReason::GrantUnusable);
        assert!(answer.unwrap_err().to_string().contains("{shop}"));
    }
    assert_eq!(world.calls(), 1, "it is remembered for a while");
    let facts = world.grant(&key).await.facts;
    assert_eq!(facts.attempts.failed, 0);
    assert!(facts.attempts.next_at.is_none() && facts.lease.is_none());
    assert!(world.is_active(&key).await);
    assert!(world.kinds().await.is_empty());

    world.provider.fail_all(None);
    assert_eq!(
        generation_of(&world.replica().token(&key).await),
        2,
        "after a restart"
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_still_good_is_handed_out_in_spite_of_it() {
    let (world, replica, key) = World::with_fresh().await;
    unusable(&world);
    world.make_due();
    let answer = replica.token(&key).await.unwrap();
    assert_eq!(answer.failure.unwrap().reason, FailureReason::GrantUnusable);
    tokio::time::sleep(seconds(61)).await;
    world.clock.shift(seconds(61));
    let answer = replica.token(&key).await;
    assert_eq!(reason_of(&answer), FailureReason::GrantUnusable);
}
