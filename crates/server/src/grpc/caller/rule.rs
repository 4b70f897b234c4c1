//! A caller as configured.

use evergrant_core::ids::TenantId;

use super::Permission;

/// A caller as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerRule {
    /// Its name, for logs and limits.
    pub name: String,
    /// SHA-256 of its bearer token.
    pub token_sha256: [u8; 32],
    /// Its tenants; `None` for all.
    pub tenants: Option<Vec<TenantId>>,
    /// What it may do.
    pub allow: Vec<Permission>,
}
