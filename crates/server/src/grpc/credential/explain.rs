//! ExplainCredential: why a credential is as it is.

mod notes;
mod summary;

use evergrant_core::attempts::AttemptRecord;
use evergrant_core::clock::Timestamp;
use evergrant_core::coordinator::LockHolder;
use evergrant_core::events::{Event, EventBody};
use evergrant_core::explain::{Diagnosis, Explanation, Named};
use evergrant_core::grant::{GrantState, Lease};
use evergrant_core::ids::{CredentialKey, GrantId};
use evergrant_core::refresh::Cause;
use evergrant_core::store::CredentialView;
use evergrant_proto::v1::{self, ErrorReason};

use super::{Credentials, not_found};
use crate::grpc::call::Call;
use crate::grpc::caller::Permission;
use crate::grpc::convert::credential::to_credential;
use crate::grpc::convert::integration::to_integration;
use crate::grpc::convert::{credential_key, to_duration, to_timestamp};
use crate::grpc::status::{ApiError, reason_name, store_error};

impl Credentials {
    pub(super) async fn explain(
        &self,
        call: &Call,
        request: v1::ExplainCredentialRequest,
    ) -> Result<v1::ExplainCredentialResponse, ApiError> {
        let v1::ExplainCredentialRequest {
            tenant_id,
            credential_id,
            grant_id,
        } = request;
        if !grant_id.is_empty() {
            if !credential_id.is_empty() {
                let why = "must be empty if a credential is named";
                return Err(ApiError::invalid("grant_id", why));
            }
            return self.explain_grant(call, &grant_id).await;
        }
        let key = credential_key(&tenant_id, &credential_id)?;
        call.concerns(&key);
        call.require(Permission::CredentialRead, Some(&key.tenant))?;
        let explained = self.explained(&Named::Credential(key.clone())).await?;
        let explained = explained.ok_or_else(|| not_found(&key))?;
        Ok(render(explained, Some(&key)))
    }

    /// A grant is of a tenant, which the caller need not know; to a caller of another tenant there is none.
    async fn explain_grant(
        &self,
        call: &Call,
        grant_id: &str,
    ) -> Result<v1::ExplainCredentialResponse, ApiError> {
        call.tenants(Permission::CredentialRead)?;
        let id = GrantId::parse(grant_id)
            .map_err(|why| ApiError::invalid("grant_id", why.to_string()))?;
        let explained = self.explained(&Named::Grant(id.clone())).await?;
        let explained = explained.filter(|explained| {
            let tenant = Some(&explained.grant.tenant);
            call.require(Permission::CredentialRead, tenant).is_ok()
        });
        let explained = explained.ok_or_else(|| {
            let message = format!("grant {id} does not exist");
            ApiError::new(ErrorReason::CredentialNotFound, message)
        })?;
        Ok(render(explained, None))
    }

    async fn explained(&self, named: &Named) -> Result<Option<Explanation>, ApiError> {
        let explained = self.broker.explain(named).await;
        explained.map_err(|error| store_error(&error))
    }
}

fn render(explained: Explanation, key: Option<&CredentialKey>) -> v1::ExplainCredentialResponse {
    let summary = summary::of(&explained);
    let notes = notes::of(&explained);
    let reason = reason(&explained.diagnosis).map(reason_name);
    let section = match &explained.diagnosis {
        Diagnosis::Dead(death) => Some(death.reason.as_str()),
        _ => reason,
    };
    let handbook = section.map(handbook).unwrap_or_default();
    let next_refresh_at = next_refresh(&explained).map(to_timestamp);
    let Explanation {
        now,
        grant,
        parent,
        credentials,
        integrations,
        lock,
        escrow,
        attempts,
        events,
        ..
    } = explained;
    // What is dead has ended.
    let is_dead = grant.state.invalidation().is_some();
    let ends_at = grant.dates.end.map(|end| end.at).filter(|_| !is_dead);
    let sharing = credentials.iter();
    let sharing = sharing.map(|credential| credential.key.to_string());
    let sharing = sharing.collect();
    let mut shown = credentials.into_iter();
    let shown = shown.find(|credential| key.is_none_or(|key| credential.key == *key));
    let since = match &grant.state {
        GrantState::Invalidated(dead) | GrantState::Suspect(dead) => dead.at,
        GrantState::Active => grant.issued_at,
    };
    v1::ExplainCredentialResponse {
        summary,
        reason: reason.unwrap_or_default().to_owned(),
        handbook,
        sharing,
        derived_grant_id: match &grant.parent {
            Some(_) => grant.id.to_string(),
            None => String::new(),
        },
        generation: grant.generation.0,
        since: grant.has_token().then(|| to_timestamp(since)),
        next_refresh_at,
        ends_at: ends_at.map(to_timestamp),
        lease: grant.lease.as_ref().map(|lease| to_lease(lease, now)),
        lock: lock.ok().flatten().map(|lock| to_holder(&lock, now)),
        escrowed_at: escrow.ok().flatten().map(to_timestamp),
        refresh_token_in_doubt: grant.in_doubt,
        attempts: attempts.into_iter().map(to_attempt).collect(),
        integrations: integrations.into_iter().map(to_integration).collect(),
        events: events.into_iter().map(to_past_event).collect(),
        notes,
        credential: shown.map(|credential| {
            to_credential(CredentialView {
                credential,
                grant: parent.unwrap_or(grant),
                integrations: Vec::new(),
            })
        }),
    }
}

