//! A caller's right to its stream, which may end before the stream does.

use std::sync::atomic::{AtomicU64, Ordering};

use evergrant_core::events::tail::Tail;
use evergrant_core::ids::TenantId;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::grpc::caller::{Caller, Permission};
use crate::grpc::gate::Gate;
use crate::grpc::status::ApiError;

/// What callers may do now, and how often that has changed.
///
/// Streams compare a number between two messages, and are woken as for an event: ten thousand of them that each waited
/// for a change of rights, too, would pay for that with every event.
pub(super) struct Rights {
    gate: Gate,
    revision: AtomicU64,
}

impl Rights {
    /// The rights of callers at `gate`.
    pub(super) fn new(gate: Gate) -> Self {
        Self {
            gate,
            revision: AtomicU64::new(0),
        }
    }

    /// Where callers come in.
    pub(super) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Has all readers of `tail` ask again whenever the rights of callers change, until `stop` is cancelled.
    pub(super) async fn follow(&self, tail: &Tail, stop: CancellationToken) {
        let mut changes = self.gate.changes();
        loop {
            // Also at first: what changed before this began was told to nobody.
            self.revision.fetch_add(1, Ordering::Release);
            tail.wake_readers();
            if stop.run_until_cancelled(changes.next()).await.is_none() {
                return;
            }
        }
    }

    fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }
}

/// A caller's right to its stream, asked for again whenever rights change and once what the caller showed has ended.
pub(super) struct Standing {
    caller: Caller,
    /// `None`: all tenants.
    tenant: Option<TenantId>,
    /// Of the rights that were asked for last.
    revision: u64,
    ends_at: Option<Instant>,
}

impl Standing {
    /// The standing of a caller that may watch `tenant` now. An error if it may not.
    pub(super) fn of(
        rights: &Rights,
        caller: &Caller,
        tenant: Option<TenantId>,
    ) -> Result<Self, ApiError> {
        let mut standing = Self {
            caller: caller.clone(),
            tenant,
            revision: 0,
            ends_at: None,
        };
        // Rights may have changed since this caller was recognised, and will not change again to tell.
        standing.ask_again(rights)?;
        Ok(standing)
    }

    /// An error once the caller may watch no more. Costs next to nothing while nothing changed.
    pub(super) fn check(&mut self, rights: &Rights) -> Result<(), ApiError> {
        let has_ended = self.ends_at.is_some_and(|end| end <= Instant::now());
        match has_ended || self.is_stale(rights) {
            true => self.ask_again(rights),
            false => Ok(()),
        }
    }

    /// Whether rights have changed since they were asked for.
    pub(super) fn is_stale(&self, rights: &Rights) -> bool {
        self.revision != rights.revision()
    }

    fn ask_again(&mut self, rights: &Rights) -> Result<(), ApiError> {
        // Before the rights are read: a change meanwhile is asked for once more.
        self.revision = rights.revision();
        self.caller = rights.gate.again(&self.caller)?;
        let left = rights.gate.callers().time_left(&self.caller);
        self.ends_at = left.and_then(|left| Instant::now().checked_add(left));
        self.caller
            .require(Permission::EventWatch, self.tenant.as_ref())
    }

    /// When to check at the latest; `None` if nothing ends by itself.
    pub(super) fn ends_at(&self) -> Option<Instant> {
        self.ends_at
    }
}
