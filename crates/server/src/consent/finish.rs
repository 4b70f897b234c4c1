//! The end of a consent.

use std::collections::BTreeMap;
use std::time::Duration;

use evergrant_core::change::plan::{CreateCredential, CreateError, Reconnect, ReconnectError};
use evergrant_core::change::run::ChangeError;
use evergrant_core::failure::FailureReason;
use evergrant_core::grant::{GrantType, Means, TokenSet};
use evergrant_core::ids::{CredentialKey, Generation, TenantId};
use evergrant_core::integration::Integration;
use evergrant_core::provider::Issued;
use evergrant_core::store::{CredentialView, GrantStore as _, StoreError};
use secrecy::{ExposeSecret as _, SecretString};
use tracing::{info, warn};

use super::authority::Granted;
use super::pending::Pending;
use super::{ConsentError, Parts, check_fits};
use crate::store::StateHash;

/// A credential may come and go between a look at it and its change, and a database may be out of reach for a moment.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);
/// What is shown of a provider's words.
const MAX_CHARS: usize = 300;
const MAX_ACCOUNT_BYTES: usize = 512;

/// What the callback brought.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The state.
    pub state: SecretString,
    /// A code, or a refusal.
    pub outcome: Outcome,
    /// `iss` of the callback (RFC 9207); empty if it has none.
    pub issuer: String,
}

/// A code, or a refusal.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The code to redeem.
    Code(SecretString),
    /// The provider's error (RFC 6749 section 4.1.2.1).
    Refused {
        /// Its code, e.g. `access_denied`.
        error: String,
        /// Its words; may be empty.
        description: String,
    },
}

/// A consent that is over.
#[derive(Debug)]
pub struct Ended {
    /// What it was about; `None` if its state was not found.
    pub about: Option<About>,
    /// What came of it.
    pub result: Result<Completed, ConsentError>,
}

/// What a consent was about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// The credential to create or to reconnect.
    pub key: CredentialKey,
    /// Where the server's own callback sends the browser.
    pub return_url: Option<String>,
}

/// A consent that ended with a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completed {
    /// The credential.
    pub key: CredentialKey,
    /// Whether it is new.
    pub created: bool,
    /// The integrations whose status a reconnect changed.
    pub integrations: Vec<Integration>,
}

/// Through which door an answer comes in.
pub(super) enum Door {
    /// A caller, for credentials of these tenants; `None` for all.
    Caller(Option<Vec<TenantId>>),
    /// The server's own callback, from a stranger.
    Callback,
}

pub(super) async fn finish(parts: &Parts, answer: Answer, door: Door) -> Ended {
    let unknown = |error| Ended {
        about: None,
        result: Err(error),
    };
    let hash = StateHash::of(answer.state.expose_secret());
    let tenants = match &door {
        Door::Caller(tenants) => tenants.as_deref(),
        Door::Callback => None,
    };
    // Anybody may ask with any state. Who guesses shall not take turns of SQLite's one writer.
    match parts.store.look_at_authorization(&hash, tenants).await {
        Ok(Some(payload)) => {
            let pending = Pending::read(&payload);
            if pending.as_ref().is_some_and(Pending::is_of_device) {
                return unknown(ConsentError::StateInvalid);
            }
            let elsewhere = |pending: Pending| !pending.ends_at_callback();
            if matches!(door, Door::Callback) && pending.is_some_and(elsewhere) {
                return unknown(ConsentError::Elsewhere);
            }
        }
        Ok(None) => return unknown(ConsentError::StateInvalid),
        Err(error) => return unknown(error.into()),
    }
    let pending = match parts.store.take_authorization(&hash, tenants).await {
        Ok(Some(payload)) => Pending::read(&payload),
        Ok(None) => return unknown(ConsentError::StateInvalid),
        Err(error) => return unknown(error.into()),
    };
    let Some(pending) = pending else {
        return unknown(ConsentError::Internal(
            "a kept authorization cannot be read",
        ));
    };
    let result = redeem(parts, &pending, answer).await;
    Ended {
        result: tell(&pending, result),
        about: Some(About {
            key: pending.key,
            return_url: pending.return_url,
        }),
    }
}

