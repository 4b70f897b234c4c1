//! Makes events, and reads what watchers were told.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use evergrant_proto::v1::watch_response::Event;
use evergrant_proto::v1::{Credential, WatchResponse};
use evergrant_providers::sandbox::{Control, GrantSpec};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::harness::caller::{Caller, credential, fresh};
use crate::harness::replica::Replica;
use crate::harness::scene::Scene;

const AT_ONCE: usize = 16;

/// Credentials `<name>-0`, `<name>-1` … that share a grant, so that one change makes an event for each.
pub struct Crowd {
    ids: Vec<String>,
}

impl Crowd {
    /// Stores so many credentials of one grant.
    pub async fn store(scene: &Scene, replica: &Replica, size: usize) -> Result<Self> {
        let grant = scene.sandbox.control().create_grant(GrantSpec::default())?;
        let caller = replica.caller();
        let ids = names("member", size);
        // The first makes the grant, the others join it.
        for ids in [&ids[..1], &ids[1..]] {
            stream::iter(ids)
                .map(|id| {
                    let shared = Credential {
                        provider_account: "team".to_owned(),
                        ..credential(id)
                    };
                    caller.store(shared, fresh(&grant))
                })
                .buffer_unordered(AT_ONCE)
                .try_collect::<Vec<_>>()
                .await?;
        }
        Ok(Self { ids })
    }

    /// Stores so many credentials, each with a grant of its own.
    pub async fn store_apart(scene: &Scene, replica: &Replica, size: usize) -> Result<Self> {
        let control = scene.sandbox.control();
        let caller = replica.caller();
        let ids = names("lone", size);
        for id in &ids {
            let grant = control.create_grant(GrantSpec::default())?;
            caller.store(credential(id), fresh(&grant)).await?;
        }
        Ok(Self { ids })
    }

    /// Lets the shared grant die.
    pub async fn invalidate(&self, replica: &Replica) -> Result<()> {
        Ok(replica.caller().invalidate(&self.ids[0]).await?)
    }

    /// Lets the shared grant die and come back, so many times.
    pub async fn turn(&self, scene: &Scene, replica: &Replica, times: usize) -> Result<()> {
        for _ in 0..times {
            self.invalidate(replica).await?;
            let grant = scene.sandbox.control().create_grant(GrantSpec::default())?;
            let caller = replica.caller();
            caller.reconnect(&self.ids[0], fresh(&grant), false).await?;
        }
        Ok(())
    }

    /// Lets each grant die, and every second one come back.
    pub async fn turn_each(&self, sandbox: &Control, caller: &Caller) -> Result<()> {
        for (number, id) in self.ids.iter().enumerate() {
            caller.invalidate(id).await?;
            if number % 2 == 0 {
                let grant = sandbox.create_grant(GrantSpec::default())?;
                caller.reconnect(id, fresh(&grant), false).await?;
            }
        }
        Ok(())
    }
}

/// The numbers and kinds of the events among `messages`, as the table has them; those of a snapshot have none.
pub fn numbers_and_kinds(messages: &[WatchResponse]) -> Result<Vec<(u64, String)>> {
    messages
        .iter()
        .filter(|message| !message.event_id.is_empty())
        .map(|message| {
            let (_, number) = message
                .event_id
                .rsplit_once('-')
                .context("an event's id ends with its number")?;
            let kind = match &message.event {
                Some(Event::CredentialInvalidated(_)) => "CREDENTIAL_INVALIDATED",
                Some(Event::CredentialRestored(_)) => "CREDENTIAL_RESTORED",
                other => anyhow::bail!("nobody made {other:?}"),
            };
            Ok((number.parse()?, kind.to_owned()))
        })
        .collect()
}

/// The credentials that are dead after `messages`, for a reader that applies them in order.
pub fn state_of(messages: &[WatchResponse]) -> BTreeSet<String> {
    let mut dead = BTreeSet::new();
    for message in messages {
        match &message.event {
            Some(Event::CredentialInvalidated(told)) => {
                dead.insert(told.credential_id.clone());
            }
            Some(Event::CredentialRestored(told)) => {
                dead.remove(&told.credential_id);
            }
            _ => {}
        }
    }
    dead
}

fn names(name: &str, size: usize) -> Vec<String> {
    (0..size).map(|number| format!("{name}-{number}")).collect()
}
