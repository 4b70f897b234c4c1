//! One request, apart from its message: who asks, from where, and until when.

use std::sync::Arc;

use evergrant_core::ids::{CredentialKey, Generation, TenantId};
use tokio::time::Instant;

use super::caller::{Caller, Permission};
use super::peer::Peer;
use super::record::{Notes, Source};
use super::status::ApiError;
use crate::audit::record::{OK, Subject};
use crate::audit::{Audit, Ticket};

/// One request that passed the gate, apart from its message. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Call {
    method: &'static str,
    caller: Caller,
    peer: Option<Arc<Peer>>,
    deadline: Option<Instant>,
    notes: Notes,
}

impl Call {
    /// A call of `method`. `deadline` is when its caller should have its answer.
    pub(super) fn new(
        method: &'static str,
        caller: Caller,
        peer: Option<Arc<Peer>>,
        deadline: Option<Instant>,
        notes: Notes,
    ) -> Self {
        Self {
            method,
            caller,
            peer,
            deadline,
            notes,
        }
    }

    /// The method's name without its service's, e.g. `GetToken`.
    pub fn method(&self) -> &'static str {
        self.method
    }

    /// Who asks.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// From where; `None` if the request came over no listener, as in tests.
    pub fn peer(&self) -> Option<&Peer> {
        self.peer.as_deref()
    }

    /// When the caller should have its answer, a little before it gives up; `None` if it waits for ever.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Says what the call is about, for the audit trail. To be said before anything can fail that knows it.
    pub fn concerns(&self, subject: impl Into<Subject>) {
        self.notes.concerns(subject.into());
    }

    /// Says more of what the call is about, in a few words that hold no secret, for the audit trail.
    pub fn details(&self, detail: impl Into<String>) {
        self.notes.details(detail.into());
    }

    /// Says of which generation the token is that the call is answered with.
    pub fn discloses(&self, generation: Generation) {
        self.notes.discloses(generation);
    }

    /// Says that nothing came about yet: if the call ends well, it leaves no record.
    pub fn unremarkable(&self) {
        self.notes.unremarkable();
    }

    /// Notes that one of several tokens of the call was disclosed, or why not.
    pub fn note_token(&self, key: &CredentialKey, token: Result<Generation, &ApiError>) -> Ticket {
        let subject = Subject::credential(key);
        match token {
            Ok(generation) => self.note(subject.of(generation), OK),
            Err(error) => self.note(subject, error.reason_name()),
        }
    }

    /// Waits until what was noted is on record, where nothing may be disclosed before.
    pub async fn on_record(&self, ticket: Ticket) -> Result<(), ApiError> {
        self.notes.on_record(ticket).await
    }

    fn note(&self, subject: Subject, outcome: &'static str) -> Ticket {
        self.notes.note(self.source(), subject, outcome)
    }

    fn source(&self) -> Source<'_> {
        Source {
            method: self.method,
            caller: Some(&self.caller),
            peer: self.peer(),
        }
    }

    /// Notes, if it is dropped before it is over, that nobody waited for what the call changes.
    pub(super) fn until_ended(&self) -> Pending<'_> {
        Pending(Some(self))
    }

    /// Notes how the call ended.
    pub(super) async fn ended<T>(&self, result: Result<T, ApiError>) -> Result<T, ApiError> {
        self.notes.ended(self.source(), result).await
    }

    /// Notes, once it is dropped, that what the call began has ended.
    pub(super) fn until_dropped(&self, action: &'static str, tenant: Option<TenantId>) -> Ending {
        Ending {
            audit: self.notes.audit().clone(),
            caller: self.caller.clone(),
            peer: self.peer.clone(),
            action,
            tenant,
            outcome: OK,
        }
    }

    /// Refuses what the caller may not do with this tenant. `None` means all tenants.
    pub fn require(
        &self,
        permission: Permission,
        tenant: Option<&TenantId>,
    ) -> Result<(), ApiError> {
        if let Some(tenant) = tenant {
            self.notes.concerns_tenant(tenant);
        }
        self.caller.require(permission, tenant)
    }

    /// The tenants in which the caller may do something; `None` for all. An error if it may do it in none.
    pub fn tenants(&self, permission: Permission) -> Result<Option<Vec<TenantId>>, ApiError> {
        self.caller.tenants(permission)
    }

    /// Counts the requests of a batch beyond the first, which the gate has counted.
    pub fn count_batch(&self, requests: usize) {
        let more = requests.saturating_sub(1);
        self.caller.owe(u32::try_from(more).unwrap_or(u32::MAX));
    }
}

/// A call that is served. Its caller may go away before it is answered, and whatever it asked for may come about.
pub(super) struct Pending<'a>(Option<&'a Call>);

impl Pending<'_> {
    /// The call was served, however it went.
    pub(super) fn over(mut self) {
        self.0 = None;
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if let Some(call) = self.0 {
            call.notes.abandoned(call.source());
        }
    }
}

/// Tells of its end when it is dropped. It lives for as long as a stream, and holds no more of the call than it tells.
#[derive(Debug)]
pub(super) struct Ending {
    audit: Audit,
    caller: Caller,
    peer: Option<Arc<Peer>>,
    action: &'static str,
    tenant: Option<TenantId>,
    outcome: &'static str,
}

impl Ending {
    /// Why it ends.
    pub(super) fn because(&mut self, outcome: &'static str) {
        self.outcome = outcome;
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let source = Source {
            method: self.action,
            caller: Some(&self.caller),
            peer: self.peer.as_deref(),
        };
        let subject = Subject {
            tenant: self.tenant.take(),
            ..Subject::default()
        };
        // Nobody waits any more.
        let _ticket = self.audit.note(source.act(subject, self.outcome));
    }
}