/// Counts and logs what came of a consent.
pub(super) fn tell(
    pending: &Pending,
    result: Result<Completed, ConsentError>,
) -> Result<Completed, ConsentError> {
    let outcome = match &result {
        Ok(done) => {
            info!(credential = %pending.key, created = done.created, "a consent was completed");
            if done.created {
                "created"
            } else {
                "reconnected"
            }
        }
        Err(error) => {
            info!(credential = %pending.key, %error, "a consent failed");
            "failed"
        }
    };
    let provider = pending.client.provider.to_string();
    metrics::counter!("evergrant_consents_total", "provider" => provider, "outcome" => outcome)
        .increment(1);
    result
}

async fn redeem(
    parts: &Parts,
    pending: &Pending,
    answer: Answer,
) -> Result<Completed, ConsentError> {
    let facts = parts.authority.facts(&pending.client)?;
    if let Some(issuer) = facts.issuer
        && !answer.issuer.is_empty()
        && answer.issuer != issuer
    {
        return Err(ConsentError::Refused {
            code: String::new(),
            message: "the answer is of another issuer than the one that was asked".to_owned(),
        });
    }
    let code = match answer.outcome {
        Outcome::Code(code) => code,
        Outcome::Refused { error, description } => return Err(refused(&error, &description)),
    };
    let granted = parts
        .authority
        .redeem(
            pending,
            answer.state.expose_secret(),
            code.expose_secret(),
            parts.timeout,
        )
        .await?;
    store(parts, pending, granted).await
}

fn refused(error: &str, description: &str) -> ConsentError {
    let (code, words) = (plain(error), plain(description));
    let message = match words.is_empty() {
        true => format!("the provider refused: {code}"),
        false => format!("the provider refused: {code}: {words}"),
    };
    ConsentError::Refused { code, message }
}

/// The text of a stranger for a line of ours: without control characters and marks that turn its direction, and short.
fn plain(text: &str) -> String {
    let is_mark = |letter: char| matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let letters = text
        .chars()
        .filter(|letter| !letter.is_control() && !is_mark(*letter));
    letters
        .take(MAX_CHARS)
        .collect::<String>()
        .trim()
        .to_owned()
}

/// Creates the credential, or reconnects the one that is there.
pub(super) async fn store(
    parts: &Parts,
    pending: &Pending,
    granted: Granted,
) -> Result<Completed, ConsentError> {
    let account = granted
        .account
        .clone()
        .filter(|account| !account.is_empty());
    if account
        .as_deref()
        .is_some_and(|account| account.len() > MAX_ACCOUNT_BYTES || account.contains('\0'))
    {
        return Err(ConsentError::Failed {
            reason: FailureReason::ProviderProtocolError,
            code: String::new(),
            message: "the provider's name of the account cannot be stored".to_owned(),
        });
    }
    let tokens = token_set(granted.issued, &pending.placeholders, &pending.scopes);
    for left in (0..TRIES).rev() {
        match store_once(parts, pending, account.clone(), tokens.clone()).await {
            Ok(Some(done)) => return Ok(done),
            Ok(None) => {}
            // Safe to repeat: a change that took place after all is found, and reconnected with the same tokens.
            Err(ConsentError::Store(StoreError::Unavailable(_))) if left > 0 => {
                tokio::time::sleep(PAUSE).await;
            }
            Err(ConsentError::Store(error)) => return Err(ConsentError::NotStored(error)),
            Err(error) => return Err(error),
        }
    }
    Err(ConsentError::Exists(pending.key.clone()))
}

/// `None` if the credential came or went meanwhile.
async fn store_once(
    parts: &Parts,
    pending: &Pending,
    account: Option<String>,
    tokens: TokenSet,
) -> Result<Option<Completed>, ConsentError> {
    match parts.view(&pending.key).await? {
        None => create(parts, pending, account, tokens).await,
        Some(view) => reconnect(parts, pending, &view, account, tokens).await,
    }
}

