//! What a kill would take, as it is printed.

use evergrant_proto::v1::{KillSample, PreviewKillResponse};
use serde::Serialize;

use crate::cli::output::{Printable, Table};

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
