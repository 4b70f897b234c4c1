//! A credential that left a grant which others still use is not answered with that grant's tokens.

use evergrant_core::broker::TokenError;
use evergrant_core::change::plan::Reconnect;
use evergrant_core::grant::InvalidationReason;
use evergrant_core::ids::CredentialKey;
use evergrant_core::secret::AccessToken;

use super::coherence::{SOON, following};
use super::rotation::again;
use super::world::{Answered, Replica, World, client, death_of};

/// Two credentials of one account; `asked` remembers both of them, and `changing` is another replica or the same.
struct Shared {
    world: World,
    asked: Replica,
    changing: Replica,
    leaver: CredentialKey,
    stayer: CredentialKey,
}

/// Where the replica that is asked stands to the one that changes.
#[derive(Debug, Clone, Copy)]
enum Heard {
    AtHome,
    FromNotices,
    FromPolls,
}

const ANYHOW: [Heard; 3] = [Heard::AtHome, Heard::FromNotices, Heard::FromPolls];

impl Shared {
    async fn new(heard: Heard) -> Self {
        let world = World::new();
        let lost = matches!(heard, Heard::FromPolls);
        world.coordinator.set(|faults| faults.lost_notices = lost);
        let mut keys = Vec::new();
        for name in ["leaver", "stayer"] {
            let tokens = world.provider.consent("first");
            keys.push(world.connect_with(name, Some("first"), tokens).await);
        }
        let asked = following(&world);
        let changing = match heard {
            Heard::AtHome => Replica {
                broker: asked.broker.clone(),
                tracker: asked.tracker.clone(),
                stop: asked.stop.clone(),
            },
            Heard::FromNotices | Heard::FromPolls => world.replica(),
        };
        let [leaver, stayer] = keys.try_into().unwrap();
        let shared = Self {
            world,
            asked,
            changing,
            leaver,
            stayer,
        };
        for key in [&shared.leaver, &shared.stayer] {
            shared.asked.token(key).await.unwrap();
        }
        shared
    }

    async fn delete_leaver(&self) {
        let registry = self.changing.broker.registry();
        assert_eq!(registry.delete_credential(&self.leaver).await, Ok(true));
    }

    /// The leaver's user connects another account. Answers its token.
    async fn move_leaver(&self) -> AccessToken {
        let tokens = self.world.provider.consent("second");
        let text = tokens.access_token.clone();
        let ask = Reconnect {
            account: Some("second".to_owned()),
            allow_account_change: true,
            ..again(&self.leaver, tokens, &self.world)
        };
        let registry = self.changing.broker.registry();
        registry.reconnect(&ask, &client()).await.unwrap();
        text
    }

    /// Lets the news come, and the other credential be asked for.
    async fn ask_for_stayer(&self) -> Answered {
        tokio::time::sleep(SOON).await;
        self.asked.token(&self.stayer).await
    }
}

fn text_of(answered: &Answered) -> &AccessToken {
    &answered.as_ref().unwrap().live.grant.tokens.access_token
}

#[tokio::test(start_paused = true)]
async fn a_deleted_credential_does_not_come_back_with_the_grant_that_it_shared() {
    for heard in ANYHOW {
        let shared = Shared::new(heard).await;
        shared.delete_leaver().await;
        shared.ask_for_stayer().await.unwrap();
        let answer = shared.asked.token(&shared.leaver).await;
        let Err(TokenError::NotFound(key)) = answer else {
            panic!("{heard:?}: {answer:?}");
        };
        assert_eq!(key, shared.leaver);
    }
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_moved_to_another_account_gets_that_accounts_token() {
    for heard in ANYHOW {
        let shared = Shared::new(heard).await;
        let expected = shared.move_leaver().await;
        let stays = shared.ask_for_stayer().await;
        assert_ne!(*text_of(&stays), expected);
        let answer = shared.asked.token(&shared.leaver).await;
        assert_eq!(*text_of(&answer), expected, "{heard:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_was_created_again_gets_its_new_accounts_token() {
    for heard in ANYHOW {
        let shared = Shared::new(heard).await;
        shared.delete_leaver().await;
        let tokens = shared.world.provider.consent("second");
        let expected = tokens.access_token.clone();
        let second = Some("second");
        shared.world.connect_with("leaver", second, tokens).await;
        shared.ask_for_stayer().await.unwrap();
        let answer = shared.asked.token(&shared.leaver).await;
        assert_eq!(*text_of(&answer), expected, "{heard:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_death_of_the_grant_that_it_left_does_not_touch_a_credential() {
    for heard in ANYHOW {
        let shared = Shared::new(heard).await;
        let expected = shared.move_leaver().await;
        let registry = shared.changing.broker.registry();
        let invalidated = registry.invalidate(&shared.stayer, None, "stolen").await;
        invalidated.unwrap();
        let stays = shared.ask_for_stayer().await;
        assert_eq!(death_of(&stays), InvalidationReason::Reported);
        let answer = shared.asked.token(&shared.leaver).await;
        assert_eq!(*text_of(&answer), expected, "{heard:?}");
    }
}
