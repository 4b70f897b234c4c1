//! The control handle: what a test or a person can do to a running sandbox.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use evergrant_core::secret::{AccessToken, RefreshToken};
use thiserror::Error;
use tokio::time::Instant;

use super::dialect;
use super::fault::FaultRule;
use super::gate::{Gate, GateRule};
use super::grants::GrantStatus;
use super::ledger::{Endpoint, Ledger, Outcome};
use super::mode::{GrantSpec, RotationMode};
use super::proof::PublicKey;
use super::refusal::Dialect;
use super::state::Shared;
use super::token::Fingerprint;
use crate::catalogue::builtin;

/// Longest life of a token in seconds: a hundred years.
const MAX_TTL_SECONDS: u64 = 100 * 365 * 24 * 3600;

/// Why the sandbox does not do as it was told.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ControlError {
    /// No such grant was made.
    #[error("grant {0} is unknown")]
    UnknownGrant(String),
    /// No such gate was set up.
    #[error("gate {0} is unknown")]
    UnknownGate(u64),
    /// No such client is registered.
    #[error("client {0} is unknown")]
    UnknownClient(String),
    /// The catalogue has no such entry.
    #[error("provider {0} is not in the built-in catalogue")]
    UnknownProvider(String),
    /// The terms of a grant cannot be read.
    #[error("the terms of the grant cannot be read: {0}")]
    BadTerms(String),
    /// It makes no sense.
    #[error("{0}")]
    Invalid(&'static str),
}

/// A new grant and its first tokens.
#[derive(Debug, Clone)]
pub struct NewGrant {
    /// Its name, e.g. `grant-1`.
    pub family: String,
    /// Its first access token.
    pub access_token: AccessToken,
    /// Its first refresh token; the access token of a grant that renews itself.
    pub refresh_token: RefreshToken,
    /// How long the access token is good, in seconds.
    pub expires_in: u64,
}

/// Rules a running sandbox. Cheap to clone; every method takes effect at once, and works after the end too.
#[derive(Clone)]
pub struct Control(pub(super) Arc<Shared>);

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control")
            .field("base_url", &self.0.base_url)
            .finish_non_exhaustive()
    }
}

impl Control {
    /// Makes a grant as if its user had just consented.
    pub fn create_grant(&self, spec: GrantSpec) -> Result<NewGrant, ControlError> {
        let ttls = [
            Some(spec.access_token_ttl_seconds),
            spec.refresh_token_ttl_seconds,
        ];
        if ttls.into_iter().flatten().any(|ttl| ttl > MAX_TTL_SECONDS) {
            return Err(ControlError::Invalid(
                "a token must end within a hundred years",
            ));
        }
        if spec.omit_refresh_token && spec.mode != RotationMode::None {
            return Err(ControlError::Invalid(
                "refresh tokens can be left out of answers in mode none only",
            ));
        }
        if spec.self_renewing && spec.mode == RotationMode::None {
            return Err(ControlError::Invalid(
                "a token that renews itself is another one each time, which mode none rules out",
            ));
        }
        let mut state = self.0.state();
        if !state.clients.contains(&spec.client_id) {
            return Err(ControlError::UnknownClient(spec.client_id));
        }
        let sequence = state.ledger.open(Endpoint::Control, Dialect::Rfc6749);
        let mode = spec.mode;
        let issue = state.grants.create(spec, sequence, Instant::now());
        let refresh_token = issue
            .refresh_token
            .unwrap_or_else(|| RefreshToken::new(issue.access_token.expose().to_owned()));
        state.note_control(sequence, &issue.family, Outcome::Issued);
        let entry = state.ledger.entry(sequence);
        entry.mode = Some(mode);
        entry.issued_access_token = Some(Fingerprint::of(issue.access_token.expose()));
        entry.issued_refresh_token = Some(Fingerprint::of(refresh_token.expose()));
        Ok(NewGrant {
            family: issue.family,
            access_token: issue.access_token,
            refresh_token,
            expires_in: issue.expires_in,
        })
    }

