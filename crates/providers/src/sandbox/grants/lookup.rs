//! Questions about grants and tokens; none of them changes anything.

use tokio::time::Instant;

use super::super::mode::RotationMode;
use super::super::token::sha256;
use super::{GrantStatus, Grants};

/// A token that someone shows, looked up.
#[derive(Debug, Clone)]
pub(in crate::sandbox) struct Known {
    pub(in crate::sandbox) family: String,
    pub(in crate::sandbox) mode: RotationMode,
    /// Number of the ledger entry that issued it.
    pub(in crate::sandbox) issued_by: u64,
}

impl Grants {
    /// The grant that an access token opens, if it is good now.
    pub(in crate::sandbox) fn good_access(
        &self,
        token: &str,
        now: Instant,
    ) -> Option<&GrantStatus> {
        let record = self.access_tokens.get(&sha256(token))?;
        let status = &self.families[&record.family].status;
        (!status.revoked && record.ends_at > now).then_some(status)
    }

    /// The grant that a refresh token renews, if it is good now.
    pub(in crate::sandbox) fn good_refresh(
        &self,
        token: &str,
        now: Instant,
    ) -> Option<&GrantStatus> {
        let record = self.refresh_tokens.get(&sha256(token))?;
        let status = &self.families[&record.family].status;
        let good =
            !status.revoked && record.spent.is_none() && record.ends_at.is_none_or(|end| end > now);
        good.then_some(status)
    }

    /// In how many seconds a token ends, if it is known and ends.
    pub(in crate::sandbox) fn seconds_left(&self, token: &str, now: Instant) -> Option<u64> {
        let digest = sha256(token);
        let access = self.access_tokens.get(&digest).map(|it| it.ends_at);
        let refresh = self.refresh_tokens.get(&digest).and_then(|it| it.ends_at);
        let end = access.or(refresh)?;
        Some(end.saturating_duration_since(now).as_secs())
    }

    pub(in crate::sandbox) fn known_refresh(&self, token: &str) -> Option<Known> {
        let record = self.refresh_tokens.get(&sha256(token))?;
        Some(Known {
            family: record.family.clone(),
            mode: self.families[&record.family].status.spec.mode,
            issued_by: record.issued_by,
        })
    }

    pub(in crate::sandbox) fn family_of_access(&self, token: &str) -> Option<String> {
        self.access_tokens
            .get(&sha256(token))
            .map(|record| record.family.clone())
    }

    pub(in crate::sandbox) fn status(&self, family: &str) -> Option<&GrantStatus> {
        self.families
            .get(&family.to_owned())
            .map(|family| &family.status)
    }
}
