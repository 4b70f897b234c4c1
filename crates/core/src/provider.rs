//! The provider port: one call to a token or revocation endpoint, and what its answer means.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;

use crate::clock::Timestamp;
use crate::grant::{Grant, GrantType, InvalidationReason};
use crate::ids::ClientKey;
use crate::minted::MintedBy;
use crate::secret::{AccessToken, RefreshToken};

/// Speaks to token endpoints. It keeps no state of a grant and never retries by itself: whether a second
/// call with the same refresh token is allowed is decided by the refresh protocol alone.
#[async_trait]
pub trait Providers: Send + Sync + 'static {
    /// What is known of a client's provider before any call, whether or not the client is configured. Fails if the
    /// catalogue has no such provider.
    fn profile(&self, client: &ClientKey) -> Result<Profile, UnknownClient>;

    /// What calls a client's budget allows; what it allows by default, where the catalogue no longer has the provider.
    fn limits(&self, client: &ClientKey) -> Limits {
        let profile = self.profile(client);
        profile.map(|profile| profile.limits).unwrap_or_default()
    }

    /// How a client's grants are renewed; as usual, where the catalogue no longer has the provider.
    fn renewal(&self, client: &ClientKey) -> Renewal {
        let profile = self.profile(client);
        profile.map(|profile| profile.renewal).unwrap_or_default()
    }

    /// Whether calls can be made for a client. Fails if it is not configured.
    fn check(&self, client: &ClientKey) -> Result<(), UnknownClient>;

    /// Whether the stored token was minted with a configuration that this replica's has replaced: with another client,
    /// secret, key, parameter or endpoint. Such a token is of no use, however long it is good. Makes no call.
    fn is_outdated(&self, _grant: &Grant) -> bool {
        false
    }

    /// Makes exactly one request to the grant's token endpoint, and none if the grant cannot be expressed
    /// as a request.
    /// Where the client has several secrets, or alternates, a request that was refused for them is followed by one
    /// with the next, since a provider that refuses the client has spent nothing. One with an assertion that was signed
    /// by a wrong clock, as its refusal shows, is followed by one that is signed anew. Where the provider tells when a
    /// token ends only when it is asked, it is asked once after a success.
    ///
    /// It ends within `timeout`, body included. Cancelling it may leave the refresh token spent, so it is
    /// awaited only by tasks that nobody cancels.
    async fn refresh(&self, grant: &Grant, timeout: Duration) -> Result<Issued, CallError>;

    /// Asks the provider to take a grant back (RFC 7009): by its refresh token where there is one, unless the catalogue
    /// says otherwise, and by its access token otherwise.
    ///
    /// A token that the provider does not know, or knows to be dead, is [`Revocation::Revoked`] (RFC 7009 section 2.2),
    /// so no error has the verdict [`Verdict::Grant`]. It ends within `timeout`, body included, and may be cancelled and
    /// repeated.
    async fn revoke(&self, grant: &Grant, timeout: Duration) -> Result<Revocation, CallError>;
}

/// What became of a revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    /// The provider took the grant's token back, or has done so before.
    Revoked,
    /// The provider has no way to do so that is known.
    NotSupported,
}

/// What is known of a provider before any call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// What becomes of a refresh token that was used.
    pub rotation: Rotation,
    /// Grant types that can be created for this provider.
    pub grant_types: Vec<GrantType>,
    /// Whether the provider is known to refuse a good refresh token now and then, so that one refusal is
    /// confirmed by a second call.
    pub flaky_refusals: bool,
    /// When and how its grants are renewed, and what ends in spite of it.
    pub renewal: Renewal,
    /// Name of the HTTP header that carries an access token, e.g. `Authorization`.
    pub header_name: String,
    /// What stands before the token in that header, e.g. `Bearer`; empty for the bare token.
    pub header_scheme: String,
    /// How much may be asked of the token endpoint.
    pub limits: Limits,
}

/// How much a replica may ask of a client's token endpoint. What is not set is for the replica's own default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Refreshes at a time, 1 or more.
    pub concurrent: Option<u32>,
    /// Calls in any minute, 1 or more. Not set: any number.
    pub per_minute: Option<u32>,
}

impl Limits {
    /// These limits, and for what they do not set those of `other`.
    pub fn or(self, other: Self) -> Self {
        Self {
            concurrent: self.concurrent.or(other.concurrent),
            per_minute: self.per_minute.or(other.per_minute),
        }
    }
}

/// When and how the grants of a provider are renewed, and what ends in spite of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewal {
    /// The access token itself is redeemed for the next one; there is no refresh token.
    pub self_renewing: bool,
    /// The provider renews no token that is younger than this.
    pub min_age: Option<Duration>,
    /// The provider renews no grant whose access token has expired.
    pub only_while_valid: bool,
    /// How long before a refresh token ends of age or idleness it is to be used. `None`: seven days, or a fifth of
    /// a shorter lifetime.
    pub refresh_token_margin: Option<Duration>,
    /// A refresh moves the refresh token's end ahead: the provider rotates refresh tokens, each with an end of its own.
    /// `false`: the end was fixed at the consent, unless it is one by idleness.
    pub end_moves: bool,
    /// How long a refresh token lasts from its last use, where nothing but use moves its end. An end that is not just
    /// this was stated, and fixed at the consent.
    pub refresh_token_idle: Option<Duration>,
    /// How long a grant lasts from its consent, however often it is refreshed. `None`: without limit, as far as is
    /// known.
    pub grant_lifetime: Option<Duration>,
    /// A new token ends the one before: of minted ones that with the same means, of others that of the same account.
    pub single_active_token: bool,
}

