//! The grants of the sandbox: who holds which tokens, and what using one does.
//!
//! Everything here happens under one lock and without waiting, so that of any number of simultaneous uses of a
//! single-use refresh token exactly one is the first.

mod lookup;
mod record;

use std::time::Duration;

use evergrant_core::secret::{AccessToken, RefreshToken};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use self::record::{AccessRecord, Family, RefreshRecord, Spent};
use super::kept::Kept;
use super::mode::{GrantSpec, RotationMode};
use super::refusal::Refusal;
use super::token::{Digest, Fingerprint, random, sha256};

/// What a refresh or a new grant brings.
#[derive(Debug, Clone)]
pub(super) struct Issue {
    pub(super) family: String,
    pub(super) access_token: AccessToken,
    /// `None` where the answer holds none.
    pub(super) refresh_token: Option<RefreshToken>,
    pub(super) expires_in: u64,
    pub(super) refresh_token_expires_in: Option<u64>,
    pub(super) scope: String,
    /// Whether this is the successor that was issued before, once more.
    pub(super) replayed: bool,
}

/// What the sandbox knows of a grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantStatus {
    /// Its name, e.g. `grant-1`.
    pub family: String,
    /// Its terms.
    pub spec: GrantSpec,
    /// Whether it was revoked, by request or because a spent refresh token was used.
    pub revoked: bool,
    /// How often new tokens were issued, without the first.
    pub refreshes: u64,
    /// The refresh token issued last; `None` for a grant that was minted.
    pub refresh_token: Option<Fingerprint>,
    /// The access token issued last.
    pub access_token: Fingerprint,
}

const MOST_GRANTS: usize = 10_000;
const MOST_TOKENS: usize = 100_000;
/// For how long more is known of a grant that was revoked or whose tokens have all ended, and of a token that was spent.
const TOLD: Duration = Duration::from_secs(3_600);

/// The grants and their tokens, but for what ended long ago and, of very many, those that went unused for the longest.
pub(super) struct Grants {
    families: Kept<String, Family>,
    made: u64,
    refresh_tokens: Kept<Digest, RefreshRecord>,
    access_tokens: Kept<Digest, AccessRecord>,
}

impl Default for Grants {
    fn default() -> Self {
        Self {
            families: Kept::at_most(MOST_GRANTS),
            made: 0,
            refresh_tokens: Kept::at_most(MOST_TOKENS),
            access_tokens: Kept::at_most(MOST_TOKENS),
        }
    }
}

impl Grants {
    /// Makes a grant with its first tokens, in the name of ledger entry `sequence`.
    pub(super) fn create(&mut self, spec: GrantSpec, sequence: u64, now: Instant) -> Issue {
        let access = AccessToken::new(random("sbx_at_"));
        let refresh = match spec.self_renewing {
            true => RefreshToken::new(access.expose().to_owned()),
            false => RefreshToken::new(random("sbx_rt_")),
        };
        let self_renewing = spec.self_renewing;
        let family = self.add(spec, &access, Some(&refresh), now);
        self.remember_refresh(&family, &refresh, sequence, now);
        let mut issue = self.issue(&family, access, Some(&refresh));
        // The first answer has it even where later ones do not.
        issue.refresh_token = Some(refresh).filter(|_| !self_renewing);
        issue
    }

    /// Makes a grant that has no user and no refresh token: one access token.
    pub(super) fn mint(&mut self, spec: GrantSpec, now: Instant) -> Issue {
        let access = AccessToken::new(random("sbx_at_"));
        let family = self.add(spec, &access, None, now);
        self.issue(&family, access, None)
    }

    /// Ends every minted token of a client.
    pub(super) fn revoke_minted(&mut self, client: &str) {
        for family in self.families.values_mut() {
            let status = &mut family.status;
            if status.refresh_token.is_none() && status.spec.client_id == client {
                status.revoked = true;
            }
        }
    }

