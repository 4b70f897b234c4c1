//! Kills for the wire.

use evergrant_core::kill::KillTarget;
use evergrant_proto::v1;
use evergrant_proto::v1::kill_target::What;

use crate::grpc::convert::to_timestamp;
use crate::store::{Kill, NewKill, Tally};

pub(super) fn to_kill(kill: Kill) -> v1::Kill {
    let Kill {
        order,
        begun_at,
        finished_at,
        lifted_at,
        worker,
        tally,
        waits_for,
    } = kill;
    let NewKill {
        id,
        target,
        reason,
        by,
        revoke,
    } = order;
    let Tally {
        grants,
        credentials,
        pending,
        revoked,
        not_supported,
        superseded,
        failed,
    } = tally;
    let locks_out = matches!(target, KillTarget::Caller { .. }) && lifted_at.is_none();
    v1::Kill {
        kill_id: id.to_string(),
        target: Some(to_target(target)),
        reason,
        begun_by: by,
        revoke_at_provider: revoke,
        begun_at: Some(to_timestamp(begun_at)),
        finished_at: finished_at.map(to_timestamp),
        lifted_at: lifted_at.map(to_timestamp),
        worker: worker.unwrap_or_default(),
        grants,
        credentials,
        pending,
        revoked,
        not_supported,
        superseded,
        failed,
        locks_out,
        waits_for: waits_for.unwrap_or_default(),
    }
}

fn to_target(target: KillTarget) -> v1::KillTarget {
    let (what, since) = match target {
        KillTarget::Tenant(tenant) => (What::TenantId(tenant.to_string()), None),
        KillTarget::Provider(provider) => (What::Provider(provider.to_string()), None),
        KillTarget::Client(client) => (What::Client(client.to_string()), None),
        KillTarget::Caller { name, since } => {
            let since = (since.as_millis() != 0).then(|| to_timestamp(since));
            (What::Caller(name), since)
        }
    };
    v1::KillTarget {
        what: Some(what),
        since,
    }
}

pub(super) fn to_sample(
    (tenant_id, credential_id, provider): (String, String, String),
) -> v1::KillSample {
    v1::KillSample {
        tenant_id,
        credential_id,
        provider,
    }
}
