//! What a request leaves in the audit trail.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use evergrant_core::ids::{Generation, TenantId};
use evergrant_proto::v1::ErrorReason;

use super::caller::Caller;
use super::peer::Peer;
use super::status::ApiError;
use crate::audit::record::{ANONYMOUS, Act, CANCELLED, OK, Subject, UNKNOWN};
use crate::audit::{Audit, Ticket};

/// The record of one request while the request is served. Clones are of the same request.
#[derive(Debug, Clone, Default)]
pub struct Notes {
    audit: Audit,
    noted: Arc<Mutex<Noted>>,
}

#[derive(Debug, Default)]
struct Noted {
    subject: Subject,
    detail: String,
    is_unremarkable: bool,
}

/// Who asks what, and from where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) method: &'static str,
    /// `None` if it is not known who asks.
    pub(super) caller: Option<&'a Caller>,
    pub(super) peer: Option<&'a Peer>,
}

/// Which requests of a method go on record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// Each of them.
    All,
    /// Those that fail; whatever comes about has a record of its own.
    Failures,
    /// Those that the caller had no right to make, or too many of.
    Refusals,
}

/// A method that is not named here tells tokens or changes something.
fn kept(method: &str) -> Kept {
    match method {
        "BatchGetTokens" => Kept::Failures,
        "ExplainCredential"
        | "ForecastCredentials"
        | "GetCredential"
        | "GetIntegration"
        | "GetKill"
        | "ListAuditRecords"
        | "ListCredentials"
        | "ListIntegrations"
        | "ListKills"
        | "ListProviders"
        | "PreviewKill"
        | "WatchKill" => Kept::Refusals,
        _ => Kept::All,
    }
}

fn is_kept(method: &str, outcome: Result<(), ErrorReason>) -> bool {
    match (kept(method), outcome) {
        (Kept::All, _) | (Kept::Failures, Err(_)) => true,
        (Kept::Failures | Kept::Refusals, Ok(())) => false,
        (Kept::Refusals, Err(reason)) => matches!(
            reason,
            ErrorReason::Unauthenticated
                | ErrorReason::PermissionDenied
                | ErrorReason::CallerRateLimited
        ),
    }
}

impl Notes {
    /// Notes of a request that go to `audit`.
    pub(super) fn new(audit: Audit) -> Self {
        Self {
            audit,
            noted: Arc::default(),
        }
    }

    /// What the request is about, as far as is known by now.
    pub(super) fn concerns(&self, subject: Subject) {
        self.with(|noted| noted.subject = subject);
    }

    /// The tenant that the request is about, unless more is known.
    pub(super) fn concerns_tenant(&self, tenant: &TenantId) {
        self.with(|noted| {
            if noted.subject == Subject::default() {
                noted.subject.tenant = Some(tenant.clone());
            }
        });
    }

    /// More of it in a few words, as far as is known by now.
    pub(super) fn details(&self, detail: String) {
        self.with(|noted| noted.detail = detail);
    }

    /// The generation that is disclosed.
    pub(super) fn discloses(&self, generation: Generation) {
        self.with(|noted| noted.subject.generation = Some(generation));
    }

    /// Nothing came about that anyone would look for, if the request ends well.
    pub(super) fn unremarkable(&self) {
        self.with(|noted| noted.is_unremarkable = true);
    }

    /// Refuses what would change or tell something without a record, where that may not be.
    pub(super) fn may_begin(&self, method: &'static str) -> Result<(), ApiError> {
        match kept(method) {
            Kept::Refusals => Ok(()),
            Kept::All | Kept::Failures => {
                let ready = self.audit.ready();
                ready.map_err(|error| unrecorded(&error.to_string()))
            }
        }
    }

    /// Notes how the request ended. In strict mode it waits until what was disclosed or changed is on record.
    pub(super) async fn ended<T>(
        &self,
        source: Source<'_>,
        result: Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let outcome = match &result {
            Ok(_) => Ok(()),
            Err(error) => Err(error.reason()),
        };
        if !is_kept(source.method, outcome) {
            return result;
        }
        if result.is_ok() && self.with(|noted| noted.is_unremarkable) {
            return result;
        }
        let outcome = result.as_ref().err().map_or(OK, ApiError::reason_name);
        let ticket = self.note_request(source, outcome);
        if result.is_ok() {
            self.on_record(ticket).await?;
        }
        result
    }

    /// Notes that the caller of a request that may change something went away before it was served.
    pub(super) fn abandoned(&self, source: Source<'_>) {
        let tells_only = matches!(source.method, "GetToken" | "Watch");
        if !tells_only && kept(source.method) == Kept::All {
            // Nobody waits any more.
            let _ticket = self.note_request(source, CANCELLED);
        }
    }

    /// Where they go.
    pub(super) fn audit(&self) -> &Audit {
        &self.audit
    }

    /// Notes the request itself.
    fn note_request(&self, source: Source<'_>, outcome: &'static str) -> Ticket {
        let (subject, detail) = self.with(|noted| (noted.subject.clone(), noted.detail.clone()));
        self.audit.note(Act {
            detail,
            ..source.act(subject, outcome)
        })
    }

    /// Notes something about a request that is served, or was.
    pub(super) fn note(
        &self,
        source: Source<'_>,
        subject: Subject,
        outcome: &'static str,
    ) -> Ticket {
        self.audit.note(source.act(subject, outcome))
    }

    /// In strict mode, waits until what was noted is in the store.
    pub(super) async fn on_record(&self, ticket: Ticket) -> Result<(), ApiError> {
        let recorded = self.audit.on_record(ticket).await;
        recorded.map_err(|error| unrecorded(&error.to_string()))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Noted) -> T) -> T {
        work(&mut self.noted.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Source<'_> {
    pub(super) fn act(self, subject: Subject, outcome: &'static str) -> Act {
        let caller = match self.caller {
            Some(caller) => caller.name().unwrap_or(ANONYMOUS),
            None => UNKNOWN,
        };
        let peer: Option<IpAddr> = self.peer.map(|peer| peer.address.ip().to_canonical());
        Act {
            caller: caller.into(),
            peer,
            action: self.method,
            subject,
            outcome,
            detail: String::new(),
        }
    }
}

fn unrecorded(why: &str) -> ApiError {
    ApiError::new(ErrorReason::StoreUnavailable, why).retry_after(std::time::Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_is_only_read_refusals_alone_are_kept() {
        let refused = Err(ErrorReason::PermissionDenied);
        let failed = Err(ErrorReason::CredentialNotFound);
        for (method, expected) in [
            ("GetToken", [true, true, true]),
            ("DeleteCredential", [true, true, true]),
            ("Watch", [true, true, true]),
            ("AMethodOfLater", [true, true, true]),
            ("BatchGetTokens", [false, true, true]),
            ("ListCredentials", [false, false, true]),
        ] {
            let kept = [Ok(()), failed, refused].map(|outcome| is_kept(method, outcome));
            assert_eq!(kept, expected, "{method}");
        }
    }
}
