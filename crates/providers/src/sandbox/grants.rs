//! The grants of the sandbox: who holds which tokens, and what using one does.
//!
//! Everything here happens under one lock and without waiting, so that of any number of simultaneous uses of a
//! single-use refresh token exactly one is the first.

mod lookup;
mod record;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use evergrant_core::secret::{AccessToken, RefreshToken};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use self::record::{AccessRecord, Family, RefreshRecord, Spent};
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

/// All grants and all tokens ever issued.
#[derive(Default)]
pub(super) struct Grants {
    families: BTreeMap<String, Family>,
    refresh_tokens: HashMap<Digest, RefreshRecord>,
    access_tokens: HashMap<Digest, AccessRecord>,
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
        let family = format!("grant-{}", self.families.len() + 1);
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
        self.families.insert(family.clone(), record);
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
    }

    /// Issues what follows a good refresh token.
    fn rotate(&mut self, name: &str, presented: &str, sequence: u64, now: Instant) -> Issue {
        let family = self
            .families
            .get_mut(name)
            .expect("a token's family is never removed");
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
        if self.families[name].status.spec.mode != RotationMode::None {
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
            self.revoke(name);
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
    pub(super) fn revoke(&mut self, name: &str) -> bool {
        match self.families.get_mut(name) {
            Some(family) => {
                family.status.revoked = true;
                true
            }
            None => false,
        }
    }

    /// Revokes what `token` stands for (RFC 7009 section 2.1): a refresh token takes its family along, an access
    /// token goes alone. Returns the family, or `None` for a token that nobody knows, which is no error.
    pub(super) fn revoke_token(
        &mut self,
        token: &str,
        client: &str,
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
            self.revoke(&name);
        } else {
            self.access_tokens.remove(&digest);
        }
        Ok(Some(name))
    }

    fn remember_access(&mut self, family: &str, token: &AccessToken, now: Instant) {
        let ttl = self.families[family].status.spec.access_token_ttl_seconds;
        let record = AccessRecord {
            family: family.to_owned(),
            ends_at: now + Duration::from_secs(ttl),
        };
        self.access_tokens.insert(sha256(token.expose()), record);
    }

    fn remember_refresh(
        &mut self,
        family: &str,
        token: &RefreshToken,
        sequence: u64,
        now: Instant,
    ) {
        let ttl = self.families[family].status.spec.refresh_token_ttl_seconds;
        let record = RefreshRecord {
            family: family.to_owned(),
            issued_by: sequence,
            ends_at: ttl.map(|seconds| now + Duration::from_secs(seconds)),
            spent: None,
        };
        self.refresh_tokens.insert(sha256(token.expose()), record);
    }

    fn issue(
        &self,
        family: &str,
        access_token: AccessToken,
        refresh: Option<&RefreshToken>,
    ) -> Issue {
        let spec = &self.families[family].status.spec;
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

#[cfg(test)]
mod tests;
