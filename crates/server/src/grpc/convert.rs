//! Between the wire's messages and the core's types. Conversions destructure, so that a new field does not compile
//! until somebody has thought about it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use evergrant_core::clock::Timestamp;
use evergrant_core::grant::InvalidationReason;
use evergrant_core::ids::{CredentialId, CredentialKey, IntegrationId, IntegrationKey, TenantId};
use evergrant_core::integration::IntegrationStatus;
use evergrant_proto::v1;

use super::status::ApiError;

pub mod credential;
pub mod event;
pub mod integration;
pub mod material;
pub mod means;

/// The tenant of callers that name none.
pub const DEFAULT_TENANT: &str = "default";

const MAX_LABELS: usize = 64;
const MAX_LABEL_BYTES: usize = 1024;

/// The tenant that a request names.
pub fn tenant(text: &str) -> Result<TenantId, ApiError> {
    let text = if text.is_empty() {
        DEFAULT_TENANT
    } else {
        text
    };
    TenantId::parse(text).map_err(|why| ApiError::invalid("tenant_id", why.to_string()))
}

/// The credential that a request names.
pub fn credential_key(tenant_id: &str, credential_id: &str) -> Result<CredentialKey, ApiError> {
    Ok(CredentialKey {
        tenant: tenant(tenant_id)?,
        id: credential_id_of(credential_id)?,
    })
}

/// A credential's id.
pub fn credential_id_of(text: &str) -> Result<CredentialId, ApiError> {
    CredentialId::parse(text).map_err(|why| ApiError::invalid("credential_id", why.to_string()))
}

/// The integration that a request names.
pub fn integration_key(tenant_id: &str, integration_id: &str) -> Result<IntegrationKey, ApiError> {
    let id = IntegrationId::parse(integration_id)
        .map_err(|why| ApiError::invalid("integration_id", why.to_string()))?;
    Ok(IntegrationKey {
        tenant: tenant(tenant_id)?,
        id,
    })
}

/// Labels that a request brings.
pub fn labels(
    field: &str,
    labels: HashMap<String, String>,
) -> Result<BTreeMap<String, String>, ApiError> {
    if labels.len() > MAX_LABELS {
        return Err(ApiError::invalid(field, "must have at most 64 pairs"));
    }
    let is_long = |text: &String| text.len() > MAX_LABEL_BYTES;
    if labels
        .iter()
        .any(|(key, value)| key.is_empty() || is_long(key) || is_long(value))
    {
        let why = "a key must not be empty, and keys and values have at most 1,024 bytes";
        return Err(ApiError::invalid(field, why));
    }
    for (key, value) in &labels {
        free_of_nul(field, key)?;
        free_of_nul(field, value)?;
    }
    Ok(labels.into_iter().collect())
}

/// Refuses a text that Postgres cannot store.
pub fn free_of_nul(field: &str, text: &str) -> Result<(), ApiError> {
    match text.contains('\0') {
        true => Err(ApiError::invalid(field, "must not contain NUL")),
        false => Ok(()),
    }
}

/// The version that an etag asks for: none where it is empty, one that nothing ever has where it is none of ours.
pub fn etag(text: &str) -> Option<u64> {
    (!text.is_empty()).then(|| text.parse().unwrap_or(u64::MAX))
}

/// A page size: 0 means 100, and 1,000 is the most.
pub fn page_size(size: i32) -> Result<u32, ApiError> {
    match size {
        0 => Ok(100),
        1..=1_000 => Ok(size.unsigned_abs()),
        _ => Err(ApiError::invalid(
            "page_size",
            "must be 1 to 1,000, or 0 for 100",
        )),
    }
}

/// A duration that a request states; it must not be negative.
pub fn duration(field: &str, duration: prost_types::Duration) -> Result<Duration, ApiError> {
    let prost_types::Duration { seconds, nanos } = duration;
    let negative = || ApiError::invalid(field, "must not be negative");
    let seconds = u64::try_from(seconds).map_err(|_| negative())?;
    let nanos = u32::try_from(nanos).map_err(|_| negative())?;
    if nanos >= 1_000_000_000 {
        return Err(ApiError::invalid(
            field,
            "nanos must be below 1,000,000,000",
        ));
    }
    Ok(Duration::new(seconds, nanos))
}

/// A point in time that a request states, cut to milliseconds.
pub fn timestamp(field: &str, stamp: prost_types::Timestamp) -> Result<Timestamp, ApiError> {
    let prost_types::Timestamp { seconds, nanos } = stamp;
    // The range that google.protobuf.Timestamp allows: years 1 to 9999.
    if !(-62_135_596_800..=253_402_300_799).contains(&seconds)
        || !(0..1_000_000_000).contains(&nanos)
    {
        return Err(ApiError::invalid(field, "must lie in the years 1 to 9999"));
    }
    Ok(Timestamp::from_millis(
        seconds * 1_000 + i64::from(nanos / 1_000_000),
    ))
}

