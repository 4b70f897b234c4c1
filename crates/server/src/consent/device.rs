//! Consents of users who have no browser where the credential is wanted (RFC 8628).

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use evergrant_core::clock::Timestamp;
use evergrant_core::ids::{ClientKey, CredentialKey, TenantId};
use secrecy::{ExposeSecret as _, SecretString};
use tracing::warn;

use super::ask::{check_pairs, check_scopes};
use super::authority::{Denied, DeviceAnswer, Way};
use super::finish::{Completed, store, tell};
use super::pending::Pending;
use super::{ConsentError, Consents, Parts, random};
use crate::store::StateHash;

/// What a caller asks for.
#[derive(Debug, Clone)]
pub struct BeginDevice {
    /// The credential to create or to reconnect.
    pub key: CredentialKey,
    /// The client to ask with.
    pub client: ClientKey,
    /// Notes for a new credential.
    pub labels: BTreeMap<String, String>,
    /// Scopes to ask for, exactly.
    pub scopes: Vec<String>,
    /// Values for placeholders of the catalogue entry.
    pub placeholders: BTreeMap<String, String>,
    /// Whether another account than before may be connected.
    pub allow_account_change: bool,
}

/// A consent that has begun.
#[derive(Clone)]
pub struct BegunDevice {
    /// What is asked with whether the user has consented.
    pub state: String,
    /// What the user enters.
    pub user_code: String,
    /// Where.
    pub verification_uri: String,
    /// The same with the code in it, where the provider has such an address.
    pub verification_uri_complete: Option<String>,
    /// When it ends.
    pub expires_at: Timestamp,
    /// The least time between two questions.
    pub interval: Duration,
}

/// What a question came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Polled {
    /// The user has not decided yet.
    Pending {
        /// Whether the interval has to grow by five seconds.
        slow_down: bool,
    },
    /// The user consented.
    Completed(Completed),
}

/// Neither the state nor the codes are shown.
impl fmt::Debug for BegunDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BegunDevice")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

impl Consents {
    /// Begins a consent on another device: asks the provider for codes, and changes no credential.
    ///
    /// Cancelled, it may leave codes at the provider that end by themselves.
    pub async fn begin_device(&self, begin: BeginDevice) -> Result<BegunDevice, ConsentError> {
        let parts = &*self.parts;
        let facts = parts.authority.facts(&begin.client)?;
        check_scopes(&begin.scopes)?;
        check_pairs("placeholders", &begin.placeholders)?;
        let placeholders = parts
            .fitting_placeholders(&begin.key, &begin.client, &facts, begin.placeholders)
            .await?;
        if !begin.allow_account_change {
            let (key, scopes) = (&begin.key, &begin.scopes);
            parts
                .check_account(key, &facts, scopes, &placeholders)
                .await?;
        }
        let mut pending = Pending {
            key: begin.key,
            client: begin.client,
            labels: begin.labels,
            scopes: begin.scopes,
            redirect_uri: String::new(),
            code_verifier: None,
            device_code: None,
            nonce: None,
            placeholders,
            allow_account_change: begin.allow_account_change,
            return_url: None,
        };
        parts.authority.check(&pending, Way::Device)?;
        let codes = parts.authority.begin_device(&pending, parts.timeout).await;
        let codes = codes.map_err(not_spent)?;
        pending.device_code = Some(codes.device_code);
        let state = random();
        let (hash, payload) = (StateHash::of_device(&state), pending.write());
        let tenant = &pending.key.tenant;
        let kept = parts
            .store
            .keep_authorization(&hash, tenant, &payload, codes.expires_in);
        Ok(BegunDevice {
            expires_at: kept.await?,
            state,
            user_code: codes.user_code,
            verification_uri: codes.verification_uri,
            verification_uri_complete: codes.verification_uri_complete,
            interval: codes.interval,
        })
    }

    /// Asks the provider once whether the user has consented, and if so creates or reconnects the credential. With
    /// `tenants`, a state of another tenant is as good as unknown.
    ///
    /// It runs to its end when it is cancelled. The state stays until the user has decided.
    pub async fn poll_device(
        &self,
        state: SecretString,
        tenants: Option<Vec<TenantId>>,
    ) -> Result<Polled, ConsentError> {
        let parts = self.parts.clone();
        let work = async move { poll(&parts, &state, tenants.as_deref()).await };
        let polled = self.parts.tasks.spawn(work).await;
        polled.unwrap_or(Err(ConsentError::Internal("completing a consent panicked")))
    }
}

async fn poll(
    parts: &Parts,
    state: &SecretString,
    tenants: Option<&[TenantId]>,
) -> Result<Polled, ConsentError> {
    let hash = StateHash::of_device(state.expose_secret());
    let kept = parts.store.look_at_authorization(&hash, tenants).await?;
    let kept = kept.ok_or(ConsentError::StateInvalid)?;
    let unreadable = ConsentError::Internal("a kept authorization cannot be read");
    let pending = Pending::read(&kept).ok_or(unreadable)?;
    let Some(device_code) = &pending.device_code else {
        return Err(ConsentError::StateInvalid);
    };
    let answer = parts
        .authority
        .poll_device(&pending, device_code.expose_secret(), parts.timeout)
        .await;
    let granted = match answer {
        Ok(DeviceAnswer::Pending) => return Ok(Polled::Pending { slow_down: false }),
        Ok(DeviceAnswer::SlowDown) => return Ok(Polled::Pending { slow_down: true }),
        Ok(DeviceAnswer::Granted(granted)) => granted,
        Err(denied) if denied.reason.is_some() => return Err(not_spent(denied)),
        Ok(DeviceAnswer::Spent(denied)) | Err(denied) => {
            forget(parts, &hash).await;
            return tell(&pending, Err(denied.into())).map(Polled::Completed);
        }
    };
    forget(parts, &hash).await;
    // The tokens came to this question alone, so they are stored even if another one took the state meanwhile.
    let stored = store(parts, &pending, *granted).await;
    tell(&pending, stored).map(Polled::Completed)
}

/// A state that stays in spite of this does no harm: the provider knows its code no more, and it ends by itself.
async fn forget(parts: &Parts, hash: &StateHash) {
    if let Err(error) = parts.store.take_authorization(hash, None).await {
        warn!(%error, "a spent state is still kept");
    }
}

/// A failure after which the state is as good as before.
fn not_spent(denied: Denied) -> ConsentError {
    match denied {
        Denied {
            reason: Some(reason),
            code,
            message,
        } => ConsentError::Failed {
            reason,
            code,
            message,
        },
        refused => refused.into(),
    }
}