impl Default for Renewal {
    /// Refresh tokens that are renewed with each use, and no limit that is known.
    fn default() -> Self {
        Self {
            self_renewing: false,
            min_age: None,
            only_while_valid: false,
            refresh_token_margin: None,
            end_moves: true,
            refresh_token_idle: None,
            grant_lifetime: None,
            single_active_token: false,
        }
    }
}

/// What becomes of a refresh token that was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// It stays good; answers usually hold no new one.
    None,
    /// A new one comes with each use, and the old one stays good.
    Rotates,
    /// It is spent at its first use; using it again is refused and may revoke the whole grant (RFC 9700
    /// section 4.14.2).
    SingleUse,
    /// It is replaced, and the old one is accepted for this long.
    Grace(Duration),
}

/// The configuration has no such client, or the catalogue no such provider.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UnknownClient {
    /// The catalogue has no entry of this name.
    #[error("provider {0} is not in the catalogue")]
    Provider(String),
    /// The configuration has no client of this name for the provider.
    #[error("client {client} of provider {provider} is not in the configuration")]
    Client {
        /// The provider.
        provider: String,
        /// The client that was asked for.
        client: String,
    },
    /// No client was named, and the provider has not just one.
    #[error("{}", unnamed(provider, clients))]
    Unnamed {
        /// The provider.
        provider: String,
        /// Its clients in the configuration.
        clients: Vec<String>,
    },
}

fn unnamed(provider: &str, clients: &[String]) -> String {
    match clients {
        [] => format!("provider {provider} has no client in the configuration"),
        several => format!(
            "provider {provider} has several clients: name one of {}",
            several.join(", ")
        ),
    }
}

/// A successful answer of a token endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The new access token.
    pub access_token: AccessToken,
    /// `Bearer` unless the answer says otherwise.
    pub token_type: String,
    /// When it expires, reckoned from when the request was sent: from the answer, else from what the
    /// catalogue knows of the provider, else unknown.
    pub expires_at: Option<Timestamp>,
    /// The new refresh token. `None`: the old one stays.
    pub refresh_token: Option<RefreshToken>,
    /// When the refresh token ends, if the answer or the catalogue says so.
    pub refresh_expires_at: Option<Timestamp>,
    /// Scopes, if the answer states them.
    pub scopes: Option<Vec<String>>,
    /// Facts that the catalogue asks to keep, e.g. `instance_url`. They replace those of the same name.
    pub metadata: BTreeMap<String, String>,
    /// With which configuration it was minted; `None` if it was not.
    pub minted_by: Option<MintedBy>,
}

/// Why a call brought no token.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct CallError {
    /// Who or what is at fault.
    pub verdict: Verdict,
    /// Whether the provider may have acted on the request.
    pub delivery: Delivery,
    /// The HTTP status of the answer, as far as one came.
    pub status: Option<u16>,
    /// The provider's own error code, e.g. `invalid_grant`; empty if none.
    pub code: String,
    /// For people; lower case, without full stop, holds no secret.
    pub message: String,
    /// When the provider asks to be tried again.
    pub retry_after: Option<Duration>,
    /// Whether a rejection of the client ([`Verdict::Client`]) may be about what this grant alone brings: the endpoint's
    /// host or path, the account that a token is minted for, a refresh token of another client, or one of several clients
    /// that it may belong to. Then it says little of the client for other grants; nor does a [`Verdict::RateLimit`] of an
    /// endpoint of the grant's own.
    pub grant_specific: bool,
}

impl CallError {
    /// Whether no request could be made of the grant, so that the provider was not called.
    pub fn is_no_call(&self) -> bool {
        self.verdict == Verdict::Request && self.delivery == Delivery::NotSent
    }
}

/// Who or what is at fault: decided by HTTP status first, by error code second, by prose never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The grant is dead, and only its user can mend it.
    Grant(InvalidationReason),
    /// The provider rejects the OAuth client. No grant is harmed.
    Client,
    /// The request was not what the provider wants: our bug or the catalogue's. No grant is harmed.
    Request,
    /// A passing failure: network, time-out, a fault of the provider's own.
    Transient,
    /// The provider throttles.
    RateLimit,
    /// The answer makes no sense: no token in it, a wrong format, too large.
    Protocol,
}

/// Whether the provider may have acted on a request, and so may have spent the refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Nothing was sent: no address, no connection, no TLS session.
    NotSent,
    /// It was sent, and a whole answer came.
    Answered,
    /// It was sent at least in part, and no whole answer came.
    Unknown,
}
