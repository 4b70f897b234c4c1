//! Minted tokens and the configuration that they were minted with (A51, W80).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use evergrant_core::broker::{Ask, Broker};
use evergrant_core::clock::{Clock, Timestamp};
use evergrant_core::failure::FailureReason;
use evergrant_core::grant::{Grant, GrantType, Means};
use evergrant_core::ids::{ClientKey, CredentialKey};
use evergrant_core::minted::{Fingerprint, MintedBy};
use evergrant_core::provider::{
    CallError, Issued, Profile, Providers, Revocation, UnknownClient, Verdict,
};
use evergrant_core::refresh::Ports;
use evergrant_core::testing::provider::{ScriptedProviders, failure};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::minted::{text, with};
use super::world::{Replica, World, all, generation_of, reason_of, refused, seconds};

/// The world's provider, for a replica that has been configured with some secrets since it began. The first is accepted.
struct Configured {
    provider: Arc<ScriptedProviders>,
    secrets: &'static [u8],
    since: Timestamp,
}

fn fingerprint(secret: u8) -> Fingerprint {
    Fingerprint::new([secret; 32])
}

#[async_trait]
impl Providers for Configured {
    fn profile(&self, client: &ClientKey) -> Result<Profile, UnknownClient> {
        self.provider.profile(client)
    }

    fn check(&self, client: &ClientKey) -> Result<(), UnknownClient> {
        self.provider.check(client)
    }

    fn is_outdated(&self, grant: &Grant) -> bool {
        let own = self.secrets.iter().copied().map(fingerprint);
        let minted_by = grant.tokens.minted_by;
        minted_by.is_some_and(|minted_by| minted_by.is_outdated(self.since, own))
    }

    async fn refresh(&self, grant: &Grant, timeout: Duration) -> Result<Issued, CallError> {
        let issued = self.provider.refresh(grant, timeout).await?;
        let is_minted = grant.facts.grant_type.is_minted();
        Ok(Issued {
            minted_by: is_minted.then(|| MintedBy {
                fingerprint: fingerprint(self.secrets[0]),
                since: self.since,
            }),
            ..issued
        })
    }

    async fn revoke(&self, grant: &Grant, timeout: Duration) -> Result<Revocation, CallError> {
        Providers::revoke(&*self.provider, grant, timeout).await
    }
}

/// A replica that begins now, a while after all others.
fn configured(world: &World, secrets: &'static [u8]) -> Replica {
    world.clock.shift(seconds(1));
    let providers = Configured {
        provider: world.provider.clone(),
        secrets,
        since: world.clock.now(),
    };
    let ports = Ports {
        providers: Arc::new(providers),
        ..world.ports()
    };
    let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
    let broker = Broker::new(ports, world.limits, 10_000, &tracker, stop.clone());
    Replica {
        broker: Arc::new(broker),
        tracker,
        stop,
    }
}

/// The token that a replica hands out which remembers nothing, so that it looks at what others stored.
async fn read(replica: &Replica, key: &CredentialKey) -> String {
    replica.broker.forget_all();
    text(&replica.token(key).await)
}

fn scoped(scope: &str) -> Ask {
    Ask {
        scopes: Some([scope.to_owned()].into_iter().collect()),
        ..Ask::default()
    }
}

#[tokio::test(start_paused = true)]
async fn another_configuration_mints_anew_once_for_all_replicas_and_scopes() {
    for lifetime in [Some(seconds(3_600)), None] {
        let (world, _, key) = World::with_minted().await;
        world.provider.set_lifetime(lifetime);
        let old = configured(&world, &[1]);
        assert_eq!(text(&old.token(&key).await), "access-1");
        assert_eq!(text(&old.ask(&key, scoped("read")).await), "access-2");

        let new = [configured(&world, &[2]), configured(&world, &[2])];
        world.provider.set_latency(seconds(1));
        let callers = (0..100).map(|n| new[n % 2].begin(&key)).collect();
        for answer in all(callers).await {
            assert_eq!(text(&answer), "access-3");
        }
        for replica in [&new[0], &new[1], &old] {
            replica.broker.forget_all();
            let scoped = replica.ask(&key, scoped("read")).await;
            assert_eq!(text(&scoped), "access-4");
            assert_eq!(text(&replica.token(&key).await), "access-3");
        }
        assert_eq!(world.calls(), 4);
        world.check(&key).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_exchanged_token_is_minted_anew_too_and_its_subject_left_alone() {
    let (world, _, subject) = World::with_fresh().await;
    let means = with(&[("subject_credential", "a")]);
    let key = world.mint("x", GrantType::TokenExchange, means).await;
    assert_eq!(
        text(&configured(&world, &[1]).token(&key).await),
        "access-2"
    );
    let new = configured(&world, &[2]);
    assert_eq!(text(&new.token(&key).await), "access-3");
    assert_eq!(text(&new.token(&subject).await), "access-1");
    assert_eq!(world.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_restart_and_another_secret_beside_the_accepted_one_mint_nothing() {
    let (world, _, key) = World::with_minted().await;
    configured(&world, &[1]).token(&key).await.unwrap();
    for secrets in [&[1][..], &[1, 2], &[2, 1]] {
        assert_eq!(
            text(&configured(&world, secrets).token(&key).await),
            "access-1"
        );
    }
    assert_eq!(world.calls(), 1);
    assert_eq!(
        text(&configured(&world, &[2]).token(&key).await),
        "access-2"
    );
}

#[tokio::test(start_paused = true)]
async fn replicas_that_differ_do_not_mint_by_turns() {
    let (world, _, key) = World::with_minted().await;
    let (old, new) = (configured(&world, &[1]), configured(&world, &[2]));
    for _ in 0..10 {
        read(&old, &key).await;
        read(&new, &key).await;
    }
    assert_eq!(world.calls(), 2);
    let generation = generation_of(&old.token(&key).await);
    old.ask(&key, refused(generation)).await.unwrap();
    for _ in 0..10 {
        assert_eq!(read(&new, &key).await, "access-4");
        assert_eq!(read(&old, &key).await, "access-4");
    }
    assert_eq!(world.calls(), 4);
    world.check(&key).await;
}

#[tokio::test(start_paused = true)]
async fn a_token_of_before_is_not_handed_out_where_no_new_one_can_be_had() {
    let (world, _, key) = World::with_minted().await;
    let old = configured(&world, &[1]);
    old.token(&key).await.unwrap();
    let new = configured(&world, &[2]);
    let down = failure(Verdict::Transient, "server_error");
    world.provider.answer_next(Err(down));
    for _ in 0..2 {
        let answer = new.token(&key).await;
        assert_eq!(reason_of(&answer), FailureReason::ProviderUnavailable);
    }
    assert_eq!(text(&old.token(&key).await), "access-1");
    assert_eq!(world.calls(), 2);
}

// Replicas of a version that took no note share the rows.
#[tokio::test(start_paused = true)]
async fn a_token_of_which_nobody_took_note_is_good() {
    let (world, plain, _) = World::with_minted().await;
    let key = world
        .mint("b", GrantType::JwtBearer, Means::default())
        .await;
    plain.token(&key).await.unwrap();
    let new = configured(&world, &[2]);
    assert_eq!(text(&new.token(&key).await), "access-1");
    assert_eq!(world.calls(), 1);
}
