//! Changes that are told to watchers, computed from a snapshot and applied whole or not at all.
//!
//! The path of one change: read a [`Snapshot`] of everything that it concerns, compute a [`ChangeSet`] with one
//! of the functions in [`plan`], hand it to [`Directory::apply`](crate::store::Directory::apply), and read again
//! if something moved in between. So the rules (who is told what, which integration heals) are pure
//! functions here, once for every database, and a change and its events are one commit (invariant E1).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ageing::{Ahead, Dates};
use crate::brake::{Brake, Refusals};
use crate::clock::Timestamp;
use crate::events::EventBody;
use crate::grant::{GrantFacts, GrantType, Invalidation, PassingFailure, TokenSet};
use crate::ids::{
    ClientKey, CredentialId, CredentialKey, Epoch, Generation, GrantId, IntegrationKey, TenantId,
};
use crate::integration::Integration;
use crate::kill::{KillBatch, Killed};
use crate::report::{DeliveryId, Report};
use crate::store::Credential;

pub mod plan;
pub mod run;

/// What a change concerns: how much of the store its snapshot holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// A grant and those derived from it, every credential that uses it, and every integration that needs one of
    /// those.
    Grant(GrantId),
    /// A credential: the scope of its grant, and every integration that needs it, even while it does not
    /// exist. Where `connecting` is set, also the scope of every grant that the new tokens may go to.
    Credential {
        /// The credential, which need not exist.
        key: CredentialKey,
        /// What is about to be stored for it.
        connecting: Option<Connecting>,
    },
    /// An integration, and the credentials that it needs or is about to need, with their grants. Of those
    /// credentials the ones that do not exist are missing from the snapshot.
    Integration {
        /// The integration, which need not exist.
        key: IntegrationKey,
        /// Credentials whose standing is wanted besides those that it has.
        credentials: Vec<CredentialId>,
    },
    /// The health of an OAuth client, and how its refreshes ended lately.
    Client(ClientKey),
    /// A grant that the provider refused: the scope of the grant, and how other refreshes of its client ended lately.
    Refusal {
        /// The grant.
        grant: GrantId,
        /// Its client.
        client: ClientKey,
    },
    /// What a provider reports: whether its delivery is remembered, and the first `limit` grants that it
    /// [concerns](Report::concerns) and that nobody reported dead, by id and over all tenants, each as in [`Scope::Grant`].
    Report {
        /// The report.
        report: Report,
        /// Grants at most.
        limit: u32,
    },
    /// The next grants that a kill takes, by id, each as in [`Scope::Grant`].
    Kill(KillBatch),
}

/// Tokens that are about to be stored for a credential. They may go to the grants of its tenant and this client that are
/// of the account or hold the refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connecting {
    /// The client.
    pub client: ClientKey,
    /// The account at the provider, if known.
    pub account: Option<String>,
    /// [`RefreshToken::sha512_twice`](crate::secret::RefreshToken::sha512_twice) of the refresh token, if there is one.
    pub refresh_token: Option<[u8; 64]>,
}

/// How many credentials a snapshot names at most that hold a refresh token elsewhere.
pub const ELSEWHERE: u32 = 10;

/// A grant that holds the refresh token which is about to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The grant.
    pub id: GrantId,
    /// The generation that its tokens were read at: another one than in the snapshot if it was refreshed in between.
    pub generation: Generation,
    /// Its tokens; `None` if they do not open.
    pub tokens: Option<TokenSet>,
}

/// A part of the store, as it stood at `revision` or a little later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The revision of the log, read before everything else.
    pub revision: u64,
    /// The time by the store's clock.
    pub now: Timestamp,
    /// The grants in scope, without their tokens: no change needs to know what they are, and so one whose sealing key is
    /// lost can be reconnected, invalidated and deleted.
    pub grants: Vec<GrantFacts>,
    /// Those of them that hold the refresh token which is about to be stored, by id.
    pub same_token: Vec<Holder>,
    /// The first [`ELSEWHERE`] credentials, by key, of other tenants or clients whose grants are not invalidated and hold
    /// that refresh token as well.
    pub elsewhere: Vec<CredentialKey>,
    /// The credentials in scope, by key.
    pub credentials: Vec<Credential>,
    /// The integrations in scope, by key, each with all its needs.
    pub integrations: Vec<Integration>,
    /// How the client in scope stands; `None` if none is in scope or nothing was ever said of it.
    pub client: Option<ClientHealth>,
    /// Whether the delivery of the report in scope is remembered; `false` if none is in scope.
    pub delivered: bool,
    /// How refreshes of the client in scope ended lately, that of the grant in scope left out; `None` if none is in
    /// scope.
    pub refusals: Option<Refusals>,
}

/// Whether a provider accepts an OAuth client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientHealth {
    /// The client.
    pub client: ClientKey,
    /// `true` from the first rejection to the next success.
    pub rejected: bool,
    /// Since when it stands so.
    pub since: Timestamp,
    /// The provider's own error code in the last rejection.
    pub provider_error: String,
    /// For people.
    pub message: String,
    /// When it was last found rejected, if ever.
    pub rejected_at: Option<Timestamp>,
}

