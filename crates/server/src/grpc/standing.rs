//! A caller's right to its stream, which may end before the stream does.

use evergrant_core::ids::TenantId;
use tokio::sync::watch;
use tokio::time::Instant;

use super::caller::{Caller, Permission};
use super::gate::Gate;
use super::status::ApiError;
use crate::kill::Refused;

/// A caller's right to its stream, asked for again whenever callers change or are locked out, and once what the caller
/// showed has ended.
pub(super) struct Standing {
    gate: Gate,
    caller: Caller,
    permission: Permission,
    /// `None`: all tenants.
    tenant: Option<TenantId>,
    callers: watch::Receiver<()>,
    lockouts: watch::Receiver<Refused>,
    ends_at: Option<Instant>,
}

impl Standing {
    /// The standing of a caller that has `permission` in `tenant` now. An error if it has not.
    pub(super) fn of(
        gate: &Gate,
        caller: &Caller,
        permission: Permission,
        tenant: Option<TenantId>,
    ) -> Result<Self, ApiError> {
        let mut standing = Self {
            callers: gate.callers().changes(),
            lockouts: gate.lockouts(),
            ends_at: None,
            gate: gate.clone(),
            caller: caller.clone(),
            permission,
            tenant,
        };
        // Callers may have changed since this one was recognised, and will not change again to tell.
        standing.ask_again()?;
        Ok(standing)
    }

    /// An error once the caller has lost its right. Costs next to nothing while nothing changed.
    pub(super) fn check(&mut self) -> Result<(), ApiError> {
        let has_ended = self.ends_at.is_some_and(|end| end <= Instant::now());
        match has_ended || self.has_changed() {
            true => self.ask_again(),
            false => Ok(()),
        }
    }

    /// Whether callers changed or were locked out since they were asked about.
    pub(super) fn has_changed(&self) -> bool {
        self.callers.has_changed().unwrap_or(false) || self.lockouts.has_changed().unwrap_or(false)
    }

    fn ask_again(&mut self) -> Result<(), ApiError> {
        self.callers.mark_unchanged();
        self.lockouts.mark_unchanged();
        let callers = self.gate.callers();
        self.caller = callers.again(&self.caller)?;
        let left = callers.time_left(&self.caller);
        self.ends_at = left.and_then(|left| Instant::now().checked_add(left));
        self.gate.refuse(&self.caller)?;
        self.caller.require(self.permission, self.tenant.as_ref())
    }

    /// When to check at the latest; `None` if nothing ends by itself.
    pub(super) fn ends_at(&self) -> Option<Instant> {
        self.ends_at
    }

    /// Waits until it is worth a check.
    pub(super) async fn changed(&mut self) {
        // What told of it is marked, since `check` is to see it, too. The gate keeps those who tell.
        tokio::select! {
            _ = self.callers.changed() => self.callers.mark_changed(),
            _ = self.lockouts.changed() => self.lockouts.mark_changed(),
        }
    }
}
