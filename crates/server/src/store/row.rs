//! From rows to the domain's types. A value that the domain does not know is reported as corrupt.

use std::collections::BTreeMap;
use std::time::Duration;

use evergrant_core::ageing::{Ahead, Dates, End};
use evergrant_core::brake::Brake;
use evergrant_core::change::ClientHealth;
use evergrant_core::clock::Timestamp;
use evergrant_core::failure::FailureReason;
use evergrant_core::grant::{
    Attempts, GrantFacts, GrantState, GrantType, Invalidation, InvalidationReason, Lease,
    PassingFailure,
};
use evergrant_core::ids::{
    ClientKey, ClientName, CredentialId, CredentialKey, Epoch, Generation, GrantId, IntegrationId,
    IntegrationKey, InvalidName, OwnerToken, ProviderName, TenantId,
};
use evergrant_core::integration::{Facts, Integration, Need};
use evergrant_core::store::{Credential, StoreError};
use sea_orm::JsonValue;

use super::entity::{brake, client, credential, grant, integration};
use super::names::Stored;

pub(super) fn corrupt(what: impl Into<String>) -> StoreError {
    StoreError::Corrupt(what.into())
}

/// A count or number, which is never negative.
pub(super) fn number(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// A number as the database holds it.
pub(super) fn stored(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn name<T>(
    parse: impl Fn(&str) -> Result<T, InvalidName>,
    text: &str,
) -> Result<T, StoreError> {
    parse(text).map_err(|_| corrupt(format!("the name {text:?}")))
}

pub(super) fn word<T: Stored>(text: &str) -> Result<T, StoreError> {
    T::named(text).ok_or_else(|| corrupt(format!("the word {text:?}")))
}

pub(super) fn credential_key(tenant: &str, id: &str) -> Result<CredentialKey, StoreError> {
    Ok(CredentialKey {
        tenant: name(TenantId::parse, tenant)?,
        id: name(CredentialId::parse, id)?,
    })
}

pub(super) fn integration_key(tenant: &str, id: &str) -> Result<IntegrationKey, StoreError> {
    Ok(IntegrationKey {
        tenant: name(TenantId::parse, tenant)?,
        id: name(IntegrationId::parse, id)?,
    })
}

pub(super) fn client_key(provider: &str, client: &str) -> Result<ClientKey, StoreError> {
    Ok(ClientKey {
        provider: name(ProviderName::parse, provider)?,
        client: name(ClientName::parse, client)?,
    })
}

/// What a row tells of a grant at `now` by the database's clock.
pub(super) fn facts(row: grant::Model, now: i64) -> Result<GrantFacts, StoreError> {
    let scopes = serde_json::from_str(&row.scopes);
    let requested: Result<Vec<String>, _> = serde_json::from_str(&row.requested_scopes);
    let requested =
        requested.map_err(|_| corrupt(format!("the requested scopes of grant {}", row.id)))?;
    let grant_type: GrantType = word(&row.grant_type)?;
    Ok(GrantFacts {
        state: state(&row)?,
        attempts: attempts(&row)?,
        lease: lease(&row, now),
        in_doubt: in_doubt(&row, now),
        dates: dates(&row)?,
        announced: announced(&row)?,
        id: name(GrantId::parse, &row.id)?,
        tenant: name(TenantId::parse, &row.tenant)?,
        client: client_key(&row.provider, &row.client)?,
        account: row.account,
        grant_type,
        parent: (row.parent.as_deref())
            .map(|parent| name(GrantId::parse, parent))
            .transpose()?,
        requested_scopes: requested.into_iter().collect(),
        generation: Generation(number(row.generation)),
        version: number(row.version),
        consented_at: Timestamp::from_millis(row.consented_at),
        issued_at: Timestamp::from_millis(row.issued_at),
        expires_at: row.expires_at.map(Timestamp::from_millis),
        refresh_expires_at: row.refresh_expires_at.map(Timestamp::from_millis),
        refreshable: row.refreshable || grant_type.is_minted(),
        scopes: scopes.map_err(|_| corrupt(format!("the scopes of grant {}", row.id)))?,
        created_at: Timestamp::from_millis(row.created_at),
    })
}

fn state(row: &grant::Model) -> Result<GrantState, StoreError> {
    let invalidation = |reason: &str| {
        Ok(Invalidation {
            reason: invalidation_reason(reason)?,
            provider_error: row.invalid_error.clone().unwrap_or_default(),
            message: row.invalid_message.clone().unwrap_or_default(),
            at: Timestamp::from_millis(row.invalid_at.unwrap_or(0)),
            // An older version that still runs knows only the reason.
            reported: row.invalid_reported || reason == InvalidationReason::Reported.as_str(),
        })
    };
    match (&row.invalid_reason, &row.suspect_reason) {
        (Some(reason), _) => invalidation(reason).map(GrantState::Invalidated),
        (None, Some(reason)) => invalidation(reason).map(GrantState::Suspect),
        (None, None) => Ok(GrantState::Active),
    }
}

pub(super) fn invalidation_reason(name: &str) -> Result<InvalidationReason, StoreError> {
    InvalidationReason::from_name(name).ok_or_else(|| corrupt(format!("the word {name:?}")))
}

fn attempts(row: &grant::Model) -> Result<Attempts, StoreError> {
    let last_failure = match &row.failure_reason {
        None => None,
        Some(reason) => Some(PassingFailure {
            reason: FailureReason::from_name(reason)
                .ok_or_else(|| corrupt(format!("the word {reason:?}")))?,
            message: row.failure_message.clone().unwrap_or_default(),
        }),
    };
    Ok(Attempts {
        failed: u32::try_from(row.failed).unwrap_or(u32::MAX),
        next_at: row.next_attempt_at.map(Timestamp::from_millis),
        last_failure,
    })
}

fn dates(row: &grant::Model) -> Result<Dates, StoreError> {
    let time = |at: Option<i64>| at.map(Timestamp::from_millis);
    let end = match (time(row.ends_at), &row.end_of) {
        (Some(at), Some(of)) => Some(End { at, of: word(of)? }),
        _ => None,
    };
    Ok(Dates {
        due_at: time(row.due_at),
        renew_by: time(row.renew_by),
        end,
        announce_at: time(row.announce_at),
    })
}

fn announced(row: &grant::Model) -> Result<Option<Ahead>, StoreError> {
    let Some(days) = row.announced else {
        return Ok(None);
    };
    let known = u32::try_from(days).ok().and_then(Ahead::from_days);
    let ahead = known.ok_or_else(|| corrupt(format!("an announcement {days} days ahead")))?;
    Ok(Some(ahead))
}

fn lease(row: &grant::Model, now: i64) -> Option<Lease> {
    let left = row.lease_until?.saturating_sub(now);
    Some(Lease {
        owner: OwnerToken::from_stored(row.lease_owner.as_deref()?),
        epoch: Epoch(number(row.epoch)),
        left: Duration::from_millis(number(left)),
    })
}

fn in_doubt(row: &grant::Model, now: i64) -> bool {
    let is_leased = row.lease_until.is_some_and(|until| until > now);
    row.takeover || row.intent && !is_leased
}

pub(super) fn credential(row: credential::Model) -> Result<Credential, StoreError> {
    Ok(Credential {
        key: credential_key(&row.tenant, &row.id)?,
        grant: name(GrantId::parse, &row.grant_id)?,
        labels: labels(row.labels)?,
        created_at: Timestamp::from_millis(row.created_at),
        version: number(row.version),
    })
}

/// `needs` are all that the integration has, by credential.
pub(super) fn integration(
    row: integration::Model,
    needs: Vec<Need>,
) -> Result<Integration, StoreError> {
    Ok(Integration {
        key: integration_key(&row.tenant, &row.id)?,
        facts: Facts {
            paused: row.paused,
            needs_config: row.needs_config,
            processing: row.processing,
            needs,
        },
        labels: labels(row.labels)?,
        status: word(&row.status)?,
        cause: row.cause,
        status_changed_at: Timestamp::from_millis(row.status_changed_at),
        version: number(row.version),
    })
}

pub(super) fn client(row: client::Model) -> Result<ClientHealth, StoreError> {
    Ok(ClientHealth {
        client: client_key(&row.provider, &row.client)?,
        rejected: row.rejected,
        since: Timestamp::from_millis(row.since),
        provider_error: row.provider_error,
        message: row.message,
        rejected_at: row.rejected_at.map(Timestamp::from_millis),
    })
}

pub(super) fn brake(row: brake::Model) -> Result<Brake, StoreError> {
    Ok(Brake {
        client: client_key(&row.provider, &row.client)?,
        since: Timestamp::from_millis(row.since),
        refused: number(row.refused),
        refreshed: number(row.refreshed),
        provider_error: row.provider_error,
        next_probe_at: Timestamp::from_millis(row.next_probe_at),
    })
}

pub(super) fn labels(json: JsonValue) -> Result<BTreeMap<String, String>, StoreError> {
    serde_json::from_value(json).map_err(|_| corrupt("labels"))
}