/// Writes and events that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeSet {
    /// The revision of the snapshot that it was computed from.
    pub revision: u64,
    /// What to write, in any order. Each must find exactly the row that it expects, as it was before the
    /// change; see [`distinct_writes`](Self::distinct_writes) for several writes of one row.
    pub writes: Vec<Write>,
    /// What to tell, in this order.
    pub events: Vec<EventBody>,
}

impl Snapshot {
    /// The grant, if it holds the refresh token which is about to be stored.
    pub(crate) fn holder(&self, grant: &GrantId) -> Option<&Holder> {
        self.same_token.iter().find(|holder| holder.id == *grant)
    }
}

impl ChangeSet {
    /// The writes that have an effect of their own, or `None` if two of them contradict each other.
    ///
    /// A row is written once and its version raised by one, with two exceptions. Touching a grant that is
    /// touched or written anyway adds nothing. A credential may be moved and given labels in one change;
    /// that, too, raises its version once.
    pub fn distinct_writes(&self) -> Option<Vec<&Write>> {
        let mut distinct: Vec<&Write> = Vec::with_capacity(self.writes.len());
        let (touches, others): (Vec<_>, Vec<_>) = self
            .writes
            .iter()
            .partition(|write| matches!(write, Write::TouchGrant(_)));
        for write in others {
            let same_row = distinct.iter().filter(|other| other.row() == write.row());
            if !same_row.into_iter().all(|other| other.goes_with(write)) {
                return None;
            }
            distinct.push(write);
        }
        for touch in touches {
            if !distinct.iter().any(|other| other.row() == touch.row()) {
                distinct.push(touch);
            }
        }
        Some(distinct)
    }
}

/// One row to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// A new grant, active, version 1.
    InsertGrant(Box<NewGrant>),
    /// The next token set of a grant: generation `next`, active, no lease, no failed attempts, version + 1.
    /// Expects the grant to be of generation `base`, in any state.
    StoreTokens {
        /// The grant.
        grant: GrantId,
        /// The generation that it must still be of.
        base: Generation,
        /// The generation that it becomes, above `base`.
        next: Generation,
        /// What to store.
        tokens: Box<TokenSet>,
        /// When they were obtained.
        issued_at: Timestamp,
        /// When it is due, and when it ends.
        dates: Dates,
        /// Whether its user connected again: the consent is of `issued_at`, and nothing was announced of it.
        consent: bool,
        /// The account, where it became known or changed; `None` leaves it.
        account: Option<String>,
        /// Whether it expects besides that no attempt holds the grant, or may have spent its refresh token: for tokens
        /// with that same refresh token, whose successor would be lost.
        idle: bool,
    },
    /// The refresh token of a grant is brought again, and its tokens stay, with generation, lease and doubt: no failed
    /// attempts, unless it is suspect and so has a turn to wait for, and version + 1. Expects it not to be invalidated.
    KeepTokens {
        /// The grant.
        grant: GrantId,
        /// The account, where it became known or changed; `None` leaves it.
        account: Option<String>,
    },
    /// A grant is dead: state invalidated, no lease, version + 1; without dates, so never due again. Expects it to be active, of
    /// this generation and, where given, of this epoch.
    InvalidateGrant {
        /// The grant.
        grant: GrantId,
        /// The generation that it must still be of.
        generation: Generation,
        /// The lease under which it was found dead.
        epoch: Option<Epoch>,
        /// Why.
        invalidation: Invalidation,
    },
    /// The death of a grant that was found dead is reported as well: no token set that comes later undoes it. The reason
    /// of the death and the version stay. Expects it to be invalidated, of this generation, and not reported dead.
    ReportDeath {
        /// The grant.
        grant: GrantId,
        /// The generation that it must still be of.
        generation: Generation,
    },
    /// A grant is refused and not believed dead: suspect, no lease, one failed attempt more, due and tried again at
    /// `next_at`, version + 1. What a lost answer left in doubt stays in doubt. Expects the grant to be active or
    /// suspect, of this generation and this epoch.
    HoldGrant {
        /// The grant.
        grant: GrantId,
        /// The generation that it must still be of.
        generation: Generation,
        /// The lease under which it was refused.
        epoch: Epoch,
        /// What the provider says.
        invalidation: Invalidation,
        /// What is told to who asks before it is tried again.
        failure: PassingFailure,
        /// When it is tried again.
        next_at: Timestamp,
    },
    /// The provider refused this grant of the client now: counted for [`crate::brake::WINDOW`].
    NoteRefusal {
        /// The client.
        client: ClientKey,
        /// The grant.
        grant: GrantId,
    },
    /// The brake of a client is engaged, or stays so with another time for its next probe.
    SetBrake(Brake),
    /// The brake of a client is released. All its suspect grants are active again, due and tried again at some time
    /// within `spread`, version + 1; and nothing is counted any more. Expects the brake to be engaged.
    ReleaseBrake {
        /// The client.
        client: ClientKey,
        /// Over how long the grants are spread.
        spread: Duration,
    },
    /// The dates of a grant, and the latest announcement of its end. Expects it to be active and of this generation;
    /// its version stays.
    DateGrant {
        /// The grant.
        grant: GrantId,
        /// The generation that it must still be of.
        generation: Generation,
        /// Its dates from now on.
        dates: Dates,
        /// The latest announcement.
        announced: Option<Ahead>,
    },
    /// A credential joined or left the grant: version + 1.
    TouchGrant(GrantId),
    /// A grant that no credential uses any more and that none is derived from: a change that leaves one with it
    /// conflicts. It is found by [`changed_within`](crate::store::GrantStore::changed_within) for a while.
    DeleteGrant(GrantId),
    /// A new credential, version 1.
    InsertCredential(Credential),
    /// New labels, version + 1. Expects the row to be of `version`.
    UpdateCredentialLabels {
        /// The credential.
        key: CredentialKey,
        /// The version that it must still be of.
        version: u64,
        /// Its labels from now on.
        labels: BTreeMap<String, String>,
    },
    /// The credential uses another grant from now on, version + 1.
    MoveCredential {
        /// The credential.
        key: CredentialKey,
        /// The grant that it leaves.
        from: GrantId,
        /// The grant that it joins.
        to: GrantId,
    },
    /// A credential is forgotten. Integrations go on naming it among their needs, and are in error for it
    /// until one of that name is created again.
    DeleteCredential(CredentialKey),
    /// A new integration, version 1.
    InsertIntegration(Integration),
    /// An integration as it is from now on, version + 1. Expects the row to be of `version - 1`; the
    /// integration's `version` is the new one.
    UpdateIntegration(Integration),
    /// An integration is forgotten.
    DeleteIntegration(IntegrationKey),
    /// How a client stands from now on. Expects it to have stood otherwise, or unknown.
    SetClientHealth(ClientHealth),
    /// A delivery was dealt with. Expects that it is not remembered yet.
    RememberDelivery(DeliveryId),
    /// A kill took a grant. Expects that it has not yet.
    NoteKilled(Killed),
}

