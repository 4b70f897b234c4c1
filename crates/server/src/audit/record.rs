//! A record of the trail: who did what to what, when, from where, and how it went.

use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;
use std::sync::Arc;

use evergrant_core::clock::Timestamp;
use evergrant_core::ids::{
    ClientKey, CredentialKey, Generation, GrantId, IntegrationKey, TenantId,
};
use serde::Serialize;

use super::action::{CAME_ABOUT, WATCH_ENDED};
use super::chain::Mac;

/// The outcome of what was done.
pub const OK: &str = "OK";
/// The outcome of a call that its caller gave up. Whether what it asked for came about is in the records of what did.
pub const CANCELLED: &str = "CANCELLED";

/// Evergrant itself, as the caller of what nobody asked for at that moment.
pub const EVERGRANT: &str = "evergrant";
/// Whoever reaches a listener that trusts everybody.
pub const ANONYMOUS: &str = "anonymous";
/// Whoever could not say who they are.
pub const UNKNOWN: &str = "unknown";
/// Names that no configured caller may bear.
pub const RESERVED: [&str; 3] = [EVERGRANT, ANONYMOUS, UNKNOWN];

/// Records found no room and are lost.
pub const RECORDS_LOST: &str = "AuditRecordsLost";
/// The trail was not as it was left.
pub const TRAIL_ALTERED: &str = "AuditTrailAltered";

const LONGEST_DETAIL: usize = 200;

/// What somebody did, or was refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Act {
    /// Who: the name of a configured caller, or one of the [`RESERVED`].
    pub caller: Arc<str>,
    /// From where; `None` for what Evergrant did itself.
    pub peer: Option<IpAddr>,
    /// What: the name of an RPC, or of what came about.
    pub action: &'static str,
    /// To what.
    pub subject: Subject,
    /// [`OK`], or the short name of the reason.
    pub outcome: &'static str,
    /// More of it in a few words; holds no secret.
    pub detail: String,
}

impl Act {
    /// What came about without a caller: an action of [`CAME_ABOUT`].
    pub fn of_evergrant(action: &'static str, subject: Subject) -> Self {
        debug_assert!(CAME_ABOUT.contains(&action), "{action} is not in the list");
        Self {
            caller: EVERGRANT.into(),
            peer: None,
            action,
            subject,
            outcome: OK,
            detail: String::new(),
        }
    }

    /// Whether it came to nothing.
    pub fn is_refusal(&self) -> bool {
        self.outcome != OK
    }

    /// Whether several of it within one batch are one record with a count: disclosures of the same token to the same
    /// caller, streams that it opened (a thousand come back at once where a replica goes), and refusals. A change is a record
    /// of its own.
    pub fn is_counted(&self) -> bool {
        let is_repeated = matches!(
            self.action,
            "GetToken" | "BatchGetTokens" | "Watch" | WATCH_ENDED
        );
        self.is_refusal() || is_repeated
    }
}

/// What something was done to. Whatever does not apply is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Subject {
    /// The tenant; known without the rest where a request names no more.
    pub tenant: Option<TenantId>,
    /// The credential.
    pub credential: Option<CredentialKey>,
    /// The integration.
    pub integration: Option<IntegrationKey>,
    /// The provider, where a client is not named too.
    pub provider: Option<String>,
    /// The OAuth client.
    pub client: Option<ClientKey>,
    /// The generation that was disclosed, or came about.
    pub generation: Option<Generation>,
    /// A grant whose credentials are looked up when the record is written: one record for each.
    pub grant: Option<GrantId>,
}

impl Subject {
    /// A credential.
    pub fn credential(key: &CredentialKey) -> Self {
        Self {
            credential: Some(key.clone()),
            ..Self::default()
        }
    }

    /// An integration.
    pub fn integration(key: &IntegrationKey) -> Self {
        Self {
            integration: Some(key.clone()),
            ..Self::default()
        }
    }

    /// An OAuth client.
    pub fn client(client: &ClientKey) -> Self {
        Self {
            client: Some(client.clone()),
            ..Self::default()
        }
    }

    /// The same of this generation.
    #[must_use]
    pub fn of(mut self, generation: Generation) -> Self {
        self.generation = Some(generation);
        self
    }
}

