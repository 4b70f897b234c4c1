//! Integrations.

use std::collections::BTreeSet;

use evergrant_core::change::plan::IntegrationUpdate;
use evergrant_core::ids::CredentialId;
use evergrant_core::integration::Integration;
use evergrant_proto::v1;

use super::{credential_id_of, etag, integration_status, labels, to_timestamp};
use crate::grpc::status::ApiError;

const MAX_CREDENTIALS: usize = 64;
const PATHS: [&str; 5] = [
    "paused",
    "needs_config",
    "processing",
    "credential_ids",
    "labels",
];

/// An integration for the wire.
pub fn to_integration(integration: Integration) -> v1::Integration {
    let Integration {
        key,
        facts,
        labels,
        status,
        cause,
        status_changed_at,
        version,
    } = integration;
    v1::Integration {
        tenant_id: key.tenant.to_string(),
        integration_id: key.id.to_string(),
        credential_ids: facts
            .needs
            .iter()
            .map(|need| need.credential.to_string())
            .collect(),
        paused: facts.paused,
        needs_config: facts.needs_config,
        processing: facts.processing,
        labels: labels.into_iter().collect(),
        status: integration_status(status).into(),
        cause,
        status_changed_at: Some(to_timestamp(status_changed_at)),
        etag: version.to_string(),
    }
}

/// All that a caller may set of an integration.
pub fn whole(wire: v1::Integration) -> Result<IntegrationUpdate, ApiError> {
    Ok(IntegrationUpdate {
        paused: Some(wire.paused),
        needs_config: Some(wire.needs_config),
        processing: Some(wire.processing),
        credentials: Some(credentials(&wire.credential_ids)?),
        labels: Some(labels("integration.labels", wire.labels)?),
        version: None,
    })
}

/// What an update with this mask changes. Without a mask it is all that a caller may set.
pub fn update(
    wire: v1::Integration,
    mask: Option<prost_types::FieldMask>,
) -> Result<IntegrationUpdate, ApiError> {
    let paths: BTreeSet<_> = mask
        .map(|mask| mask.paths)
        .unwrap_or_default()
        .into_iter()
        .collect();
    if let Some(unknown) = paths.iter().find(|path| !PATHS.contains(&path.as_str())) {
        let why = format!("{unknown:?} cannot be updated, only {}", PATHS.join(", "));
        return Err(ApiError::invalid("update_mask", why));
    }
    let version = etag(&wire.etag);
    let all = whole(wire)?;
    let has = |path: &str| paths.is_empty() || paths.contains(path);
    Ok(IntegrationUpdate {
        paused: all.paused.filter(|_| has("paused")),
        needs_config: all.needs_config.filter(|_| has("needs_config")),
        processing: all.processing.filter(|_| has("processing")),
        credentials: all.credentials.filter(|_| has("credential_ids")),
        labels: all.labels.filter(|_| has("labels")),
        version,
    })
}

fn credentials(ids: &[String]) -> Result<Vec<CredentialId>, ApiError> {
    if ids.len() > MAX_CREDENTIALS {
        let why = "must name at most 64 credentials";
        return Err(ApiError::invalid("integration.credential_ids", why));
    }
    ids.iter().map(|id| credential_id_of(id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(paths: &[&str]) -> Option<prost_types::FieldMask> {
        Some(prost_types::FieldMask {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        })
    }

    #[test]
    fn an_update_changes_what_its_mask_names_and_nothing_else() {
        let wire = v1::Integration {
            paused: true,
            ..v1::Integration::default()
        };
        let change = update(wire.clone(), mask(&["paused"])).unwrap();
        assert_eq!(
            change,
            IntegrationUpdate {
                paused: Some(true),
                ..IntegrationUpdate::default()
            }
        );
        assert_eq!(update(wire.clone(), None).unwrap().processing, Some(false));
        assert!(update(wire, mask(&["status"])).is_err());
    }

    #[test]
    fn a_foreign_etag_never_matches() {
        let wire = v1::Integration {
            etag: "nonsense".into(),
            ..v1::Integration::default()
        };
        assert_eq!(update(wire, None).unwrap().version, Some(u64::MAX));
    }
}