#[derive(PartialEq, Eq)]
enum Row<'a> {
    Grant(&'a GrantId),
    Credential(&'a CredentialKey),
    Integration(&'a IntegrationKey),
    Client(&'a ClientKey),
    Delivery(&'a DeliveryId),
    Refusal(&'a GrantId),
    Brake(&'a ClientKey),
    Killed(&'a GrantId),
}

impl Write {
    fn row(&self) -> Row<'_> {
        match self {
            Self::InsertGrant(new) => Row::Grant(&new.id),
            Self::StoreTokens { grant, .. }
            | Self::KeepTokens { grant, .. }
            | Self::InvalidateGrant { grant, .. }
            | Self::ReportDeath { grant, .. }
            | Self::HoldGrant { grant, .. }
            | Self::DateGrant { grant, .. } => Row::Grant(grant),
            Self::NoteRefusal { grant, .. } => Row::Refusal(grant),
            Self::SetBrake(Brake { client, .. }) | Self::ReleaseBrake { client, .. } => {
                Row::Brake(client)
            }
            Self::TouchGrant(grant) | Self::DeleteGrant(grant) => Row::Grant(grant),
            Self::InsertCredential(credential) => Row::Credential(&credential.key),
            Self::UpdateCredentialLabels { key, .. } | Self::MoveCredential { key, .. } => {
                Row::Credential(key)
            }
            Self::DeleteCredential(key) => Row::Credential(key),
            Self::InsertIntegration(integration) | Self::UpdateIntegration(integration) => {
                Row::Integration(&integration.key)
            }
            Self::DeleteIntegration(key) => Row::Integration(key),
            Self::SetClientHealth(health) => Row::Client(&health.client),
            Self::RememberDelivery(id) => Row::Delivery(id),
            Self::NoteKilled(killed) => Row::Killed(&killed.grant),
        }
    }

    fn goes_with(&self, other: &Self) -> bool {
        matches!(
            (self, other),
            (
                Self::MoveCredential { .. },
                Self::UpdateCredentialLabels { .. }
            ) | (
                Self::UpdateCredentialLabels { .. },
                Self::MoveCredential { .. }
            )
        )
    }
}

/// A grant to be stored for the first time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGrant {
    /// The grant.
    pub id: GrantId,
    /// The tenant whose credentials use it.
    pub tenant: TenantId,
    /// The OAuth client that it was given to.
    pub client: ClientKey,
    /// The account at the provider, if known.
    pub account: Option<String>,
    /// How its tokens are obtained.
    pub grant_type: GrantType,
    /// The grant whose means it mints with; see [`GrantFacts::parent`].
    pub parent: Option<GrantId>,
    /// The generation of its first token set.
    pub generation: Generation,
    /// Its first token set.
    pub tokens: TokenSet,
    /// When it was obtained, which is also when its user connected.
    pub issued_at: Timestamp,
    /// When it is due, and when it ends.
    pub dates: Dates,
}