/// `None` if it is there by now.
async fn create(
    parts: &Parts,
    pending: &Pending,
    account: Option<String>,
    tokens: TokenSet,
) -> Result<Option<Completed>, ConsentError> {
    let new = CreateCredential {
        key: pending.key.clone(),
        client: pending.client.clone(),
        grant_type: GrantType::AuthorizationCode,
        account,
        labels: pending.labels.clone(),
        tokens,
        issued_at: parts.clock.now(),
        renewal: parts.authority.facts(&pending.client)?.renewal,
    };
    match parts.registry.create_credential(&new).await {
        Ok(()) => Ok(Some(Completed {
            key: new.key,
            created: true,
            integrations: Vec::new(),
        })),
        Err(ChangeError::Refused(CreateError::Exists(_))) => Ok(None),
        Err(ChangeError::Refused(CreateError::AccountMismatch(other))) => {
            Err(ConsentError::AccountMismatch(other))
        }
        Err(ChangeError::Store(error)) => Err(error.into()),
    }
}

/// `None` if it is gone by now.
async fn reconnect(
    parts: &Parts,
    pending: &Pending,
    view: &CredentialView,
    account: Option<String>,
    tokens: TokenSet,
) -> Result<Option<Completed>, ConsentError> {
    check_fits(view, &pending.client).map_err(|_| ConsentError::Exists(pending.key.clone()))?;
    let ask = Reconnect {
        key: pending.key.clone(),
        account,
        allow_account_change: pending.allow_account_change,
        resume_paused: false,
        tokens,
        issued_at: parts.clock.now(),
        renewal: parts.authority.facts(&pending.client)?.renewal,
    };
    match parts.registry.reconnect(&ask, &pending.client).await {
        Ok(integrations) => Ok(Some(Completed {
            key: ask.key,
            created: false,
            integrations,
        })),
        Err(ChangeError::Refused(ReconnectError::NotFound(_))) => Ok(None),
        Err(ChangeError::Refused(ReconnectError::AccountMismatch { credential })) => {
            // Of another credential they are stored already.
            if credential == ask.key {
                keep_unwanted(parts, view, &ask.tokens).await;
            }
            Err(ConsentError::AccountMismatch(credential))
        }
        Err(ChangeError::Refused(ReconnectError::HolderBusy(holder))) => {
            Err(ConsentError::HolderBusy(holder))
        }
        Err(ChangeError::Store(error)) => Err(error.into()),
    }
}

/// Tokens of an account that was not wanted. They are not revoked: at some providers that ends all that the account
/// ever granted to the client, and it may be a credential of its own here. So they are of no generation of the grant
/// either: those go with it when it is revoked.
async fn keep_unwanted(parts: &Parts, view: &CredentialView, tokens: &TokenSet) {
    let kept = parts.store.keep_orphan(
        &view.grant.id,
        Generation::NONE,
        tokens,
        "another account was connected",
    );
    if let Err(error) = kept.await {
        warn!(%error, "tokens of an unwanted account are not kept");
    }
}

/// What a consent with these placeholders, for these scopes, has brought. Scopes are those that the provider states; if
/// it states none, they are those asked for (RFC 6749 section 5.1).
pub fn token_set(
    issued: Issued,
    placeholders: &BTreeMap<String, String>,
    scopes: &[String],
) -> TokenSet {
    let mut metadata = placeholders.clone();
    metadata.extend(issued.metadata);
    TokenSet {
        access_token: issued.access_token,
        token_type: issued.token_type,
        expires_at: issued.expires_at,
        refresh_expires_at: issued
            .refresh_expires_at
            .filter(|_| issued.refresh_token.is_some()),
        refresh_token: issued.refresh_token,
        scopes: issued.scopes.unwrap_or_else(|| scopes.to_vec()),
        metadata,
        means: Means::default(),
        minted_by: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_providers_words_cannot_disturb_a_line() {
        let ConsentError::Refused { code, message } =
            refused("access_denied\r\n", "no\u{1b}[31m thanks\u{202e}\n")
        else {
            panic!("it is a refusal");
        };
        assert_eq!(code, "access_denied");
        assert_eq!(
            message,
            "the provider refused: access_denied: no[31m thanks"
        );
        let long = refused("x", &"y".repeat(10_000)).to_string();
        assert!(long.len() < 400, "{}", long.len());
    }
}
