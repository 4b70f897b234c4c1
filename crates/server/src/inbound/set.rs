//! Security event tokens (RFC 8417), pushed over HTTP (RFC 8935): what RISC, CAEP and Google's Cross-Account
//! Protection send.

mod event;
mod subject;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use evergrant_core::clock::Timestamp;
use evergrant_core::grant::InvalidationReason;
use evergrant_providers::jwks::{Expect, Expiry, KeySets, LEEWAY, VerifyError};
use serde::Deserialize;
use serde_json::Value;

use self::event::Meaning;
use super::answer::Answer;
use super::receiver::{Death, Said};
use crate::config::inbound::SetIssuer;

/// How old a token may be. It must be less than deliveries are remembered for.
const MAX_AGE: Duration = Duration::from_hours(7 * 24);

/// Reads the tokens of one issuer.
pub(super) struct SecurityEvents {
    issuer: SetIssuer,
    key_sets: Arc<KeySets>,
}

impl fmt::Debug for SecurityEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SecurityEvents")
            .field(&self.issuer.issuer)
            .finish()
    }
}

/// RFC 8417 section 2.2.
#[derive(Deserialize)]
struct Claims {
    jti: String,
    iat: f64,
    events: BTreeMap<String, Value>,
    #[serde(default)]
    sub_id: Value,
    #[serde(default)]
    sub: Value,
    #[serde(default)]
    toe: Value,
}

impl SecurityEvents {
    pub(super) fn new(issuer: SetIssuer, key_sets: Arc<KeySets>) -> Self {
        Self { issuer, key_sets }
    }

    pub(super) async fn read(&self, body: &[u8], now: Timestamp) -> Result<Said, Answer> {
        let malformed = Answer::Malformed("it is no security event token");
        let token = std::str::from_utf8(body).map_err(|_| malformed.clone())?;
        let claims = self.verify(token.trim()).await?;
        let issued_at = numeric_date(claims.iat);
        if now.since(issued_at) > MAX_AGE {
            return Err(Answer::Malformed("its iat is more than seven days ago"));
        }
        if claims.jti.is_empty() || claims.events.is_empty() {
            return Err(malformed);
        }
        Ok(self.understand(&claims, issued_at))
    }

    async fn verify(&self, token: &str) -> Result<Claims, Answer> {
        let SetIssuer {
            issuer,
            audience,
            jwks_url,
            typ,
        } = &self.issuer;
        let audiences: Vec<_> = audience.iter().map(String::as_str).collect();
        let expect = Expect {
            issuers: &[issuer],
            audiences: &audiences,
            expiry: Expiry::Optional,
            leeway: LEEWAY,
            nonce: None,
            typ: Some(typ.as_str()).filter(|typ| !typ.is_empty()),
        };
        let verified = self.key_sets.verify(jwks_url, token, &expect).await;
        verified.map_err(|error| refusal(&error))
    }

    /// What all events of a token say together: they are of one happening (RFC 8417 section 2).
    fn understand(&self, claims: &Claims, issued_at: Timestamp) -> Said {
        let mut death: Option<Death> = None;
        let mut otherwise = Said::Nothing;
        for (uri, payload) in &claims.events {
            let (event, reason) = match event::meaning(uri, payload) {
                Meaning::Died(event, reason) => (event, reason),
                Meaning::Verification => {
                    otherwise = Said::Probe("verification");
                    continue;
                }
                Meaning::Nothing => continue,
            };
            let named = [&payload["subject"], &claims.sub_id];
            let named = named.into_iter().find(|subject| !subject.is_null());
            let subjects = match named {
                Some(subject) => subject::read(subject, &self.issuer.issuer),
                None => subject::of_sub(&claims.sub),
            };
            if subjects.is_empty() {
                continue;
            }
            let death = death.get_or_insert_with(|| Death {
                id: claims.jti.clone(),
                event,
                reason,
                subjects: Vec::new(),
                happened_at: Some(happened_at(claims, payload, issued_at)),
            });
            death.subjects.extend(subjects);
            if reason == InvalidationReason::AccessDenied {
                (death.event, death.reason) = (event, reason);
            }
        }
        death.map_or(otherwise, Said::Died)
    }
}

/// RFC 8417 section 2.2 (`toe`) or, in CAEP, `event_timestamp`; never later than the token itself.
fn happened_at(claims: &Claims, payload: &Value, issued_at: Timestamp) -> Timestamp {
    let told = [&payload["event_timestamp"], &claims.toe];
    let told = told.into_iter().find_map(Value::as_f64);
    told.map_or(issued_at, |at| numeric_date(at).min(issued_at))
}

/// RFC 7519 section 2.
#[expect(
    clippy::cast_possible_truncation,
    reason = "`as` saturates, which is right for a time"
)]
fn numeric_date(seconds: f64) -> Timestamp {
    Timestamp::from_millis((seconds * 1_000.0) as i64)
}

/// RFC 8935 section 2.4.
fn refusal(error: &VerifyError) -> Answer {
    match error {
        VerifyError::Unavailable(_) | VerifyError::Url(_) => Answer::unavailable(error.to_string()),
        VerifyError::Malformed => {
            Answer::Malformed("it is no security event token with an asymmetric signature")
        }
        VerifyError::Form => {
            Answer::Malformed("its claims are not those of a security event token")
        }
        VerifyError::UnknownKey => Answer::forged("invalid_key", "its issuer has no such key"),
        VerifyError::Signature => Answer::forged("authentication_failed", "its signature is wrong"),
        VerifyError::Claim { name: "iss", .. } => {
            Answer::forged("invalid_issuer", "its iss is not the expected one")
        }
        VerifyError::Claim { name: "aud", .. } => {
            Answer::forged("invalid_audience", "its aud is not the expected one")
        }
        VerifyError::Claim { name: "typ", .. } => {
            Answer::Malformed("its typ is not the expected one")
        }
        VerifyError::Claim { .. } => Answer::Malformed("its times do not fit"),
    }
}

#[cfg(test)]
mod tests;
