//! Consents: a user is sent to a provider, comes back with a code, and a credential is there.
//!
//! 1. [`Consents::begin`] makes a state, a code verifier and a nonce, keeps them sealed under the state's hash, and
//!    tells where to send the browser.
//! 2. The provider sends the browser to the redirect URI: the caller's own, the server's ([`crate::callback`]), or
//!    one of the command line.
//! 3. [`Consents::complete`] takes what was kept, which only one can, redeems the code once, and creates or reconnects
//!    the credential through the registry.

mod ask;
mod authority;
mod device;
mod error;
mod finish;
mod http;
mod pending;
mod redirect;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use evergrant_core::clock::{Clock, Timestamp};
use evergrant_core::grant::GrantType;
use evergrant_core::ids::{ClientKey, CredentialKey, TenantId};
use evergrant_core::registry::Registry;
use evergrant_core::store::{CredentialView, Directory as _, GrantStore as _};
use secrecy::SecretString;
use tokio_util::task::TaskTracker;

pub use self::authority::{
    Authority, Denied, DeviceAnswer, DeviceCodes, Facts, Granted, Unfit, Way,
};
pub use self::device::{BeginDevice, BegunDevice, Polled};
pub use self::error::ConsentError;
pub use self::finish::{About, Answer, Completed, Ended, Outcome, token_set};
pub use self::http::HttpAuthority;
pub use self::pending::Pending;

use self::ask::{check_pairs, check_parameters, check_placeholders, check_scopes, invalid};
use self::finish::Door;
use crate::store::{SqlStore, StateHash};

/// How long a user may take to consent (RFC 9700 section 4.7 asks for a short time).
pub const LIFETIME: Duration = Duration::from_secs(600);

/// Bytes of a state, a code verifier and a nonce: 256 random bits each.
const RANDOM_BYTES: usize = 32;

/// The scope that asks for an id_token (OpenID Connect Core section 3.1.2.1).
const OPENID: &str = "openid";

/// Begins consents and completes them. Cheap to clone.
#[derive(Clone)]
pub struct Consents {
    parts: Arc<Parts>,
}

/// What consents are made with.
pub struct Parts {
    /// Creates and reconnects credentials.
    pub registry: Registry,
    /// Keeps states and knows credentials.
    pub store: Arc<SqlStore>,
    /// Speaks to the providers.
    pub authority: Arc<dyn Authority>,
    /// The time at which tokens are issued.
    pub clock: Arc<dyn Clock>,
    /// Where the server's own callback may send a browser.
    pub return_urls: Vec<String>,
    /// How long a code's exchange may take.
    pub timeout: Duration,
    /// On which consents are completed, whether or not their callers wait.
    pub tasks: TaskTracker,
}

/// What a caller asks for.
#[derive(Debug, Clone)]
pub struct Begin {
    /// The credential to create or to reconnect.
    pub key: CredentialKey,
    /// The client to ask with.
    pub client: ClientKey,
    /// Notes for a new credential.
    pub labels: BTreeMap<String, String>,
    /// Scopes to ask for, exactly.
    pub scopes: Vec<String>,
    /// Where the user comes back to; empty for the client's first.
    pub redirect_uri: String,
    /// Further query parameters for the provider.
    pub parameters: BTreeMap<String, String>,
    /// Values for placeholders of the catalogue entry.
    pub placeholders: BTreeMap<String, String>,
    /// Whether another account than before may be connected.
    pub allow_account_change: bool,
    /// Where the server's own callback sends the browser in the end; empty for its page.
    pub return_url: String,
}

/// A consent that has begun.
#[derive(Clone)]
pub struct Begun {
    /// Where to send the user's browser.
    pub url: String,
    /// What comes back with it.
    pub state: String,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl fmt::Debug for Consents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consents").finish_non_exhaustive()
    }
}

/// Neither the state nor the URL, which holds it, is shown.
impl fmt::Debug for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let expires_at = &self.expires_at;
        f.debug_struct("Begun")
            .field("expires_at", expires_at)
            .finish_non_exhaustive()
    }
}

impl Consents {
    /// Consents that are made with `parts`.
    pub fn new(parts: Parts) -> Self {
        Self {
            parts: Arc::new(parts),
        }
    }

    /// Begins a consent. Makes no call to the provider and changes no credential.
    ///
    /// Cancelled, it may leave a state behind that nobody was told and that ends by itself.
    pub async fn begin(&self, begin: Begin) -> Result<Begun, ConsentError> {
        let parts = &*self.parts;
        let facts = parts.authority.facts(&begin.client)?;
        check_scopes(&begin.scopes)?;
        check_parameters(&begin.parameters, &facts.scope_parameter)?;
        check_pairs("placeholders", &begin.placeholders)?;
        let return_url = parts.return_url(&begin.return_url)?;
        let redirect_uri = redirect_uri(&begin, &facts)?;
        let placeholders = parts
            .fitting_placeholders(&begin.key, &begin.client, &facts, begin.placeholders)
            .await?;
        if !begin.allow_account_change {
            let (key, scopes) = (&begin.key, &begin.scopes);
            parts
                .check_account(key, &facts, scopes, &placeholders)
                .await?;
        }
        let pending = Pending {
            key: begin.key,
            client: begin.client,
            labels: begin.labels,
            scopes: begin.scopes,
            redirect_uri,
            device_code: None,
            code_verifier: facts.pkce.then(|| SecretString::from(random())),
            nonce: facts.openid.then(random),
            placeholders,
            allow_account_change: begin.allow_account_change,
            return_url,
        };
        let state = random();
        let authority = &parts.authority;
        let url = authority
            .check(&pending, Way::Browser)
            .and_then(|()| authority.url(&pending, &state, &begin.parameters))?;
        let hash = StateHash::of(&state);
        let tenant = &pending.key.tenant;
        let payload = pending.write();
        let kept = parts
            .store
            .keep_authorization(&hash, tenant, &payload, LIFETIME);
        Ok(Begun {
            expires_at: kept.await?,
            url: url.into(),
            state,
        })
    }

