//! Kills as they are printed.

use evergrant_proto::v1::kill_target::What;
use evergrant_proto::v1::{Kill, KillSample, PreviewKillResponse};
use serde::Serialize;

use crate::cli::exit::Failure;
use crate::cli::output::{Printable, Table};
use crate::cli::wire::rfc3339;

/// A kill, named as in `kill_service.proto`.
#[derive(Debug, Serialize)]
pub(super) struct KillView {
    pub(super) kill_id: String,
    target: TargetView,
    reason: String,
    begun_by: String,
    revoke_at_provider: bool,
    begun_at: Option<String>,
    pub(super) finished_at: Option<String>,
    lifted_at: Option<String>,
    worker: String,
    grants: u64,
    credentials: u64,
    pending: u64,
    revoked: u64,
    not_supported: u64,
    superseded: u64,
    failed: u64,
}

#[derive(Debug, Serialize)]
struct TargetView {
    kind: &'static str,
    name: String,
    since: Option<String>,
}

/// Several kills.
#[derive(Debug, Serialize)]
pub(super) struct KillList {
    pub(super) kills: Vec<KillView>,
}

/// What a kill would take.
#[derive(Debug, Serialize)]
pub(super) struct Preview {
    grants: u64,
    credentials: u64,
    sample: Vec<SampleView>,
}

#[derive(Debug, Serialize)]
struct SampleView {
    tenant_id: String,
    credential_id: String,
    provider: String,
}

/// A caller that was let in again.
#[derive(Debug, Serialize)]
pub(super) struct Lifted {
    pub(super) caller: String,
    pub(super) lifted: u64,
}

impl From<Kill> for KillView {
    fn from(wire: Kill) -> Self {
        let Kill {
            kill_id,
            target,
            reason,
            begun_by,
            revoke_at_provider,
            begun_at,
            finished_at,
            lifted_at,
            worker,
            grants,
            credentials,
            pending,
            revoked,
            not_supported,
            superseded,
            failed,
        } = wire;
        let since = target.as_ref().and_then(|target| target.since);
        let (kind, name) = match target.and_then(|target| target.what) {
            Some(What::TenantId(name)) => ("tenant", name),
            Some(What::Provider(name)) => ("provider", name),
            Some(What::Client(name)) => ("client", name),
            Some(What::Caller(name)) => ("caller", name),
            None => ("", String::new()),
        };
        let since = rfc3339(since);
        Self {
            kill_id,
            target: TargetView { kind, name, since },
            reason,
            begun_by,
            revoke_at_provider,
            begun_at: rfc3339(begun_at),
            finished_at: rfc3339(finished_at),
            lifted_at: rfc3339(lifted_at),
            worker,
            grants,
            credentials,
            pending,
            revoked,
            not_supported,
            superseded,
            failed,
        }
    }
}

