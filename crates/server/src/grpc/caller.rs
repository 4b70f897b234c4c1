//! Who calls, and what they may do.

use std::sync::Arc;

use evergrant_core::ids::TenantId;
use evergrant_proto::v1::ErrorReason;
use tokio::sync::Semaphore;

use super::status::ApiError;
pub use callers::Callers;
pub use permission::Permission;
pub use rule::CallerRule;

mod callers;
mod permission;
mod rule;

/// A caller that was recognised. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Caller {
    known: Option<Arc<Known>>,
}

/// What is known of a caller that has a rule.
#[derive(Debug)]
struct Known {
    rule: CallerRule,
    streams: Arc<Semaphore>,
}

impl Caller {
    /// Whoever reaches a listener that has no callers: it may do everything.
    pub(super) fn trusted() -> Self {
        Self { known: None }
    }

    pub(super) fn known(rule: CallerRule, streams: usize) -> Self {
        let streams = Arc::new(Semaphore::new(streams));
        Self {
            known: Some(Arc::new(Known { rule, streams })),
        }
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

    /// How many streams this caller may still open here; `None` if nobody counts.
    pub fn streams(&self) -> Option<&Arc<Semaphore>> {
        self.known.as_deref().map(|known| &known.streams)
    }
}

#[cfg(test)]
mod tests;
