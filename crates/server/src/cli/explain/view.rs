//! An explanation as it is printed.

use evergrant_proto::v1::{
    ExplainCredentialResponse, Holder, PastEvent, RefreshAttempt, RefreshCause,
};
use serde::Serialize;

use crate::cli::credential_view::CredentialView;
use crate::cli::integration_view::IntegrationView;
use crate::cli::output::{Printable, Table};
use crate::cli::wire::{duration_from_wire, name_of, rfc3339, short};

/// An explanation, named as in `credential_service.proto`.
#[derive(Debug, Serialize)]
pub struct ExplanationView {
    summary: String,
    reason: String,
    handbook: String,
    credential: Option<CredentialView>,
    sharing: Vec<String>,
    derived_grant_id: String,
    generation: u64,
    since: Option<String>,
    next_refresh_at: Option<String>,
    ends_at: Option<String>,
    lease: Option<HolderView>,
    lock: Option<HolderView>,
    escrowed_at: Option<String>,
    refresh_token_in_doubt: bool,
    attempts: Vec<AttemptView>,
    integrations: Vec<IntegrationView>,
    events: Vec<EventView>,
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct HolderView {
    replica: String,
    until: Option<String>,
}

#[derive(Debug, Serialize)]
struct AttemptView {
    began_at: Option<String>,
    took_ms: u64,
    replica: String,
    cause: String,
    outcome: String,
    calls: u32,
    http_status: u32,
    provider_error: String,
    message: String,
    generation_before: u64,
    generation_after: u64,
    took_over: bool,
}

#[derive(Debug, Serialize)]
struct EventView {
    number: u64,
    event_time: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    text: String,
}

impl From<ExplainCredentialResponse> for ExplanationView {
    fn from(wire: ExplainCredentialResponse) -> Self {
        let ExplainCredentialResponse {
            summary,
            reason,
            handbook,
            credential,
            sharing,
            derived_grant_id,
            generation,
            since,
            next_refresh_at,
            ends_at,
            lease,
            lock,
            escrowed_at,
            refresh_token_in_doubt,
            attempts,
            integrations,
            events,
            notes,
        } = wire;
        Self {
            summary,
            reason,
            handbook,
            credential: credential.map(Into::into),
            sharing,
            derived_grant_id,
            generation,
            since: rfc3339(since),
            next_refresh_at: rfc3339(next_refresh_at),
            ends_at: rfc3339(ends_at),
            lease: lease.map(Into::into),
            lock: lock.map(Into::into),
            escrowed_at: rfc3339(escrowed_at),
            refresh_token_in_doubt,
            attempts: attempts.into_iter().map(Into::into).collect(),
            integrations: integrations.into_iter().map(Into::into).collect(),
            events: events.into_iter().map(Into::into).collect(),
            notes,
        }
    }
}

impl From<Holder> for HolderView {
    fn from(wire: Holder) -> Self {
        let Holder { replica, until } = wire;
        Self {
            replica,
            until: rfc3339(until),
        }
    }
}

impl From<RefreshAttempt> for AttemptView {
    fn from(wire: RefreshAttempt) -> Self {
        let RefreshAttempt {
            began_at,
            took,
            replica,
            cause,
            outcome,
            calls,
            http_status,
            provider_error,
            message,
            generation_before,
            generation_after,
            took_over,
        } = wire;
        let took = duration_from_wire(took).unwrap_or_default();
        Self {
            began_at: rfc3339(began_at),
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            replica,
            cause: name_of(cause, RefreshCause::as_str_name),
            outcome,
            calls,
            http_status,
            provider_error,
            message,
            generation_before,
            generation_after,
            took_over,
        }
    }
}

impl From<PastEvent> for EventView {
    fn from(wire: PastEvent) -> Self {
        let PastEvent {
            number,
            event_time,
            r#type,
            text,
        } = wire;
        Self {
            number,
            event_time: rfc3339(event_time),
            kind: r#type,
            text,
        }
    }
}

impl HolderView {
    fn in_words(&self) -> String {
        let replica = match self.replica.as_str() {
            "" => "a replica without a name",
            name => name,
        };
        let until = self.until.as_deref().unwrap_or("nobody knows when");
        format!("{replica}, until {until}")
    }
}

impl AttemptView {
    fn cells(&self) -> [String; 7] {
        let generations = match self.generation_after {
            0 => self.generation_before.to_string(),
            after => format!("{} -> {after}", self.generation_before),
        };
        let mut answer = Vec::new();
        if self.http_status != 0 {
            answer.push(format!("HTTP {}", self.http_status));
        }
        answer.extend([self.provider_error.clone(), self.message.clone()]);
        answer.retain(|part| !part.is_empty());
        [
            self.began_at.clone().unwrap_or_default(),
            format!("{} ms", self.took_ms),
            self.replica.clone(),
            short(&self.cause, "REFRESH_CAUSE_"),
            self.outcome.to_ascii_lowercase(),
            generations,
            answer.join(", "),
        ]
    }
}

impl Printable for ExplanationView {
    fn table(&self) -> Table {
        let mut table = Table::default();
        table.row([self.summary.clone()]);
        table.then(self.facts());
        table.then(self.attempts());
        let mut integrations = Table::with_header(&["INTEGRATION", "STATUS"]);
        for integration in &self.integrations {
            let status = integration.short_status();
            integrations.row([integration.integration_id.clone(), status]);
        }
        table.then(integrations);
        let mut events = Table::with_header(&["EVENT", "AT", "TYPE", "ABOUT"]);
        for event in &self.events {
            events.row([
                event.number.to_string(),
                event.event_time.clone().unwrap_or_default(),
                event.kind.to_ascii_lowercase(),
                event.text.clone(),
            ]);
        }
        table.then(events);
        table
    }
}

impl ExplanationView {
    fn facts(&self) -> Table {
        let mut table = Table::default();
        let time = |time: &Option<String>| time.clone().unwrap_or_default();
        table.field("reason", self.reason.to_ascii_lowercase());
        table.field("handbook", &self.handbook);
        if let Some(credential) = &self.credential {
            table.field("credential", &credential.credential_id);
            table.field("tenant", &credential.tenant_id);
            table.field("provider", &credential.provider);
            table.field("client", &credential.client);
            table.field("account", &credential.provider_account);
            table.field("state", credential.short_state());
            table.field("grant", &credential.grant_id);
            table.field("expires", time(&credential.expires_at));
            if credential.invalidation.is_none() {
                table.field("refresh ends", time(&credential.refresh_expires_at));
            }
            table.field("refreshable", credential.renewal());
        }
        if self.sharing.len() > 1 {
            table.field("shared by", self.sharing.join(", "));
        }
        table.field("derived grant", &self.derived_grant_id);
        table.field("generation", self.generation.to_string());
        table.field("since", time(&self.since));
        table.field(
            "next refresh",
            self.next_refresh_at.as_deref().unwrap_or("none"),
        );
        table.field("ends", time(&self.ends_at));
        let holder = |holder: &Option<HolderView>| {
            holder
                .as_ref()
                .map_or_else(|| "nobody".to_owned(), HolderView::in_words)
        };
        table.field("lease", holder(&self.lease));
        if self.lock.is_some() {
            table.field("leader", holder(&self.lock));
        }
        table.field("in escrow", time(&self.escrowed_at));
        if self.refresh_token_in_doubt {
            table.field("in doubt", "the refresh token may be spent");
        }
        for note in &self.notes {
            table.field("note", note);
        }
        table
    }

    fn attempts(&self) -> Table {
        let mut attempts = Table::with_header(&[
            "ATTEMPT",
            "TOOK",
            "REPLICA",
            "CAUSE",
            "OUTCOME",
            "GENERATION",
            "ANSWER",
        ]);
        for attempt in &self.attempts {
            attempts.row(attempt.cells());
        }
        attempts
    }
}

#[cfg(test)]
mod tests;
