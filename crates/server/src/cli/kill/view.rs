//! Kills as they are printed.

use evergrant_proto::v1::Kill;
use evergrant_proto::v1::kill_target::What;
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
    locks_out: bool,
    waits_for: String,
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
            locks_out,
            waits_for,
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
            locks_out,
            waits_for,
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
        let why = match self.waits_for.as_str() {
            "" => String::new(),
            why => format!("; waiting: {why}"),
        };
        format!("; {}{why}", parts.join(", "))
    }

    fn state(&self) -> String {
        let progress = match &self.finished_at {
            Some(_) => "finished",
            None => "working",
        };
        match (self.locks_out, &self.lifted_at) {
            (true, _) => format!("{progress}, locked out"),
            (false, Some(_)) => format!("{progress}, lifted"),
            (false, None) => progress.to_owned(),
        }
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
        if self.locks_out {
            let name = &self.target.name;
            table.field("locked out", format!("until evergrant kill lift {name}"));
        }
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
                kill.state(),
                kill.credentials.to_string(),
                revoked,
                kill.reason.clone(),
            ]);
        }
        table
    }
}

impl Printable for Lifted {
    fn table(&self) -> Table {
        let mut table = Table::default();
        table.field("caller", &self.caller);
        table.field("lifted", "let in again");
        table
    }
}
