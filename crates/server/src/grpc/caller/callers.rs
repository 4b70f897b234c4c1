//! All callers, and how one of them is recognised.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::digest;
use evergrant_proto::v1::ErrorReason;
use tonic::metadata::MetadataMap;

use super::{Caller, CallerRule};
use crate::grpc::peer::Peer;
use crate::grpc::status::ApiError;

/// All callers. Without any, whoever reaches the listener is trusted with everything.
#[derive(Debug, Clone, Default)]
pub struct Callers {
    by_token: Arc<HashMap<[u8; 32], Caller>>,
}

impl Callers {
    /// The callers of the configuration, each of which may hold `streams` streams at a time on this replica.
    pub fn new(rules: Vec<CallerRule>, streams: usize) -> Self {
        let by_token = rules
            .into_iter()
            .map(|rule| (rule.token_sha256, Caller::known(rule, streams)))
            .collect();
        Self {
            by_token: Arc::new(by_token),
        }
    }

    /// Recognises the caller by the bearer token in `authorization`.
    ///
    /// The token is looked up by its SHA-256, so the time that this takes tells nothing of a valid one.
    pub async fn recognise(
        &self,
        metadata: &MetadataMap,
        _peer: Option<&Peer>,
    ) -> Result<Caller, ApiError> {
        if self.by_token.is_empty() {
            return Ok(Caller::trusted());
        }
        let token = bearer(metadata)?;
        let digest = digest::digest(&digest::SHA256, token.as_bytes());
        let key: [u8; 32] = digest.as_ref().try_into().unwrap_or_default();
        self.by_token
            .get(&key)
            .cloned()
            .ok_or_else(|| unknown("no caller has this token"))
    }
}

/// The token of `authorization: Bearer …` (RFC 6750 section 2.1).
fn bearer(metadata: &MetadataMap) -> Result<&str, ApiError> {
    let header = metadata
        .get("authorization")
        .ok_or_else(|| unknown("send a token: authorization: Bearer …"))?
        .to_str()
        .map_err(|_| unknown("the authorization header is not text"))?;
    let (scheme, token) = header.split_once(' ').unwrap_or((header, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(unknown(
            "the authorization header is not of the Bearer scheme",
        ));
    }
    Ok(token.trim())
}

fn unknown(why: &str) -> ApiError {
    ApiError::new(ErrorReason::Unauthenticated, why)
}
