//! The registry: credentials and integrations come in, are mended and go.
//!
//! Every method is one change: it happens whole, with its events, or not at all. One that has begun to be applied goes on
//! to its end if its caller leaves.

use std::collections::BTreeMap;

use thiserror::Error;
use tracing::warn;

use crate::change::plan::{
    self, CreateCredential, CreateError, CreateIntegrationError, IntegrationUpdate, KilledBatch,
    Reconnect, ReconnectError, Reported, UpdateIntegrationError, UpdateLabelsError,
};
use crate::change::run::{ChangeError, Changes};
use crate::change::{Connecting, Scope};
use crate::grant::{Invalidation, InvalidationReason, TokenSet};
use crate::ids::{ClientKey, CredentialKey, Generation, GrantId, IntegrationKey};
use crate::integration::Integration;
use crate::kill::KillBatch;
use crate::provider::Renewal;
use crate::report::Report;
use crate::secret::RefreshToken;

/// Grants that one change of a report invalidates at most, so that no statement grows without bound.
const GRANTS_A_CHANGE: u32 = 100;

/// Changes credentials and integrations.
#[derive(Debug, Clone)]
pub struct Registry {
    changes: Changes,
}

/// Why a credential was not invalidated.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidateError {
    /// There is no such credential.
    #[error("credential {0} does not exist")]
    NotFound(CredentialKey),
    /// Its grant is of another generation than the caller named.
    #[error("credential {key} is of generation {current} now")]
    GenerationConflict {
        /// The credential.
        key: CredentialKey,
        /// The generation of its grant.
        current: Generation,
    },
}

impl Registry {
    /// A registry that makes its changes through `changes`.
    pub fn new(changes: Changes) -> Self {
        Self { changes }
    }

    /// Stores a new credential; see [`plan::create_credential`] for the grant that its tokens go to.
    pub async fn create_credential(
        &self,
        new: &CreateCredential,
    ) -> Result<(), ChangeError<CreateError>> {
        let scope = connecting(&new.key, &new.client, new.account.as_deref(), &new.tokens);
        let created = self.changes.run(&scope, |snapshot| {
            let change = plan::create_credential(snapshot, new)?;
            Ok(Some((change, snapshot.elsewhere.clone())))
        });
        tell_elsewhere(&new.key, &created.await?.unwrap_or_default());
        Ok(())
    }

    /// Stores the tokens of a credential whose user connected again; see [`plan::reconnect`]. Answers the integrations
    /// whose status that changed.
    pub async fn reconnect(
        &self,
        ask: &Reconnect,
        client: &ClientKey,
    ) -> Result<Vec<Integration>, ChangeError<ReconnectError>> {
        let scope = connecting(&ask.key, client, ask.account.as_deref(), &ask.tokens);
        let changed = self.changes.run(&scope, |snapshot| {
            let (change, changed) = plan::reconnect(snapshot, ask)?;
            Ok(Some((change, (changed, snapshot.elsewhere.clone()))))
        });
        let (changed, elsewhere) = changed.await?.unwrap_or_default();
        tell_elsewhere(&ask.key, &elsewhere);
        Ok(changed)
    }

    /// Marks a credential's grant dead on the word of a caller. A dead one stays as it is, but that no token that turns up
    /// later brings it back to life. `generation` is that of the
    /// credential's own token or of a token of other scopes.
    pub async fn invalidate(
        &self,
        key: &CredentialKey,
        generation: Option<Generation>,
        message: &str,
    ) -> Result<(), ChangeError<InvalidateError>> {
        let scope = Scope::Credential {
            key: key.clone(),
            connecting: None,
        };
        self.changes
            .run(&scope, |snapshot| {
                let not_found = || InvalidateError::NotFound(key.clone());
                let credential = snapshot
                    .credentials
                    .iter()
                    .find(|known| known.key == *key)
                    .ok_or_else(not_found)?;
                let grant = snapshot
                    .grants
                    .iter()
                    .find(|grant| grant.id == credential.grant)
                    .ok_or_else(not_found)?;
                let current = grant.generation;
                // A token of other scopes has a generation of its own.
                let is_current = |wanted| {
                    let mut grants = snapshot.grants.iter();
                    grants.any(|known| {
                        (known.id == grant.id || known.parent.as_ref() == Some(&grant.id))
                            && known.generation == wanted
                    })
                };
                if generation.is_some_and(|wanted| !is_current(wanted)) {
                    return Err(InvalidateError::GenerationConflict {
                        key: key.clone(),
                        current,
                    });
                }
                let invalidation = Invalidation {
                    reason: InvalidationReason::Reported,
                    provider_error: String::new(),
                    message: message.to_owned(),
                    at: snapshot.now,
                    reported: true,
                };
                let change = plan::invalidate(snapshot, &grant.id, current, None, invalidation);
                Ok(change.map(|change| (change, ())))
            })
            .await?;
        Ok(())
    }

    /// Tells the credentials of a grant that it comes near to its end, if the time has come; see [`plan::announce`].
    /// `renewal` gives the rules of a client's provider. `false` if there was nothing to tell.
    pub async fn announce(
        &self,
        grant: &GrantId,
        renewal: impl Fn(&ClientKey) -> Renewal + Send + Sync,
    ) -> Result<bool, ChangeError<std::convert::Infallible>> {
        let scope = Scope::Grant(grant.clone());
        let told = self
            .changes
            .run(&scope, |snapshot| {
                let client = snapshot.grants.first().map(|facts| &facts.client);
                let renewal = client.map(&renewal).unwrap_or_default();
                let change = plan::announce(snapshot, grant, &renewal);
                Ok(change.map(|change| {
                    let told = !change.events.is_empty();
                    (change, told)
                }))
            })
            .await?;
        Ok(told.unwrap_or_default())
    }