    /// Completes a consent with what the callback brought: takes the state, redeems the code, and creates or reconnects
    /// the credential. With `tenants`, a state of another tenant is as good as unknown and stays good for its own.
    ///
    /// It runs to its end when it is cancelled. A consent that was taken is spent, whatever comes of it.
    pub async fn complete(&self, answer: Answer, tenants: Option<Vec<TenantId>>) -> Ended {
        self.finish(answer, Door::Caller(tenants)).await
    }

    /// The same for what came to the server's own callback, from nobody knows whom. A consent that was begun for another
    /// redirect URI does not end here: whoever answers there checks what this callback cannot. It stays as good as it
    /// was.
    pub async fn complete_here(&self, answer: Answer) -> Ended {
        self.finish(answer, Door::Callback).await
    }

    async fn finish(&self, answer: Answer, door: Door) -> Ended {
        let parts = self.parts.clone();
        let work = async move { finish::finish(&parts, answer, door).await };
        self.parts.tasks.spawn(work).await.unwrap_or(Ended {
            about: None,
            result: Err(ConsentError::Internal("completing a consent panicked")),
        })
    }
}

impl Parts {
    async fn view(&self, key: &CredentialKey) -> Result<Option<CredentialView>, ConsentError> {
        Ok(self.store.credential(key).await?)
    }

    /// Only an address that the configuration names, letter by letter: nobody can make this a redirector to anywhere.
    fn return_url(&self, asked: &str) -> Result<Option<String>, ConsentError> {
        if asked.is_empty() {
            return Ok(None);
        }
        let known = self.return_urls.iter().find(|known| *known == asked);
        known.cloned().map(Some).ok_or_else(|| {
            invalid(
                "return_url",
                "is none of authorization.return_urls in the configuration",
            )
        })
    }

    /// Refuses a reconnect that would not learn whether the account is the one before: without the scope that an
    /// OpenID provider names it for, or, where nothing names it, at another address, which is all that is known of it.
    async fn check_account(
        &self,
        key: &CredentialKey,
        facts: &Facts,
        scopes: &[String],
        placeholders: &BTreeMap<String, String>,
    ) -> Result<(), ConsentError> {
        let asks = facts.openid && scopes.iter().any(|scope| scope == OPENID);
        if asks || facts.names_account {
            return Ok(());
        }
        let Some(grant) = self.store.grant_of(key).await? else {
            return Ok(());
        };
        if facts.openid && grant.facts.account.is_some() {
            let why = format!(
                "must have {OPENID}: credential {key} has a provider_account, and without it nothing says whether the same \
                 one consents; allow_account_change goes without"
            );
            return Err(invalid("scopes", why));
        }
        let before = &grant.tokens.metadata;
        let is_other = |name: &&String| match (before.get(*name), placeholders.get(*name)) {
            (Some(before), Some(now)) => before != now,
            _ => false,
        };
        match facts.address_placeholders.iter().find(is_other) {
            Some(name) => {
                let why = format!(
                    "is not that of credential {key}, and nothing else says whose account this is; \
                     allow_account_change takes another one"
                );
                Err(invalid(&format!("placeholders.{name}"), why))
            }
            None => Ok(()),
        }
    }

    /// The placeholders that were given, and those that the credential's grant already has a value for. Refuses a
    /// credential that is there and that this client's tokens do not fit.
    async fn fitting_placeholders(
        &self,
        key: &CredentialKey,
        client: &ClientKey,
        facts: &Facts,
        mut given: BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, ConsentError> {
        check_placeholders(&given, &facts.known_placeholders)?;
        let Some(view) = self.view(key).await? else {
            return Ok(given);
        };
        check_fits(&view, client)?;
        if facts
            .placeholders
            .iter()
            .all(|name| given.contains_key(name))
        {
            return Ok(given);
        }
        if let Some(grant) = self.store.grant_of(key).await? {
            let known = grant.tokens.metadata.into_iter();
            for (name, value) in known.filter(|(name, _)| facts.placeholders.contains(name)) {
                given.entry(name).or_insert(value);
            }
        }
        Ok(given)
    }
}

fn redirect_uri(begin: &Begin, facts: &Facts) -> Result<String, ConsentError> {
    let client = &begin.client.client;
    if begin.redirect_uri.is_empty() {
        let first = facts.redirect_uris.first().cloned();
        let why = || format!("must be given: client {client} has no redirect_uris");
        return first.ok_or_else(|| invalid("redirect_uri", why()));
    }
    if !redirect::is_registered(&begin.redirect_uri, &facts.redirect_uris) {
        let why = format!("is none of the redirect_uris of client {client} in the configuration");
        return Err(invalid("redirect_uri", why));
    }
    Ok(begin.redirect_uri.clone())
}

/// Tokens of one client must not become those of a grant of another.
fn check_fits(view: &CredentialView, client: &ClientKey) -> Result<(), ConsentError> {
    let (key, grant) = (&view.credential.key, &view.grant);
    if grant.client != *client {
        let why = format!("credential {key} is of client {}", grant.client.client);
        return Err(invalid("credential.client", why));
    }
    if grant.grant_type != GrantType::AuthorizationCode {
        let why = format!("credential {key} is not of a user's consent");
        return Err(invalid("credential.credential_id", why));
    }
    Ok(())
}

/// 256 random bits as text that fits into a URL (RFC 7636 section 4.1 asks for at least 43 characters).
fn random() -> String {
    let mut bytes = [0; RANDOM_BYTES];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's random source works");
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests;
