//! The grant: a chain of token sets at a provider, and what is known of it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ageing::{Ahead, Dates};
use crate::clock::Timestamp;
use crate::failure::FailureReason;
use crate::ids::{ClientKey, Epoch, Generation, GrantId, OwnerToken, TenantId};
use crate::minted::MintedBy;
use crate::scopes::ScopeSet;
use crate::secret::{AccessToken, Parameter, RefreshToken, SigningKey};

/// How a grant's access tokens are obtained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GrantType {
    /// A user's consent, renewed with a refresh token (RFC 6749 sections 4.1 and 6).
    AuthorizationCode,
    /// Minted with the client's own credentials (RFC 6749 section 4.4).
    ClientCredentials,
    /// Minted with a signed assertion (RFC 7523).
    JwtBearer,
    /// Minted from another credential's access token (RFC 8693).
    TokenExchange,
    /// Stored as it is and never renewed.
    Static,
}

impl GrantType {
    /// Whether tokens of this kind are minted with the grant's own [`Means`], as often as they are wanted: no refresh
    /// token is spent, and no user is needed.
    pub const fn is_minted(self) -> bool {
        match self {
            Self::ClientCredentials | Self::JwtBearer | Self::TokenExchange => true,
            Self::AuthorizationCode | Self::Static => false,
        }
    }
}

/// One token set as a provider issued it, or as a caller brought it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSet {
    /// The access token.
    pub access_token: AccessToken,
    /// `Bearer` unless the provider says otherwise.
    pub token_type: String,
    /// When the access token expires. `None`: the provider states no expiry, so it is used until refused.
    pub expires_at: Option<Timestamp>,
    /// The refresh token. `None`: this grant cannot be renewed without its user.
    pub refresh_token: Option<RefreshToken>,
    /// When the refresh token ends unless it is used before, or for good, where the provider says so.
    pub refresh_expires_at: Option<Timestamp>,
    /// Scopes as the provider last stated them.
    pub scopes: Vec<String>,
    /// Non-secret facts that came with the tokens, e.g. `instance_url`. Sealed at rest all the same.
    pub metadata: BTreeMap<String, String>,
    /// With what the next token is minted; none unless the [grant type](GrantType::is_minted) says so.
    pub means: Means,
    /// With which configuration the access token was minted. `None`: it was not, or nobody took note.
    pub minted_by: Option<MintedBy>,
}

impl TokenSet {
    /// When a token ended that was never minted.
    const NEVER: Timestamp = Timestamp::from_millis(0);

    /// Means alone: the token has ended before it began, so whoever wants it has to mint one first.
    pub fn to_mint(means: Means) -> Self {
        Self {
            access_token: AccessToken::new(String::new()),
            token_type: "Bearer".to_owned(),
            expires_at: Some(Self::NEVER),
            refresh_token: None,
            refresh_expires_at: None,
            scopes: Vec::new(),
            metadata: BTreeMap::new(),
            means,
            minted_by: None,
        }
    }

    /// Whether there is a token, unlike in [`to_mint`](Self::to_mint).
    pub fn has_token(&self) -> bool {
        self.expires_at != Some(Self::NEVER)
    }
}

/// With what the tokens of a minted grant are minted. All of it is what a caller brought, and refreshing keeps it.
///
/// `Debug` shows the names of the parameters and nothing of their values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Means {
    /// Parameters that the provider's grant needs, by name, e.g. `corpid`, `account_id`, `subject`.
    pub parameters: BTreeMap<String, Parameter>,
    /// What signs the assertion of RFC 7523.
    pub signing_key: Option<SigningKey>,
    /// The scopes to ask for; empty leaves them to the provider.
    pub scopes: ScopeSet,
    /// The subject's access token (`subject_token` of RFC 8693 section 2.1), put there for one call and never stored.
    pub subject_token: Option<AccessToken>,
}

impl Means {
    /// Whether these means speak for an OAuth client of their own instead of the configured one: then what the
    /// provider says of the client concerns this grant alone.
    pub fn bring_client(&self) -> bool {
        ["client_id", "client_secret"]
            .iter()
            .any(|name| self.parameters.contains_key(*name))
    }

    /// The credential whose token is exchanged: the parameter `subject_credential`.
    pub fn subject_credential(&self) -> Option<&Parameter> {
        self.parameters.get("subject_credential")
    }
}

/// Why and when a grant died.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalidation {
    /// The reason, one of a few that a program can act on.
    pub reason: InvalidationReason,
    /// The provider's own error code, e.g. `invalid_grant`; empty if none.
    pub provider_error: String,
    /// For people; holds no secret.
    pub message: String,
    /// When it was found dead.
    pub at: Timestamp,
    /// Whether somebody outside said so, a caller or the provider by itself, rather than an answer to a call of ours. A
    /// token that turns up later does not undo it.
    pub reported: bool,
}

impl Invalidation {
    /// The message, or the reason where nobody gave one.
    pub fn words(&self) -> &str {
        if self.message.is_empty() {
            self.reason.as_str()
        } else {
            &self.message
        }
    }
}

/// What only the grant's user can mend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InvalidationReason {
    /// The provider says that the grant is revoked, expired or unknown.
    GrantRevoked,
    /// The access token ended and there is no refresh token.
    NotRefreshable,
    /// The refresh token reached its known end.
    RefreshTokenExpired,
    /// The user or an administrator denied or withdrew access, or must interact with the provider.
    AccessDenied,
    /// A rotated refresh token was spent, and its successor is lost or was taken by someone else.
    RotationLost,
    /// A caller said so.
    Reported,
    /// An operator killed it, with all others of its tenant, provider or client.
    Killed,
}

