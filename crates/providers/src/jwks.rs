//! Tokens that others signed: the public keys of their issuers, fetched and kept for a while, and verification with
//! them (RFC 7515, 7517 and 7519).

mod expect;
mod key_set;
mod location;
#[cfg(test)]
pub(crate) mod sample;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use evergrant_core::clock::Clock;
use http::header::{ACCEPT, AUTHORIZATION, HeaderValue, USER_AGENT as USER_AGENT_HEADER};
use http::{HeaderMap, Method};
use jsonwebtoken::{Algorithm, AlgorithmFamily, Header, decode_header};
use serde::de::{DeserializeOwned, IgnoredAny};
use thiserror::Error;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;
use zeroize::Zeroizing;

pub use self::expect::{Expect, Expiry, LEEWAY};
pub use self::location::{Access, KnownKeys, Location};

use self::key_set::{KeySet, Match};
pub(crate) use self::location::Place;
use crate::catalogue::TemplateError;
use crate::client::{BodyFault, HttpClient, SendFault, USER_AGENT, host};
use crate::engine::ClientConfigError;
use crate::request::TokenRequest;

/// A key that its issuer withdrew is believed no longer than this.
const MAX_AGE: Duration = Duration::from_secs(15 * 60);
/// A token with an unknown key has the set fetched again, and not more often than this.
const REFETCH: Duration = Duration::from_secs(30);
/// After a fetch that failed, the next one waits this long.
const RETRY: Duration = Duration::from_secs(5);
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_SETS: usize = 64;
/// A token is a few KiB; a header of proxies takes no more than this.
const MAX_TOKEN_BYTES: usize = 64 << 10;

/// Fetches JSON web key sets, keeps them for a quarter of an hour, and verifies tokens with them.
///
/// At most 64 sets are kept. Of many that need the same set at once, one fetches it and the others wait.
pub struct KeySets {
    http: HttpClient,
    bearer: Option<PathBuf>,
    clock: Arc<dyn Clock>,
    sets: SyncMutex<BTreeMap<Place, Kept>>,
}

/// Why a token is not believed. None of them repeats any of it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VerifyError {
    /// The key set cannot be had now, so nothing is known of the token.
    #[error("the issuer's key set cannot be fetched: {0}")]
    Unavailable(String),
    /// The key set's address may not be called.
    #[error("the address of the issuer's key set {0}")]
    Url(TemplateError),
    /// It is no signed JSON web token in the compact form, or not signed with RS, PS, ES or EdDSA: tokens without
    /// signature and those with a shared secret never pass.
    #[error("it is no token with an asymmetric signature")]
    Malformed,
    /// The issuer has no such key, not even after its set was fetched again.
    #[error("it is signed with a key that its issuer does not have")]
    UnknownKey,
    /// The signature is not that of the key that the token names.
    #[error("its signature is wrong")]
    Signature,
    /// It says something else than is expected.
    #[error("its {name} {why}")]
    Claim {
        /// The claim or the header parameter.
        name: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Its claims are not of the form that the caller reads.
    #[error("its claims are not of the expected form")]
    Form,
}

impl fmt::Debug for KeySets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySets").finish_non_exhaustive()
    }
}

impl KeySets {
    /// No set is fetched before it is needed. Fails if TLS cannot be set up on this machine.
    pub fn new(clock: Arc<dyn Clock>) -> Result<Self, ClientConfigError> {
        Self::with_access(clock, &Access::default())
    }

    /// The same for issuers that want to be asked in a certain way. Fails also if an authority is no certificate.
    pub fn with_access(clock: Arc<dyn Clock>, access: &Access) -> Result<Self, ClientConfigError> {
        let http = match &access.authorities {
            None => HttpClient::new(),
            Some(authorities) => HttpClient::trusting(authorities),
        };
        Ok(Self {
            http: http.map_err(ClientConfigError::Http)?,
            bearer: access.bearer.clone(),
            clock,
            sets: SyncMutex::default(),
        })
    }