    /// Ends a grant as if its user had withdrawn consent.
    pub fn revoke_grant(&self, family: &str) -> Result<GrantStatus, ControlError> {
        let mut state = self.0.state();
        if state.grants.revoke(family, Instant::now()) {
            let sequence = state.ledger.open(Endpoint::Control, Dialect::Rfc6749);
            state.note_control(sequence, family, Outcome::Revoked);
        }
        drop(state);
        self.grant(family)
    }

    /// What is known of a grant.
    pub fn grant(&self, family: &str) -> Result<GrantStatus, ControlError> {
        let state = self.0.state();
        let status = state.grants.status(family).cloned();
        status.ok_or_else(|| ControlError::UnknownGrant(family.to_owned()))
    }

    /// Registers a client or replaces its secrets, each of which is good. Without any it is a public client.
    pub fn set_client(&self, client_id: &str, secrets: &[String]) {
        self.0.state().clients.set(client_id, secrets);
    }

    /// Registers the public key, in PEM, that a client or the issuer of assertions signs with.
    pub fn set_client_key(&self, client_id: &str, public_key: &str) -> Result<(), ControlError> {
        let key = PublicKey::read(public_key);
        let key = key.ok_or(ControlError::Invalid(
            "a client's public_key must be an RSA or elliptic public key in PEM",
        ))?;
        self.0.state().clients.set_key(client_id, key);
        Ok(())
    }

    /// The terms of a grant that a provider of the built-in catalogue gives, and what its metadata must hold for the
    /// entry's placeholders.
    pub fn terms_as(
        &self,
        provider: &str,
    ) -> Result<(GrantSpec, BTreeMap<String, String>), ControlError> {
        let entry = dialect::find(self.0.catalogue(), provider);
        let entry = entry.ok_or_else(|| ControlError::UnknownProvider(provider.to_owned()))?;
        Ok((dialect::terms(&entry), dialect::metadata(&entry)))
    }

    /// A catalogue entry in TOML that is called `name`, speaks as the built-in entry of `provider`, and leads here.
    pub fn catalogue_entry_as(&self, provider: &str, name: &str) -> Result<String, ControlError> {
        let entry = dialect::find(self.0.catalogue(), provider);
        let text = builtin(provider);
        let (entry, text) = entry
            .zip(text)
            .ok_or_else(|| ControlError::UnknownProvider(provider.to_owned()))?;
        Ok(dialect::entry(&entry, text, name, &self.0.base_url))
    }

    /// Queues faults. Each call takes the first rule that matches it.
    pub fn add_fault(&self, rule: FaultRule) -> Result<(), ControlError> {
        self.0
            .state()
            .faults
            .push(rule)
            .map_err(ControlError::Invalid)
    }

    /// The rules that still wait for calls, with what is left of their counts.
    pub fn faults(&self) -> Vec<FaultRule> {
        self.0.state().faults.rules()
    }

    /// Drops every rule. Calls that are under way keep what they took.
    pub fn clear_faults(&self) {
        self.0.state().faults.clear();
    }

    /// Sets up a gate that holds matching calls from now on.
    pub fn add_gate(&self, rule: GateRule) -> Gate {
        self.0.state().gates.add(rule)
    }

    /// A gate that was set up before.
    pub fn gate(&self, id: u64) -> Result<Gate, ControlError> {
        self.0
            .state()
            .gates
            .get(id)
            .ok_or(ControlError::UnknownGate(id))
    }

    /// A copy of the whole ledger.
    pub fn ledger(&self) -> Ledger {
        self.ledger_since(0)
    }

    /// The entries that are new or have changed after number `since`.
    pub fn ledger_since(&self, since: u64) -> Ledger {
        self.0.state().ledger.since(since)
    }
}
