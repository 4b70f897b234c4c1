//! What is kept of a grant and of each token.

use tokio::time::Instant;

use super::super::refusal::Refusal;
use super::super::token::Digest;
use super::{GrantStatus, Issue};

pub(super) struct Family {
    pub(super) status: GrantStatus,
    pub(super) newest_access: Digest,
}

pub(super) struct RefreshRecord {
    pub(super) family: String,
    pub(super) issued_by: u64,
    pub(super) ends_at: Option<Instant>,
    pub(super) spent: Option<Spent>,
}

pub(super) struct Spent {
    pub(super) at: Instant,
    pub(super) replays: u32,
    /// Kept in grace mode alone.
    pub(super) successor: Option<Issue>,
}

impl RefreshRecord {
    /// Whether `client` may use the token, spent or not.
    pub(super) fn check(
        &self,
        family: &Family,
        client: &str,
        scope: Option<&str>,
        now: Instant,
    ) -> Result<(), Refusal> {
        let spec = &family.status.spec;
        let granted = |one: &str| spec.scopes.iter().any(|scope| scope == one);
        if spec.client_id != client {
            Err(Refusal::TokenOfAnotherClient)
        } else if family.status.revoked {
            Err(Refusal::RevokedToken)
        } else if self.ends_at.is_some_and(|end| end <= now) {
            Err(Refusal::ExpiredToken)
        } else if !scope.unwrap_or_default().split_whitespace().all(granted) {
            Err(Refusal::ExceedingScope)
        } else {
            Ok(())
        }
    }
}

pub(super) struct AccessRecord {
    pub(super) family: String,
    pub(super) ends_at: Instant,
}