impl From<&CredentialKey> for Subject {
    fn from(key: &CredentialKey) -> Self {
        Self::credential(key)
    }
}

impl From<&IntegrationKey> for Subject {
    fn from(key: &IntegrationKey) -> Self {
        Self::integration(key)
    }
}

impl From<&ClientKey> for Subject {
    fn from(client: &ClientKey) -> Self {
        Self::client(client)
    }
}

/// An act that waits to be written, with how often it happened and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The act.
    pub act: Act,
    /// When it happened first, by this replica's clock.
    pub at: Timestamp,
    /// When it happened last.
    pub until: Timestamp,
    /// How often.
    pub count: u64,
}

impl Entry {
    /// An act that happened once.
    pub fn new(act: Act, at: Timestamp) -> Self {
        Self {
            act,
            at,
            until: at,
            count: 1,
        }
    }

    /// A number by which equal acts are found.
    pub(super) fn fingerprint(&self, hasher: &impl BuildHasher) -> u64 {
        hasher.hash_one(&self.act)
    }

    /// What it says as a record, but for its place in the chain.
    pub fn content(self) -> Content {
        let Self {
            act,
            at,
            until,
            count,
        } = self;
        let Act {
            caller,
            peer,
            action,
            subject,
            outcome,
            detail,
        } = act;
        let Subject {
            tenant,
            credential,
            integration,
            provider,
            client,
            generation,
            grant: _,
        } = subject;
        let named = |name: Option<&str>| name.unwrap_or_default().to_owned();
        let owner = credential.as_ref().map(|key| &key.tenant);
        let owner = owner.or(integration.as_ref().map(|key| &key.tenant));
        let provider_of = client.as_ref().map(|client| client.provider.as_str());
        Content {
            at: at.as_millis(),
            until: until.as_millis(),
            count: i64::try_from(count).unwrap_or(i64::MAX),
            caller: text(&caller),
            peer: peer.map(|peer| peer.to_string()).unwrap_or_default(),
            action: action.to_owned(),
            tenant: named(owner.or(tenant.as_ref()).map(TenantId::as_str)),
            credential: named(credential.as_ref().map(|key| key.id.as_str())),
            integration: named(integration.as_ref().map(|key| key.id.as_str())),
            provider: named(provider_of.or(provider.as_deref())),
            client: named(client.as_ref().map(|client| client.client.as_str())),
            generation: generation.map_or(0, |number| i64::try_from(number.0).unwrap_or(i64::MAX)),
            outcome: outcome.to_owned(),
            detail: text(&detail).chars().take(LONGEST_DETAIL).collect(),
        }
    }
}

/// Texts without what databases do not take.
fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// What a record says. A text that does not apply is empty, a generation that does not apply is 0. Times are
/// milliseconds since the Unix epoch, and written by whoever knows in which form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "as in `Act`, `Subject` and `Entry`")]
pub struct Content {
    #[serde(skip)]
    pub at: i64,
    #[serde(skip)]
    pub until: i64,
    pub count: i64,
    pub caller: String,
    pub peer: String,
    pub action: String,
    pub tenant: String,
    pub credential: String,
    pub integration: String,
    pub provider: String,
    pub client: String,
    pub generation: i64,
    pub outcome: String,
    pub detail: String,
}

/// A record in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its number: the first record of a store has 1, each later one has one more.
    pub number: u64,
    /// What it says.
    pub content: Content,
    /// The link of the chain that ends with it.
    pub mac: Mac,
}

impl Content {
    /// The bytes that are chained: every text with its length before it, so that no two records have the same.
    pub(super) fn bytes(&self, number: u64) -> Vec<u8> {
        const VERSION: u8 = 1;
        let Self {
            at,
            until,
            count,
            caller,
            peer,
            action,
            tenant,
            credential,
            integration,
            provider,
            client,
            generation,
            outcome,
            detail,
        } = self;
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&number.to_be_bytes());
        for value in [at, until, count, generation] {
            bytes.extend_from_slice(&value.to_be_bytes());
        }
        for text in [
            caller,
            peer,
            action,
            tenant,
            credential,
            integration,
            provider,
            client,
            outcome,
            detail,
        ] {
            bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes
    }
}