/// A point in time for the wire.
pub fn to_timestamp(stamp: Timestamp) -> prost_types::Timestamp {
    let millis = stamp.as_millis();
    prost_types::Timestamp {
        seconds: millis.div_euclid(1_000),
        nanos: i32::try_from(millis.rem_euclid(1_000) * 1_000_000).unwrap_or_default(),
    }
}

/// A duration for the wire.
pub fn to_duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or_default(),
    }
}

/// The wire's value for an invalidation reason.
pub fn invalidation_reason(reason: InvalidationReason) -> v1::InvalidationReason {
    use v1::InvalidationReason as Wire;
    match reason {
        InvalidationReason::GrantRevoked => Wire::GrantRevoked,
        InvalidationReason::NotRefreshable => Wire::NotRefreshable,
        InvalidationReason::RefreshTokenExpired => Wire::RefreshTokenExpired,
        InvalidationReason::AccessDenied => Wire::AccessDenied,
        InvalidationReason::RotationLost => Wire::RotationLost,
        InvalidationReason::Reported => Wire::Reported,
        InvalidationReason::Killed => Wire::Killed,
    }
}

/// The name of an invalidation reason without the prefix of its enum, e.g. `GRANT_REVOKED`.
pub fn invalidation_name(reason: InvalidationReason) -> &'static str {
    let name = invalidation_reason(reason).as_str_name();
    name.strip_prefix("INVALIDATION_REASON_").unwrap_or(name)
}

/// The wire's value for an integration's status.
pub fn integration_status(status: IntegrationStatus) -> v1::IntegrationStatus {
    use v1::IntegrationStatus as Wire;
    match status {
        IntegrationStatus::Enabled => Wire::Enabled,
        IntegrationStatus::Disabled => Wire::Disabled,
        IntegrationStatus::Error => Wire::Error,
        IntegrationStatus::Processing => Wire::Processing,
        IntegrationStatus::NeedsConfig => Wire::NeedsConfig,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_survive_the_way_to_the_wire_and_back() {
        for millis in [0, 1, 999, 1_000, -1, -1_001, 1_800_000_000_123] {
            let stamp = Timestamp::from_millis(millis);
            assert_eq!(timestamp("t", to_timestamp(stamp)), Ok(stamp));
        }
    }

    #[test]
    fn durations_and_timestamps_out_of_range_name_their_field() {
        let negative = prost_types::Duration {
            seconds: -1,
            nanos: 0,
        };
        assert!(
            duration("min_validity", negative)
                .unwrap_err()
                .message()
                .contains("min_validity")
        );
        let odd = prost_types::Duration {
            seconds: 1,
            nanos: 1_000_000_000,
        };
        assert!(duration("min_validity", odd).is_err());
        let far = prost_types::Timestamp {
            seconds: i64::MAX,
            nanos: 0,
        };
        assert!(timestamp("expires_at", far).is_err());
        let odd = prost_types::Timestamp {
            seconds: 0,
            nanos: -5,
        };
        assert!(timestamp("expires_at", odd).is_err());
    }

    #[test]
    fn an_empty_tenant_is_the_default_one() {
        assert_eq!(tenant("").unwrap().as_str(), "default");
        assert!(tenant("a b").is_err());
    }

    // A134, B21
    #[test]
    fn an_id_that_is_missing_or_malformed_names_its_field() {
        for id in ["", " ", "a/b"] {
            let error = credential_key("", id).unwrap_err();
            assert!(error.message().starts_with("credential_id: "), "{id:?}");
            let error = integration_key("", id).unwrap_err();
            assert!(error.message().starts_with("integration_id: "), "{id:?}");
        }
    }

    #[test]
    fn every_reason_of_a_death_has_the_same_name_on_the_wire() {
        for reason in InvalidationReason::ALL {
            assert_eq!(invalidation_name(reason), reason.as_str());
        }
    }

    #[test]
    fn a_foreign_etag_never_matches_and_an_empty_one_asks_for_nothing() {
        assert_eq!(etag(""), None);
        assert_eq!(etag("7"), Some(7));
        assert_eq!(etag("nonsense"), Some(u64::MAX));
    }

    #[test]
    fn labels_and_page_sizes_have_limits() {
        let many = (0..65).map(|n| (n.to_string(), String::new())).collect();
        assert!(labels("labels", many).is_err());
        assert!(labels("labels", [("k".into(), "v".repeat(1_025))].into()).is_err());
        for (key, value) in [("k", "a\0b"), ("k\0", "v")] {
            let error = labels("credential.labels", [(key.into(), value.into())].into());
            let why = "credential.labels: must not contain NUL";
            assert_eq!(error.unwrap_err().message(), why);
        }
        assert_eq!(page_size(0), Ok(100));
        assert!(page_size(-1).is_err() && page_size(1_001).is_err());
    }
}
