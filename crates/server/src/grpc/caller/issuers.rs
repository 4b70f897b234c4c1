//! Callers that show a JSON web token (RFC 7519) of an issuer that is believed.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use evergrant_core::clock::{Clock, Timestamp};
use evergrant_proto::v1::ErrorReason;
use evergrant_providers::ClientConfigError;
use evergrant_providers::jwks::{
    Access, Expect, Expiry, KeySets, KnownKeys, Location, VerifyError,
};
use quick_cache::sync::Cache;
use serde::Deserialize;
use tokio::time::Instant;
use tracing::warn;

use super::callers::unknown;
use super::{Caller, JwtRule, KeySource, Known, Until};
use crate::grpc::status::ApiError;

/// By how much an issuer's clock may differ from ours: both are usually of one data centre.
const LEEWAY: Duration = Duration::from_secs(10);
/// A token that was verified is believed for so long before its signature is checked again.
const BELIEVED: Duration = Duration::from_secs(60);
/// Tokens that are believed at a time.
const REMEMBERED: usize = 10_000;
/// When to come back if an issuer's keys cannot be fetched.
const RETRY: Duration = Duration::from_secs(5);
/// How often the log says so.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// The issuers that are believed, and whose tokens name which caller.
pub(super) struct Issuers {
    by_name: HashMap<String, Vec<Bearer>>,
    /// Verified tokens by their SHA-256. It ends with the configuration that it was made for.
    believed: Cache<[u8; 32], (Caller, Instant)>,
}

/// A caller and the token that names it.
struct Bearer {
    audience: String,
    subject: String,
    keys: Arc<Keys>,
    known: Arc<Known>,
}

/// The keys of one issuer from one place.
struct Keys {
    source: KeySource,
    location: Location,
    sets: Arc<KeySets>,
    complained_at: Mutex<Option<Instant>>,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    aud: Audience,
    exp: f64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    fn holds(&self, name: &str) -> bool {
        match self {
            Self::One(one) => one == name,
            Self::Many(many) => many.iter().any(|one| one == name),
        }
    }
}

impl Issuers {
    /// The caller that `token`, whose SHA-256 is `digest`, names.
    ///
    /// An error of the issuer's key set says nothing of the token, and asks to come again.
    pub(super) async fn recognise(
        &self,
        token: &str,
        digest: [u8; 32],
        now: Timestamp,
    ) -> Result<Caller, ApiError> {
        if let Some((caller, since)) = self.believed.get(&digest)
            && since.elapsed() < BELIEVED
            && caller.until.is_some_and(|until| until.at > now)
        {
            return Ok(caller);
        }
        let issuer = issuer_of(token).ok_or_else(|| unknown("no caller has this token"))?;
        let bearers = self
            .by_name
            .get(&issuer)
            .ok_or_else(|| unknown("no caller has tokens of this token's issuer"))?;
        let mut refusal = None;
        for (at, keys) in bearers.iter().map(|bearer| &bearer.keys).enumerate() {
            let is_same = |other: &Bearer| Arc::ptr_eq(&other.keys, keys);
            if bearers[..at].iter().any(is_same) {
                continue;
            }
            let bearers = bearers.iter().filter(|bearer| is_same(bearer));
            match named(&issuer, keys, bearers, token).await {
                Ok(caller) => {
                    self.believed
                        .insert(digest, (caller.clone(), Instant::now()));
                    return Ok(caller);
                }
                // What may pass wins: nothing is known of the token yet.
                Err(error) if error.reason() == ErrorReason::IssuerUnavailable => {
                    refusal = Some(error);
                }
                Err(error) => {
                    refusal.get_or_insert(error);
                }
            }
        }
        Err(refusal.unwrap_or_else(|| unknown("no caller has this token")))
    }
}