    /// The claims of `token`, if one of the keys at `jwks_url` signed it and it says what is expected.
    ///
    /// `jwks_url` must be https unless it leads to a loopback address. A token that names a key which the set does not
    /// hold has the set fetched again, at most every 30 seconds; if that fails, nothing is known of the token. Ends within 20 seconds (at most two fetches
    /// of at most two requests of 5), plus those of callers that fetch the same set. Cancelling it leaves nothing behind.
    pub async fn verify<Claims: DeserializeOwned>(
        &self,
        jwks_url: &str,
        token: &str,
        expect: &Expect<'_>,
    ) -> Result<Claims, VerifyError> {
        self.verify_from(&Place::of_set(jwks_url)?, token, expect)
            .await
    }

    /// The same, if one of the keys at `location` signed it. Keys at hand are not fetched.
    pub async fn verify_with<Claims: DeserializeOwned>(
        &self,
        location: &Location,
        token: &str,
        expect: &Expect<'_>,
    ) -> Result<Claims, VerifyError> {
        let place = match location {
            Location::Url(url) => Place::of_set(url)?,
            Location::Issuer(issuer) => Place::of_issuer(issuer)?,
            Location::Known(KnownKeys(set)) => {
                let header = signed_header(token)?;
                return self.accept(&header, set.check(&header, token), expect);
            }
        };
        self.verify_from(&place, token, expect).await
    }

    /// The same with a key set at a place that was checked.
    pub(crate) async fn verify_from<Claims: DeserializeOwned>(
        &self,
        place: &Place,
        token: &str,
        expect: &Expect<'_>,
    ) -> Result<Claims, VerifyError> {
        let header = signed_header(token)?;
        let (set, _) = self.set(place, false).await?;
        let mut found = set.check(&header, token);
        if matches!(found, Match::Unknown) {
            let (set, fault) = self.set(place, true).await?;
            found = set.check(&header, token);
            if let (Match::Unknown, Some(why)) = (&found, fault) {
                return Err(VerifyError::Unavailable(why));
            }
        }
        self.accept(&header, found, expect)
    }

    fn accept<Claims: DeserializeOwned>(
        &self,
        header: &Header,
        found: Match,
        expect: &Expect<'_>,
    ) -> Result<Claims, VerifyError> {
        let claims = match found {
            Match::Signed(claims) => claims,
            Match::Forged => return Err(VerifyError::Signature),
            Match::Unknown => return Err(VerifyError::UnknownKey),
        };
        expect.check(header, &claims, self.clock.now())?;
        serde_json::from_value(claims).map_err(|_| VerifyError::Form)
    }

    /// The set at `place`, and why the last fetch failed if it did; `unknown` says that a token names a key that the
    /// one at hand does not hold.
    async fn set(
        &self,
        place: &Place,
        unknown: bool,
    ) -> Result<(Arc<KeySet>, Option<String>), VerifyError> {
        let slot = self.slot(place);
        let mut slot = slot.lock().await;
        let now = Instant::now();
        if slot.is_due(unknown, now) {
            let fetched = self.fetch(place).await;
            slot.tried_at = Some(Instant::now());
            match fetched {
                Ok(set) => {
                    slot.set = Some((Arc::new(set), Instant::now()));
                    slot.fault = None;
                }
                Err(why) => slot.fault = Some(why),
            }
        }
        slot.at_hand(now)
    }

    fn slot(&self, place: &Place) -> Arc<Mutex<Slot>> {
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        if sets.len() >= MAX_SETS && !sets.contains_key(place) {
            let oldest = sets.iter().min_by_key(|(_, kept)| kept.used_at);
            if let Some(oldest) = oldest.map(|(place, _)| place.clone()) {
                sets.remove(&oldest);
            }
        }
        let kept = sets.entry(place.clone()).or_insert_with(Kept::new);
        kept.used_at = Instant::now();
        kept.slot.clone()
    }

    async fn fetch(&self, place: &Place) -> Result<KeySet, String> {
        let mut url = place.url.clone();
        let mut answer = self.get(url.clone(), place.guarded).await?;
        if let Some(issuer) = &place.issuer {
            let next = location::discovered(&answer, issuer);
            url = next.map_err(|why| format!("{}: {why}", host(&url)))?;
            answer = self.get(url.clone(), place.guarded).await?;
        }
        KeySet::parse(&answer).ok_or_else(|| format!("{} answered no key set", host(&url)))
    }

