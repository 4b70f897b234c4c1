//! A caller's right to its stream, which may end before the stream does.

use evergrant_core::ids::TenantId;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::grpc::caller::{Caller, Callers, Permission};
use crate::grpc::status::ApiError;

/// A caller's right to its stream, asked for again whenever callers change and once what the caller showed has ended.
pub(super) struct Standing {
    callers: Callers,
    caller: Caller,
    /// `None`: all tenants.
    tenant: Option<TenantId>,
    changes: watch::Receiver<()>,
    ends_at: Option<Instant>,
}

impl Standing {
    /// The standing of a caller that may watch `tenant` now. An error if it may not.
    pub(super) fn of(
        callers: &Callers,
        caller: &Caller,
        tenant: Option<TenantId>,
    ) -> Result<Self, ApiError> {
        let mut standing = Self {
            changes: callers.changes(),
            ends_at: None,
            callers: callers.clone(),
            caller: caller.clone(),
            tenant,
        };
        // Callers may have changed since this one was recognised, and will not change again to tell.
        standing.ask_again()?;
        Ok(standing)
    }

    /// An error once the caller may watch no more. Costs next to nothing while nothing changed.
    pub(super) fn check(&mut self) -> Result<(), ApiError> {
        let has_ended = self.ends_at.is_some_and(|end| end <= Instant::now());
        match has_ended || self.changes.has_changed().unwrap_or(false) {
            true => self.ask_again(),
            false => Ok(()),
        }
    }

    fn ask_again(&mut self) -> Result<(), ApiError> {
        self.changes.mark_unchanged();
        self.caller = self.callers.again(&self.caller)?;
        let left = self.callers.time_left(&self.caller);
        self.ends_at = left.and_then(|left| Instant::now().checked_add(left));
        self.caller
            .require(Permission::EventWatch, self.tenant.as_ref())
    }

    /// When to check at the latest; `None` if nothing ends by itself.
    pub(super) fn ends_at(&self) -> Option<Instant> {
        self.ends_at
    }

    /// Waits until it is worth a check.
    pub(super) async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        // `check` is to see it, too.
        self.changes.mark_changed();
    }
}