    fn add(
        &mut self,
        spec: GrantSpec,
        access: &AccessToken,
        refresh: Option<&RefreshToken>,
        now: Instant,
    ) -> String {
        self.made += 1;
        let family = format!("grant-{}", self.made);
        let until = until(&spec, refresh.is_some(), now);
        let status = GrantStatus {
            family: family.clone(),
            spec,
            revoked: false,
            refreshes: 0,
            refresh_token: refresh.map(|token| Fingerprint::of(token.expose())),
            access_token: Fingerprint::of(access.expose()),
        };
        let newest_access = sha256(access.expose());
        let record = Family {
            status,
            newest_access,
        };
        if self.families.insert(family.clone(), record, until, now) {
            let families = &self.families;
            let is_of_one = |family: &String| families.contains(family);
            self.refresh_tokens.retain(|it| is_of_one(&it.family));
            self.access_tokens.retain(|it| is_of_one(&it.family));
        }
        self.remember_access(&family, access, now);
        family
    }

    /// Uses a refresh token (RFC 6749 section 6), in the name of ledger entry `sequence`.
    pub(super) fn refresh(
        &mut self,
        presented: &str,
        client: &str,
        scope: Option<&str>,
        sequence: u64,
        now: Instant,
    ) -> Result<Issue, Refusal> {
        let digest = sha256(presented);
        let record = self
            .refresh_tokens
            .get(&digest)
            .ok_or(Refusal::UnknownToken)?;
        let family = &self.families[&record.family];
        record.check(family, client, scope, now)?;
        let (name, mode) = (record.family.clone(), family.status.spec.mode);
        if record.spent.is_some() {
            return self.reuse(digest, &name, mode, now);
        }
        let until = until(&family.status.spec, true, now);
        self.families.renew(&name, until);

        let issue = self.rotate(&name, presented, sequence, now);
        if mode.is_single_use() {
            self.spend(digest, mode, &issue, now);
        }
        Ok(issue)
    }

    fn spend(&mut self, digest: Digest, mode: RotationMode, issue: &Issue, now: Instant) {
        let record = self
            .refresh_tokens
            .get_mut(&digest)
            .expect("it was found under the same lock");
        record.spent = Some(Spent {
            at: now,
            replays: 0,
            successor: mode.grace().map(|_| issue.clone()),
        });
        let told = mode.grace().map_or(TOLD, |(window, _)| window.max(TOLD));
        self.refresh_tokens.renew(&digest, now.checked_add(told));
    }

    /// Issues what follows a good refresh token.
    fn rotate(&mut self, name: &str, presented: &str, sequence: u64, now: Instant) -> Issue {
        let family = self
            .families
            .get_mut(&name.to_owned())
            .expect("a token's family is kept with it");
        let access = AccessToken::new(random("sbx_at_"));
        let spec = &family.status.spec;
        let refresh = match spec.mode {
            _ if spec.self_renewing => RefreshToken::new(access.expose().to_owned()),
            RotationMode::None => RefreshToken::new(presented.to_owned()),
            _ => RefreshToken::new(random("sbx_rt_")),
        };
        family.status.refreshes += 1;
        family.status.access_token = Fingerprint::of(access.expose());
        family.status.refresh_token = Some(Fingerprint::of(refresh.expose()));
        let previous = std::mem::replace(&mut family.newest_access, sha256(access.expose()));
        if family.status.spec.previous_access_token_dies {
            self.access_tokens.remove(&previous);
        }
        self.remember_access(name, &access, now);
        if self.families[&name.to_owned()].status.spec.mode != RotationMode::None {
            self.remember_refresh(name, &refresh, sequence, now);
        }
        self.issue(name, access, Some(&refresh))
    }

    /// A spent refresh token comes back: its successor within the grace, a refusal else.
    fn reuse(
        &mut self,
        digest: Digest,
        name: &str,
        mode: RotationMode,
        now: Instant,
    ) -> Result<Issue, Refusal> {
        if let Some(issue) = self.replay(digest, mode, now) {
            return Ok(issue);
        }
        if mode.reuse_revokes() {
            self.revoke(name, now);
        }
        Err(Refusal::ReusedToken)
    }