    async fn get(&self, url: Url, guarded: bool) -> Result<Bytes, String> {
        let host = host(&url);
        let json = HeaderValue::from_static("application/json, application/jwk-set+json");
        let mut headers = HeaderMap::from_iter([(ACCEPT, json)]);
        headers.insert(USER_AGENT_HEADER, HeaderValue::from_static(USER_AGENT));
        if let Some(path) = &self.bearer {
            headers.insert(AUTHORIZATION, bearer(path).await?);
        }
        let request = TokenRequest {
            method: Method::GET,
            url,
            headers,
            body: None,
            guarded,
        };
        let answer = self
            .http
            .send(request, Instant::now() + FETCH_TIMEOUT)
            .await
            .map_err(|fault| match fault {
                SendFault::NotAllowed(why) => format!("{host} {why}"),
                SendFault::NotSent(why) => format!("{host} cannot be reached: {why}"),
                SendFault::Unknown(why) => format!("{host} did not answer: {why}"),
            })?;
        let status = answer.status;
        match answer.redirect_to {
            _ if status == 200 => {}
            Some(to) => {
                let redirect = format!("a redirect to {to}, which is not followed");
                return Err(format!("{host} answered HTTP {status}, {redirect}"));
            }
            None => return Err(format!("{host} answered HTTP {status}")),
        }
        let is_packed =
            |body: &Bytes| answer.is_packed && serde_json::from_slice::<IgnoredAny>(body).is_err();
        let body = match answer.body {
            Ok(body) if is_packed(&body) => Err(BodyFault::Packed),
            body => body,
        };
        body.map_err(|fault| format!("{host} answered {fault}"))
    }
}

async fn bearer(path: &Path) -> Result<HeaderValue, String> {
    let named = |why: String| format!("the bearer token in {}: {why}", path.display());
    let token = tokio::fs::read_to_string(path).await;
    let token = Zeroizing::new(token.map_err(|error| named(error.to_string()))?);
    let header = Zeroizing::new(format!("Bearer {}", token.trim()));
    let mut header = HeaderValue::from_str(&header)
        .map_err(|_| named("it holds a character that no header takes".to_owned()))?;
    header.set_sensitive(true);
    Ok(header)
}

/// A set, and when it was last asked for.
struct Kept {
    used_at: Instant,
    slot: Arc<Mutex<Slot>>,
}

impl Kept {
    fn new() -> Self {
        Self {
            used_at: Instant::now(),
            slot: Arc::default(),
        }
    }
}

/// What is known of one set. It is locked while the set is fetched.
#[derive(Default)]
struct Slot {
    set: Option<(Arc<KeySet>, Instant)>,
    tried_at: Option<Instant>,
    /// Why the last fetch failed, if it did.
    fault: Option<String>,
}

impl Slot {
    fn is_due(&self, unknown: bool, now: Instant) -> bool {
        let Some(tried_at) = self.tried_at else {
            return true;
        };
        let old = self.young_set(now).is_none();
        let tried_ago = now.saturating_duration_since(tried_at);
        match self.fault {
            Some(_) => (old || unknown) && tried_ago >= RETRY,
            None => old || (unknown && tried_ago >= REFETCH),
        }
    }

    /// The set as of `now`, at which it was looked whether one is due: it may grow too old while it is handed out.
    fn at_hand(&self, now: Instant) -> Result<(Arc<KeySet>, Option<String>), VerifyError> {
        match (self.young_set(now), &self.fault) {
            (Some(set), fault) => Ok((set.clone(), fault.clone())),
            (None, Some(why)) => Err(VerifyError::Unavailable(why.clone())),
            (None, None) => unreachable!("a set that is missing or too old is due"),
        }
    }

    fn young_set(&self, now: Instant) -> Option<&Arc<KeySet>> {
        let (set, since) = self.set.as_ref()?;
        (now.saturating_duration_since(*since) < MAX_AGE).then_some(set)
    }
}

/// The header of a token whose signature can be checked with a public key.
fn signed_header(token: &str) -> Result<Header, VerifyError> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(VerifyError::Malformed);
    }
    let header = decode_header(token).map_err(|_| VerifyError::Malformed)?;
    // Extensions that must be understood (RFC 7515 section 4.1.11): none are.
    if !is_asymmetric(header.alg) || header.crit.is_some() {
        return Err(VerifyError::Malformed);
    }
    Ok(header)
}

fn is_asymmetric(algorithm: Algorithm) -> bool {
    algorithm.family() != AlgorithmFamily::Hmac
}

#[cfg(test)]
mod tests;
