//! A grant that was deleted is not answered with any more, whoever deleted it: its only credential may be another
//! account's by now.

use std::time::Duration;

use evergrant_core::broker::TokenError;
use evergrant_core::change::plan::Reconnect;
use evergrant_core::ids::CredentialKey;
use evergrant_core::secret::AccessToken;

use super::coherence::{SOON, following};
use super::rotation::again;
use super::world::{Answered, Replica, World, client, generation_of, seconds};

/// A credential that alone uses its grant; `asked` remembers it, and `changing` is another replica.
struct Sole {
    world: World,
    asked: Replica,
    changing: Replica,
    key: CredentialKey,
}

impl Sole {
    async fn new(lost_notices: bool) -> Self {
        let world = World::new();
        world
            .coordinator
            .set(|faults| faults.lost_notices = lost_notices);
        // Nothing but the news ends what is remembered.
        world.provider.set_lifetime(None);
        let tokens = world.provider.consent("first");
        let key = world.connect_with("c", Some("first"), tokens).await;
        let asked = following(&world);
        asked.token(&key).await.unwrap();
        let changing = world.replica();
        Self {
            world,
            asked,
            changing,
            key,
        }
    }

    async fn delete(&self) {
        let registry = self.changing.broker.registry();
        assert_eq!(registry.delete_credential(&self.key).await, Ok(true));
    }

    /// Creates the credential again, for another account. Answers its token.
    async fn create_again(&self) -> AccessToken {
        let tokens = self.world.provider.consent("second");
        let expected = tokens.access_token.clone();
        self.world.connect_with("c", Some("second"), tokens).await;
        expected
    }

    /// The user connects an account whose grant is there already. Answers its token.
    async fn join_another(&self) -> AccessToken {
        let tokens = self.world.provider.consent("second");
        self.world
            .connect_with("other", Some("second"), tokens)
            .await;
        let tokens = self.world.provider.consent("second");
        let expected = tokens.access_token.clone();
        let ask = Reconnect {
            account: Some("second".to_owned()),
            allow_account_change: true,
            ..again(&self.key, tokens, &self.world)
        };
        let registry = self.changing.broker.registry();
        registry.reconnect(&ask, &client()).await.unwrap();
        expected
    }

    async fn ask_after(&self, pause: Duration) -> Answered {
        tokio::time::sleep(pause).await;
        self.asked.token(&self.key).await
    }

    async fn out_of_reach_for(&self, pause: Duration) {
        self.world.store.faults().set_down(true);
        tokio::time::sleep(pause).await;
        self.world.store.faults().set_down(false);
    }
}

fn text_of(answered: &Answered) -> &AccessToken {
    &answered.as_ref().unwrap().live.grant.tokens.access_token
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_was_deleted_elsewhere_is_gone() {
    for lost_notices in [false, true] {
        let sole = Sole::new(lost_notices).await;
        sole.delete().await;
        let answer = sole.ask_after(SOON).await;
        assert!(
            matches!(answer, Err(TokenError::NotFound(_))),
            "{lost_notices}: {answer:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_was_created_again_elsewhere_gets_its_new_accounts_token() {
    for lost_notices in [false, true] {
        let sole = Sole::new(lost_notices).await;
        sole.delete().await;
        let expected = sole.create_again().await;
        let answer = sole.ask_after(SOON).await;
        assert_eq!(*text_of(&answer), expected, "{lost_notices}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_joined_another_grant_elsewhere_gets_that_grants_token() {
    for lost_notices in [false, true] {
        let sole = Sole::new(lost_notices).await;
        let expected = sole.join_another().await;
        let answer = sole.ask_after(SOON).await;
        assert_eq!(*text_of(&answer), expected, "{lost_notices}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_deleted_while_the_database_was_out_of_reach_is_found_afterwards() {
    // Some is looked up, and after too long everything is forgotten: by then the store may not know any more.
    for away in [200, 299, 301, 5_000] {
        let sole = Sole::new(true).await;
        sole.delete().await;
        let expected = sole.create_again().await;
        sole.out_of_reach_for(seconds(away)).await;
        let answer = sole.ask_after(SOON).await;
        assert_eq!(*text_of(&answer), expected, "{away} s");
        assert_eq!(generation_of(&answer), 1);
    }
}