    fn replay(&mut self, digest: Digest, mode: RotationMode, now: Instant) -> Option<Issue> {
        let (window, max_uses) = mode.grace()?;
        let spent = self.refresh_tokens[&digest].spent.as_ref()?;
        let successor = spent.successor.as_ref()?.refresh_token.as_ref()?;
        let after = self.refresh_tokens.get(&sha256(successor.expose()))?;
        let age = now.duration_since(spent.at);
        if after.spent.is_some() || age > window || spent.replays >= max_uses {
            return None;
        }
        let spent = self.refresh_tokens.get_mut(&digest)?.spent.as_mut()?;
        spent.replays += 1;
        let mut issue = spent.successor.clone()?;
        let passed = age.as_secs();
        issue.expires_in = issue.expires_in.saturating_sub(passed);
        issue.refresh_token_expires_in = issue
            .refresh_token_expires_in
            .map(|seconds| seconds.saturating_sub(passed));
        issue.replayed = true;
        Some(issue)
    }

    /// Ends a family: none of its tokens is good from now on. Tells whether there is such a family.
    pub(super) fn revoke(&mut self, name: &str, now: Instant) -> bool {
        let name = name.to_owned();
        let Some(family) = self.families.get_mut(&name) else {
            return false;
        };
        family.status.revoked = true;
        self.families.renew(&name, Some(now + TOLD));
        true
    }

    /// Revokes what `token` stands for (RFC 7009 section 2.1): a refresh token takes its family along, an access
    /// token goes alone. Returns the family, or `None` for a token that nobody knows, which is no error.
    pub(super) fn revoke_token(
        &mut self,
        token: &str,
        client: &str,
        now: Instant,
    ) -> Result<Option<String>, Refusal> {
        let digest = sha256(token);
        let of_refresh = self
            .refresh_tokens
            .get(&digest)
            .map(|record| record.family.clone());
        let of_access = self
            .access_tokens
            .get(&digest)
            .map(|record| record.family.clone());
        let Some(name) = of_refresh.clone().or(of_access) else {
            return Ok(None);
        };
        if self.families[&name].status.spec.client_id != client {
            return Err(Refusal::TokenOfAnotherClient);
        }
        if of_refresh.is_some() {
            self.revoke(&name, now);
        } else {
            self.access_tokens.remove(&digest);
        }
        Ok(Some(name))
    }

    fn remember_access(&mut self, family: &str, token: &AccessToken, now: Instant) {
        let family = family.to_owned();
        let ttl = self.families[&family].status.spec.access_token_ttl_seconds;
        let ends_at = now + Duration::from_secs(ttl);
        let record = AccessRecord { family, ends_at };
        self.access_tokens
            .insert(sha256(token.expose()), record, Some(ends_at), now);
    }

    fn remember_refresh(
        &mut self,
        family: &str,
        token: &RefreshToken,
        sequence: u64,
        now: Instant,
    ) {
        let family = family.to_owned();
        let ttl = self.families[&family].status.spec.refresh_token_ttl_seconds;
        let ends_at = ttl.map(|seconds| now + Duration::from_secs(seconds));
        let record = RefreshRecord {
            family,
            issued_by: sequence,
            ends_at,
            spent: None,
        };
        let until = ends_at.and_then(|end| end.checked_add(TOLD));
        self.refresh_tokens
            .insert(sha256(token.expose()), record, until, now);
    }

    fn issue(
        &self,
        family: &str,
        access_token: AccessToken,
        refresh: Option<&RefreshToken>,
    ) -> Issue {
        let spec = &self.families[&family.to_owned()].status.spec;
        let is_told = !spec.omit_refresh_token && !spec.self_renewing;
        Issue {
            family: family.to_owned(),
            access_token,
            refresh_token: refresh.filter(|_| is_told).cloned(),
            expires_in: spec.access_token_ttl_seconds,
            refresh_token_expires_in: refresh.and(spec.refresh_token_ttl_seconds),
            scope: spec.scopes.join(" "),
            replayed: false,
        }
    }
}

/// Until when a grant is kept whose tokens are of now: for ever if they can always be renewed.
fn until(spec: &GrantSpec, is_renewed: bool, now: Instant) -> Option<Instant> {
    let access = spec.access_token_ttl_seconds;
    let last = match (is_renewed, spec.refresh_token_ttl_seconds) {
        (true, None) => return None,
        (true, Some(refresh)) => refresh.max(access),
        (false, _) => access,
    };
    now.checked_add(Duration::from_secs(last).saturating_add(TOLD))
}

#[cfg(test)]
mod tests;