async fn named<'a>(
    issuer: &str,
    keys: &Keys,
    bearers: impl Iterator<Item = &'a Bearer> + Clone,
    token: &str,
) -> Result<Caller, ApiError> {
    let audiences: Vec<_> = bearers.clone().map(|bearer| &*bearer.audience).collect();
    let expect = Expect {
        issuers: &[issuer],
        audiences: &audiences,
        expiry: Expiry::Required,
        leeway: LEEWAY,
        nonce: None,
        typ: None,
    };
    let verified = keys
        .sets
        .verify_with::<Claims>(&keys.location, token, &expect);
    let claims = match verified.await {
        Ok(claims) => claims,
        Err(error) => return Err(keys.refusal(issuer, &error)),
    };
    let bearer = { bearers }
        .find(|bearer| bearer.subject == claims.sub && claims.aud.holds(&bearer.audience))
        .ok_or_else(|| unknown("the token is good, and its sub is of no caller"))?;
    // `as` saturates, which is right for a time.
    let exp = Timestamp::from_millis((claims.exp * 1_000.0) as i64);
    let until = Until {
        at: exp.plus(LEEWAY),
        of: "the token",
    };
    Ok(Caller::of(Arc::clone(&bearer.known), Some(until)))
}

/// Who is said to have issued `token`, which is not verified yet.
fn issuer_of(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Claims {
        iss: String,
    }
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Claims = serde_json::from_slice(&claims).ok()?;
    Some(claims.iss)
}

impl Keys {
    fn new(
        issuer: &str,
        source: &KeySource,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, ClientConfigError> {
        let access = match source {
            KeySource::Discovered(access) | KeySource::Url(_, access) => Access {
                authorities: access.authorities.as_ref().map(|(_, pem)| pem.to_vec()),
                bearer: access.bearer.clone(),
            },
            KeySource::File(..) => Access::default(),
        };
        let location = match source {
            KeySource::Discovered(_) => Location::Issuer(issuer.to_owned()),
            KeySource::Url(url, _) => Location::Url(url.clone()),
            KeySource::File(_, json) => {
                let keys = KnownKeys::parse(json).expect("checked when it was read");
                Location::Known(keys)
            }
        };
        Ok(Self {
            source: source.clone(),
            location,
            sets: Arc::new(KeySets::with_access(Arc::clone(clock), &access)?),
            complained_at: Mutex::new(None),
        })
    }

    fn refusal(&self, issuer: &str, error: &VerifyError) -> ApiError {
        let VerifyError::Unavailable(why) = error else {
            return unknown(format!("the token is refused: {error}"));
        };
        let complained_at = self.complained_at.lock();
        let mut complained_at = complained_at.unwrap_or_else(PoisonError::into_inner);
        if complained_at.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) {
            *complained_at = Some(Instant::now());
            warn!(
                issuer,
                error = why,
                "the keys of an issuer cannot be fetched"
            );
        }
        let why = "the keys of the token's issuer cannot be fetched";
        ApiError::new(ErrorReason::IssuerUnavailable, why).retry_after(RETRY)
    }
}

/// Collects issuers; keys that were fetched for the same place before stay.
pub(super) struct IssuersBuilder<'a> {
    before: Option<&'a Issuers>,
    clock: &'a Arc<dyn Clock>,
    by_name: HashMap<String, Vec<Bearer>>,
}

impl<'a> IssuersBuilder<'a> {
    pub(super) fn after(before: Option<&'a Issuers>, clock: &'a Arc<dyn Clock>) -> Self {
        Self {
            before,
            clock,
            by_name: HashMap::new(),
        }
    }

    pub(super) fn add(
        &mut self,
        rule: &JwtRule,
        known: &Arc<Known>,
    ) -> Result<(), ClientConfigError> {
        let JwtRule {
            issuer,
            audience,
            subject,
            keys,
        } = rule;
        let before = self.before.and_then(|before| before.by_name.get(issuer));
        let mut kept = { before.into_iter().flatten() }
            .chain(self.by_name.get(issuer).into_iter().flatten())
            .map(|bearer| &bearer.keys);
        let keys = match kept.find(|kept| kept.source == *keys) {
            Some(kept) => Arc::clone(kept),
            None => Arc::new(Keys::new(issuer, keys, self.clock)?),
        };
        let bearer = Bearer {
            audience: audience.clone(),
            subject: subject.clone(),
            keys,
            known: Arc::clone(known),
        };
        self.by_name.entry(issuer.clone()).or_default().push(bearer);
        Ok(())
    }

    /// `None` if none was added.
    pub(super) fn build(self) -> Option<Issuers> {
        (!self.by_name.is_empty()).then(|| Issuers {
            by_name: self.by_name,
            believed: Cache::new(REMEMBERED),
        })
    }
}

impl fmt::Debug for Issuers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuers").finish_non_exhaustive()
    }
}