    /// Invalidates every active grant that a provider's report concerns, has those stay dead that are, and remembers its delivery, so that the same
    /// delivery has no effect a second time. A token that a refresh in flight brings does not undo it.
    ///
    /// Up to a hundred grants, and the memory of the delivery with the last of them, are one change. When this fails or is
    /// cancelled, some of these changes may have happened, each of them whole; the delivery is not remembered, and sent
    /// again it invalidates the rest. `None` if it was dealt with before.
    pub async fn report(
        &self,
        report: &Report,
    ) -> Result<Option<Reported>, ChangeError<std::convert::Infallible>> {
        let scope = Scope::Report {
            report: report.clone(),
            limit: GRANTS_A_CHANGE,
        };
        let mut done: Option<Reported> = None;
        loop {
            let applied = self
                .changes
                .run(&scope, |snapshot| {
                    Ok(plan::report(snapshot, report, GRANTS_A_CHANGE))
                })
                .await?;
            // Another replica that got the same delivery may have come to its end first.
            let Some((part, is_whole)) = applied else {
                return Ok(done);
            };
            let sum = done.get_or_insert_default();
            sum.grants += part.grants;
            sum.credentials += part.credentials;
            if is_whole {
                return Ok(done);
            }
        }
    }

    /// Invalidates the next grants that a kill takes, in one change that notes them as taken. `None` if there are none.
    /// A token that a refresh in flight brings does not undo it.
    pub async fn kill(
        &self,
        batch: &KillBatch,
    ) -> Result<Option<KilledBatch>, ChangeError<std::convert::Infallible>> {
        let scope = Scope::Kill(batch.clone());
        self.changes
            .run(&scope, |snapshot| Ok(plan::kill(snapshot, &batch.order)))
            .await
    }

    /// Forgets a credential, and its grant when no other uses it. `false` if there is none of that name.
    pub async fn delete_credential(
        &self,
        key: &CredentialKey,
    ) -> Result<bool, ChangeError<std::convert::Infallible>> {
        let scope = Scope::Credential {
            key: key.clone(),
            connecting: None,
        };
        let deleted = self
            .changes
            .run(&scope, |snapshot| {
                Ok(plan::delete_credential(snapshot, key).map(|change| (change, ())))
            })
            .await?;
        Ok(deleted.is_some())
    }

    /// Replaces a credential's labels, only if it is still of `version` where one is given.
    pub async fn update_labels(
        &self,
        key: &CredentialKey,
        labels: &BTreeMap<String, String>,
        version: Option<u64>,
    ) -> Result<(), ChangeError<UpdateLabelsError>> {
        let scope = Scope::Credential {
            key: key.clone(),
            connecting: None,
        };
        self.changes
            .run(&scope, |snapshot| {
                plan::update_labels(snapshot, key, labels.clone(), version)
                    .map(|change| Some((change, ())))
            })
            .await?;
        Ok(())
    }

    /// Registers an integration.
    pub async fn create_integration(
        &self,
        key: &IntegrationKey,
        new: &IntegrationUpdate,
    ) -> Result<Integration, ChangeError<CreateIntegrationError>> {
        let scope = integration_scope(key, new);
        let created = self
            .changes
            .run(&scope, |snapshot| {
                plan::create_integration(snapshot, key, new).map(Some)
            })
            .await?;
        Ok(created.expect("a new integration is always a change"))
    }

    /// Changes an integration.
    pub async fn update_integration(
        &self,
        key: &IntegrationKey,
        update: &IntegrationUpdate,
    ) -> Result<Integration, ChangeError<UpdateIntegrationError>> {
        let scope = integration_scope(key, update);
        let updated = self
            .changes
            .run(&scope, |snapshot| {
                plan::update_integration(snapshot, key, update).map(Some)
            })
            .await?;
        Ok(updated.expect("an update always raises the version"))
    }

    /// Forgets an integration. `false` if there is none of that name.
    pub async fn delete_integration(
        &self,
        key: &IntegrationKey,
    ) -> Result<bool, ChangeError<std::convert::Infallible>> {
        let scope = Scope::Integration {
            key: key.clone(),
            credentials: Vec::new(),
        };
        let deleted = self
            .changes
            .run(&scope, |snapshot| {
                Ok(plan::delete_integration(snapshot, key).map(|change| (change, ())))
            })
            .await?;
        Ok(deleted.is_some())
    }
}

/// The scope of a credential for which `tokens` are about to be stored.
fn connecting(
    key: &CredentialKey,
    client: &ClientKey,
    account: Option<&str>,
    tokens: &TokenSet,
) -> Scope {
    let refresh_token = tokens.refresh_token.as_ref();
    Scope::Credential {
        key: key.clone(),
        connecting: Some(Connecting {
            client: client.clone(),
            account: account.map(str::to_owned),
            refresh_token: refresh_token.map(RefreshToken::sha512_twice),
        }),
    }
}

/// Tells the operator of a refresh token that more than one grant spends from now on. Nobody else is told: a tenant learns
/// nothing of another.
fn tell_elsewhere(brought_for: &CredentialKey, elsewhere: &[CredentialKey]) {
    if elsewhere.is_empty() {
        return;
    }
    let others: Vec<_> = elsewhere.iter().map(ToString::to_string).collect();
    warn!(
        credential = %brought_for, others = others.join(", "),
        "a refresh token was brought that credentials of other tenants or clients hold: each of them will spend it"
    );
}

fn integration_scope(key: &IntegrationKey, update: &IntegrationUpdate) -> Scope {
    Scope::Integration {
        key: key.clone(),
        credentials: update.credentials.clone().unwrap_or_default(),
    }
}