impl InvalidationReason {
    /// Every reason, in the order of declaration.
    pub const ALL: [Self; 7] = [
        Self::GrantRevoked,
        Self::NotRefreshable,
        Self::RefreshTokenExpired,
        Self::AccessDenied,
        Self::RotationLost,
        Self::Reported,
        Self::Killed,
    ];

    /// The name on the wire, e.g. `GRANT_REVOKED`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GrantRevoked => "GRANT_REVOKED",
            Self::NotRefreshable => "NOT_REFRESHABLE",
            Self::RefreshTokenExpired => "REFRESH_TOKEN_EXPIRED",
            Self::AccessDenied => "ACCESS_DENIED",
            Self::RotationLost => "ROTATION_LOST",
            Self::Reported => "REPORTED",
            Self::Killed => "KILLED",
        }
    }

    /// The reason of that name on the wire.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}

/// Whether a grant works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GrantState {
    /// It works, as far as anyone knows.
    Active,
    /// The provider refused it while the brake of its client was engaged: not believed yet, and not refreshed before
    /// its turn ([`crate::brake`]). Everywhere else it counts as active.
    Suspect(Invalidation),
    /// It is dead until its user connects again.
    Invalidated(Invalidation),
}

impl GrantState {
    /// The invalidation of a dead grant.
    pub fn invalidation(&self) -> Option<&Invalidation> {
        match self {
            Self::Active | Self::Suspect(_) => None,
            Self::Invalidated(invalidation) => Some(invalidation),
        }
    }

    /// Whether somebody outside said that it is dead: then no token that turns up later undoes it.
    pub fn is_reported_dead(&self) -> bool {
        self.invalidation().is_some_and(|dead| dead.reported)
    }

    /// What the provider says of a grant whose refusal is held.
    pub fn suspicion(&self) -> Option<&Invalidation> {
        match self {
            Self::Suspect(invalidation) => Some(invalidation),
            Self::Active | Self::Invalidated(_) => None,
        }
    }
}

/// Refreshes that failed in a row for a passing reason.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attempts {
    /// How many; 0 after a success.
    pub failed: u32,
    /// No attempt is due before this.
    pub next_at: Option<Timestamp>,
    /// What the last one failed of.
    pub last_failure: Option<PassingFailure>,
}

/// A failure that time may mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassingFailure {
    /// The reason, one of a few that a program can act on.
    pub reason: FailureReason,
    /// For people; holds no secret.
    pub message: String,
}

/// The right to call the provider for a grant, held by one attempt at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Who holds it.
    pub owner: OwnerToken,
    /// Its fencing token.
    pub epoch: Epoch,
    /// How long it still runs by the store's clock; zero once it has run out.
    pub left: Duration,
}

/// What is known of a grant apart from its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantFacts {
    /// The grant.
    pub id: GrantId,
    /// The tenant whose credentials use it.
    pub tenant: TenantId,
    /// The OAuth client that it was given to.
    pub client: ClientKey,
    /// The account at the provider, if known. Several grants may be of one account, each with scopes of its own.
    pub account: Option<String>,
    /// How its tokens are obtained.
    pub grant_type: GrantType,
    /// The grant whose means this one mints with, for another set of scopes. `None`: it is one of its own.
    pub parent: Option<GrantId>,
    /// The scopes that its means ask for; see [`Means::scopes`].
    pub requested_scopes: ScopeSet,
    /// The generation of the stored token set.
    pub generation: Generation,
    /// Raised by every write that makes what a replica remembers of the grant wrong: a new token set, a
    /// new state, a credential that joined or left.
    pub version: u64,
    /// Whether it works.
    pub state: GrantState,
    /// When its user connected, first or again.
    pub consented_at: Timestamp,
    /// When the stored token set was obtained.
    pub issued_at: Timestamp,
    /// When its access token expires, if known.
    pub expires_at: Option<Timestamp>,
    /// When its refresh token ends, if known.
    pub refresh_expires_at: Option<Timestamp>,
    /// Whether it can be renewed without its user: there is a refresh token, or tokens are minted.
    pub refreshable: bool,
    /// When it is due, and when it ends, as reckoned with the stored token set; none while it is dead.
    pub dates: Dates,
    /// The latest announcement of its end since its user connected.
    pub announced: Option<Ahead>,
    /// Scopes as last stated.
    pub scopes: Vec<String>,
    /// Failed attempts since the last success.
    pub attempts: Attempts,
    /// The lease of an attempt that has begun and not ended; it may have run out.
    pub lease: Option<Lease>,
    /// Whether an attempt that has ended, or whose lease ran out, may have spent the stored refresh token.
    pub in_doubt: bool,
    /// When the grant was first stored.
    pub created_at: Timestamp,
}

impl GrantFacts {
    /// Whether it has a token, good or not: a grant that is minted has none at first.
    pub fn has_token(&self) -> bool {
        self.expires_at != Some(TokenSet::NEVER)
    }
}

/// A grant with its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// What is known of it.
    pub facts: GrantFacts,
    /// The stored token set.
    pub tokens: TokenSet,
}