impl From<PreviewKillResponse> for Preview {
    fn from(wire: PreviewKillResponse) -> Self {
        let PreviewKillResponse {
            grants,
            credentials,
            sample,
        } = wire;
        Self {
            grants,
            credentials,
            sample: sample.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<KillSample> for SampleView {
    fn from(wire: KillSample) -> Self {
        let KillSample {
            tenant_id,
            credential_id,
            provider,
        } = wire;
        Self {
            tenant_id,
            credential_id,
            provider,
        }
    }
}

impl KillView {
    /// How far it is, on one line.
    pub(super) fn line(&self) -> String {
        let Self {
            kill_id,
            credentials,
            grants,
            ..
        } = self;
        let state = match &self.finished_at {
            Some(_) => "finished",
            None if self.worker.is_empty() => "waiting for a replica",
            None => "working",
        };
        let revoked = self.revocations();
        format!(
            "kill {kill_id}: {state}, {credentials} credentials of {grants} grants invalidated{revoked}"
        )
    }

    fn revocations(&self) -> String {
        if !self.revoke_at_provider {
            return String::new();
        }
        let mut parts = vec![format!("{} revoked", self.revoked)];
        let more = [
            (self.pending, "to be revoked"),
            (self.not_supported, "cannot be revoked"),
            (self.superseded, "connected again or deleted before"),
            (self.failed, "given up"),
        ];
        let more = more.into_iter().filter(|(count, _)| *count > 0);
        parts.extend(more.map(|(count, what)| format!("{count} {what}")));
        format!("; {}", parts.join(", "))
    }

    fn target(&self) -> String {
        format!("{} {}", self.target.kind, self.target.name)
    }

    /// What an operator must know, as the one line of a failure.
    pub(super) fn judge(&self) -> Result<(), Failure> {
        if self.failed == 0 {
            return Ok(());
        }
        let (failed, kill) = (self.failed, &self.kill_id);
        Err(Failure::Other(format!(
            "{failed} grants could not be revoked at their provider; try again with: evergrant kill resume {kill}"
        )))
    }
}

impl Printable for KillView {
    fn table(&self) -> Table {
        let mut table = Table::default();
        let time = |time: &Option<String>| time.clone().unwrap_or_default();
        table.field("kill", &self.kill_id);
        table.field("target", self.target());
        table.field("since", time(&self.target.since));
        table.field("reason", &self.reason);
        table.field("begun by", &self.begun_by);
        table.field("begun", time(&self.begun_at));
        table.field("finished", time(&self.finished_at));
        table.field("lifted", time(&self.lifted_at));
        table.field("worker", &self.worker);
        table.field("credentials", self.credentials.to_string());
        table.field("grants", self.grants.to_string());
        if self.revoke_at_provider {
            table.field("to be revoked", self.pending.to_string());
            table.field("revoked", self.revoked.to_string());
            table.field("cannot be revoked", self.not_supported.to_string());
            table.field("superseded", self.superseded.to_string());
            table.field("given up", self.failed.to_string());
        }
        table
    }
}

impl Printable for KillList {
    fn table(&self) -> Table {
        let names = [
            "KILL",
            "TARGET",
            "BEGUN",
            "BY",
            "STATE",
            "CREDENTIALS",
            "REVOKED",
            "REASON",
        ];
        let mut table = Table::with_header(&names);
        for kill in &self.kills {
            let state = match (&kill.finished_at, &kill.lifted_at) {
                (_, Some(_)) => "lifted",
                (Some(_), None) => "finished",
                (None, None) => "working",
            };
            let all = kill.grants - kill.superseded.min(kill.grants);
            let revoked = match kill.revoke_at_provider {
                true => format!("{}/{all}", kill.revoked),
                false => "-".to_owned(),
            };
            table.row([
                kill.kill_id.clone(),
                kill.target(),
                kill.begun_at.clone().unwrap_or_default(),
                kill.begun_by.clone(),
                state.to_owned(),
                kill.credentials.to_string(),
                revoked,
                kill.reason.clone(),
            ]);
        }
        table
    }
}

impl Printable for Preview {
    fn table(&self) -> Table {
        let mut table = Table::default();
        table.field("credentials", self.credentials.to_string());
        table.field("grants", self.grants.to_string());
        let mut sample = Table::with_header(&["TENANT", "CREDENTIAL", "PROVIDER"]);
        for one in &self.sample {
            sample.row([&one.tenant_id, &one.credential_id, &one.provider]);
        }
        let named = u64::try_from(self.sample.len()).unwrap_or(u64::MAX);
        if named < self.credentials {
            sample.row(["…", "…", "…"]);
        }
        table.then(sample);
        table
    }
}

impl Printable for Lifted {
    fn table(&self) -> Table {
        let mut table = Table::default();
        table.field("caller", &self.caller);
        let lifted = match self.lifted {
            0 => "it was not locked out",
            _ => "let in again",
        };
        table.field("lifted", lifted);
        table
    }
}
