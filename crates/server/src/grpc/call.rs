//! One request, apart from its message: who asks, from where, and until when.

use std::sync::Arc;

use evergrant_core::ids::TenantId;
use tokio::time::Instant;

use super::caller::{Caller, Permission};
use super::peer::Peer;
use super::status::ApiError;

/// One request that passed the gate, apart from its message. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Call {
    method: &'static str,
    caller: Caller,
    peer: Option<Arc<Peer>>,
    deadline: Option<Instant>,
}

impl Call {
    /// A call of `method`. `deadline` is when its caller should have its answer.
    pub(super) fn new(
        method: &'static str,
        caller: Caller,
        peer: Option<Arc<Peer>>,
        deadline: Option<Instant>,
    ) -> Self {
        Self {
            method,
            caller,
            peer,
            deadline,
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

    /// Refuses what the caller may not do with this tenant. `None` means all tenants.
    pub fn require(
        &self,
        permission: Permission,
        tenant: Option<&TenantId>,
    ) -> Result<(), ApiError> {
        self.caller.require(permission, tenant)
    }

    /// The tenants in which the caller may do something; `None` for all. An error if it may do it in none.
    pub fn tenants(&self, permission: Permission) -> Result<Option<Vec<TenantId>>, ApiError> {
        self.caller.tenants(permission)
    }
}
