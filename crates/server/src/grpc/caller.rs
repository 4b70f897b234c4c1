//! Who calls, and what they may do.

use std::sync::Arc;

use evergrant_core::clock::Timestamp;
use evergrant_core::ids::TenantId;
use evergrant_proto::v1::ErrorReason;
use tokio::sync::Semaphore;

use self::rate::Limiter;
use super::status::ApiError;
pub use callers::Callers;
pub use permission::Permission;
pub use rate::Rate;
pub use rule::{CallerRule, Identity, JwtRule, KeyAccess, KeySource};
pub use san::San;

mod callers;
mod directory;
mod issuers;
mod permission;
mod rate;
mod rule;
mod san;

/// A caller that was recognised. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Caller {
    known: Option<Arc<Known>>,
    until: Option<Until>,
}

/// What is known of a caller that has a rule.
#[derive(Debug)]
struct Known {
    rule: CallerRule,
    streams: Arc<Semaphore>,
    limiter: Arc<Limiter>,
}

/// When what a caller proved itself with ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Until {
    at: Timestamp,
    /// What that is, e.g. `the token`.
    of: &'static str,
}

impl Until {
    fn check(&self, now: Timestamp) -> Result<(), ApiError> {
        match self.at > now {
            true => Ok(()),
            false => {
                let message = format!("{} has expired", self.of);
                Err(ApiError::new(ErrorReason::Unauthenticated, message))
            }
        }
    }
}

impl Caller {
    /// Whoever reaches a listener that has no callers: it may do everything.
    pub(super) fn trusted() -> Self {
        Self {
            known: None,
            until: None,
        }
    }

    fn of(known: Arc<Known>, until: Option<Until>) -> Self {
        Self {
            known: Some(known),
            until,
        }
    }

    /// One that showed what `rule` asks for.
    #[cfg(test)]
    pub(super) fn known(rule: CallerRule, streams: usize) -> Self {
        Self::of(Arc::new(Known::new(rule, streams)), None)
    }

    fn rule(&self) -> Option<&CallerRule> {
        self.known.as_deref().map(|known| &known.rule)
    }

    /// Its name in the configuration; `None` where everyone is trusted.
    pub fn name(&self) -> Option<&str> {
        self.rule().map(|rule| rule.name.as_str())
    }

    /// Refuses what the caller may not do with this tenant. `None` means all tenants.
    pub fn require(
        &self,
        permission: Permission,
        tenant: Option<&TenantId>,
    ) -> Result<(), ApiError> {
        let Some(rule) = self.rule() else {
            return Ok(());
        };
        let may = rule.allow.contains(&permission) || rule.allow.contains(&Permission::Admin);
        let here = match (&rule.tenants, tenant) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(tenant)) => own.contains(tenant),
        };
        if may && here {
            return Ok(());
        }
        let what = permission.as_str();
        let message = match (may, tenant) {
            (false, _) => format!("caller {} may not {what}", rule.name),
            (true, Some(tenant)) => {
                format!("caller {} may not {what} in tenant {tenant}", rule.name)
            }
            (true, None) => format!("caller {} may not {what} in all tenants", rule.name),
        };
        Err(ApiError::new(ErrorReason::PermissionDenied, message))
    }

    /// The tenants in which the caller may do something; `None` for all. An error if it may do it in none.
    pub fn tenants(&self, permission: Permission) -> Result<Option<Vec<TenantId>>, ApiError> {
        let own = self.rule().and_then(|rule| rule.tenants.clone());
        // Whoever may do it in its first tenant may in all of its own.
        self.require(permission, own.as_deref().and_then(<[_]>::first))?;
        Ok(own)
    }

    /// Counts a request, or refuses it because the caller asks too often.
    pub(super) fn admit(&self) -> Result<(), ApiError> {
        let Some((known, rate)) = self.limited() else {
            return Ok(());
        };
        known.limiter.admit(rate).map_err(|wait| {
            let name = known.rule.name.clone();
            metrics::counter!("evergrant_caller_rate_limited_total", "caller" => name).increment(1);
            let Rate { per_second, burst } = rate;
            let why = format!(
                "caller {} may ask {per_second} times a second, and {burst} times at once",
                known.rule.name
            );
            ApiError::new(ErrorReason::CallerRateLimited, why).retry_after(wait)
        })
    }

    /// Counts `more` requests that came with one that was admitted.
    pub(super) fn owe(&self, more: u32) {
        if let Some((known, rate)) = self.limited() {
            known.limiter.owe(rate, more);
        }
    }

    fn limited(&self) -> Option<(&Known, Rate)> {
        let known = self.known.as_deref()?;
        Some((known, known.rule.rate?))
    }

    /// How many streams this caller may still open here; `None` if nobody counts.
    pub fn streams(&self) -> Option<&Arc<Semaphore>> {
        self.known.as_deref().map(|known| &known.streams)
    }
}

#[cfg(test)]
mod tests;