/// What GetToken says of it, or would once the token at hand is no good.
fn reason(diagnosis: &Diagnosis) -> Option<ErrorReason> {
    use evergrant_core::provider::UnknownClient;
    match diagnosis {
        Diagnosis::Dead(_) => Some(ErrorReason::CredentialInvalidated),
        Diagnosis::Held { .. } => Some(ErrorReason::ClientBraked),
        Diagnosis::UnknownClient(UnknownClient::Provider(_)) => Some(ErrorReason::UnknownProvider),
        Diagnosis::UnknownClient(_) => Some(ErrorReason::UnknownClient),
        Diagnosis::ClientRejected(_) => Some(ErrorReason::ClientRejected),
        Diagnosis::CoolingDown { failure, .. } => {
            let named = failure.as_ref().and_then(|failure| {
                ErrorReason::from_str_name(&format!("ERROR_REASON_{}", failure.reason))
            });
            Some(named.unwrap_or(ErrorReason::RefreshCoolingDown))
        }
        Diagnosis::Throttled { .. } => Some(ErrorReason::ProviderRateLimited),
        Diagnosis::TooYoung { .. } => Some(ErrorReason::RefreshCoolingDown),
        Diagnosis::Refreshing { .. }
        | Diagnosis::NotRenewable { .. }
        | Diagnosis::Overdue { .. }
        | Diagnosis::Works { .. }
        | Diagnosis::OnRequest => None,
    }
}

fn handbook(reason: &str) -> String {
    format!("docs/handbook.md#{}", reason.to_ascii_lowercase())
}

fn next_refresh(explained: &Explanation) -> Option<Timestamp> {
    let due_at = explained.grant.dates.due_at;
    match &explained.diagnosis {
        Diagnosis::Dead(_)
        | Diagnosis::NotRenewable { .. }
        | Diagnosis::UnknownClient(_)
        | Diagnosis::OnRequest => None,
        Diagnosis::Held { next_at, .. } => *next_at,
        Diagnosis::Refreshing { .. } => Some(explained.now),
        Diagnosis::ClientRejected(refusal) => {
            let probe = explained.now.plus(refusal.retry_after);
            due_at.map(|due_at| due_at.max(probe))
        }
        Diagnosis::CoolingDown { until, .. }
        | Diagnosis::Throttled { until }
        | Diagnosis::TooYoung { until } => due_at.map(|due_at| due_at.max(*until)),
        Diagnosis::Overdue { .. } => Some(explained.now),
        Diagnosis::Works { due_at } => Some(*due_at),
    }
}

fn to_lease(lease: &Lease, now: Timestamp) -> v1::Holder {
    v1::Holder {
        replica: lease.owner.replica().unwrap_or_default().to_owned(),
        // When one ran out that nobody gave back is not kept.
        until: Some(to_timestamp(now.plus(lease.left))),
    }
}

fn to_holder(lock: &LockHolder, now: Timestamp) -> v1::Holder {
    v1::Holder {
        replica: lock.owner.replica().unwrap_or_default().to_owned(),
        until: Some(to_timestamp(now.plus(lock.left))),
    }
}

fn to_attempt(attempt: AttemptRecord) -> v1::RefreshAttempt {
    let AttemptRecord {
        grant: _,
        epoch: _,
        replica,
        cause,
        began_at,
        took,
        base,
        left,
        took_over,
        calls,
        outcome,
        error,
    } = attempt;
    let (status, code, message) = match error {
        Some(error) => (error.status, error.code, error.message),
        None => (None, String::new(), String::new()),
    };
    let cause = match cause {
        Cause::Expiry => v1::RefreshCause::Expiry,
        Cause::Refusal => v1::RefreshCause::Refusal,
        Cause::Renewal => v1::RefreshCause::Background,
    };
    v1::RefreshAttempt {
        began_at: Some(to_timestamp(began_at)),
        took: Some(to_duration(took)),
        replica: replica.to_string(),
        cause: cause.into(),
        outcome: outcome.as_str().to_owned(),
        calls,
        http_status: status.map_or(0, u32::from),
        provider_error: code,
        message,
        generation_before: base.0,
        generation_after: left.map_or(0, |left| left.0),
        took_over,
    }
}

fn to_past_event(event: Event) -> v1::PastEvent {
    let Event { seq, at, body } = event;
    let (kind, text) = match body {
        EventBody::CredentialInvalidated(event) => {
            let why = [event.reason.as_str(), &event.provider_error, &event.message];
            let why = why.into_iter().filter(|text| !text.is_empty());
            ("CREDENTIAL_INVALIDATED", why.collect::<Vec<_>>().join(", "))
        }
        EventBody::CredentialRestored(event) => (
            "CREDENTIAL_RESTORED",
            format!("generation {}", event.generation),
        ),
        EventBody::CredentialDeleted(_) => ("CREDENTIAL_DELETED", String::new()),
        EventBody::ReauthorizationDue(event) => (
            "REAUTHORIZATION_DUE",
            format!("ends at {}", summary::time(event.due_at)),
        ),
        // No event about a credential.
        EventBody::IntegrationStatusChanged(_)
        | EventBody::ClientRejected(_)
        | EventBody::ClientRecovered(_)
        | EventBody::ClientBraked(_)
        | EventBody::ClientReleased(_) => ("", String::new()),
    };
    v1::PastEvent {
        number: seq,
        event_time: Some(to_timestamp(at)),
        r#type: kind.to_owned(),
        text,
    }
}
