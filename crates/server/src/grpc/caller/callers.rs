//! All callers, and how one of them is recognised.

use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::digest;
use evergrant_core::clock::Clock;
use evergrant_proto::v1::ErrorReason;
use evergrant_providers::ClientConfigError;
use tokio::sync::watch;
use tonic::metadata::MetadataMap;

use super::directory::Directory;
use super::{Caller, CallerRule, Until};
use crate::grpc::peer::{ClientCertificate, Peer};
use crate::grpc::status::ApiError;

/// All callers. Without any, whoever reaches the listener is trusted with everything. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Callers {
    shared: Arc<Shared>,
}

struct Shared {
    current: RwLock<Arc<Directory>>,
    changed: watch::Sender<()>,
    clock: Arc<dyn Clock>,
    streams: usize,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Callers {
    /// The callers of the configuration, each of which may hold `streams` streams at a time on this replica.
    ///
    /// Fails if an authority that a rule names is no certificate. Nothing is fetched yet.
    pub fn new(
        rules: Vec<CallerRule>,
        streams: usize,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ClientConfigError> {
        let directory = Directory::default().followed_by(rules, streams, &clock)?;
        let shared = Shared {
            current: RwLock::new(Arc::new(directory)),
            changed: watch::Sender::new(()),
            clock,
            streams,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Puts these callers in place of those so far. Requests that are under way are finished; streams ask again
    /// ([`again`](Self::again)). A caller of the same name keeps its streams and what it owes of its rate.
    pub fn replace(&self, rules: Vec<CallerRule>) -> Result<(), ClientConfigError> {
        let Shared { streams, clock, .. } = &*self.shared;
        let next = self.directory().followed_by(rules, *streams, clock)?;
        let current = self.shared.current.write();
        *current.unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        self.shared.changed.send_replace(());
        Ok(())
    }

    /// Recognises the caller by the bearer token in `authorization`; without one, by the certificate of its connection.
    ///
    /// A token that is there decides alone: if it is nobody's, a good certificate does not help. Tokens are looked up by
    /// their SHA-256, so the time that this takes tells nothing of a valid one. Where the keys of a token's issuer must be
    /// fetched first it may take 20 seconds.
    pub async fn recognise(
        &self,
        metadata: &MetadataMap,
        peer: Option<&Peer>,
    ) -> Result<Caller, ApiError> {
        let directory = self.directory();
        if directory.is_empty() {
            return Ok(Caller::trusted());
        }
        let Some(token) = bearer(metadata)? else {
            let certificate = peer.and_then(|peer| peer.certificate.as_ref());
            return self.by_certificate(&directory, certificate);
        };
        let digest = digest::digest(&digest::SHA256, token.as_bytes());
        let digest: [u8; 32] = digest.as_ref().try_into().unwrap_or_default();
        if let Some(known) = directory.by_token(&digest) {
            return Ok(Caller::of(Arc::clone(known), None));
        }
        match directory.issuers() {
            Some(issuers) if token.split('.').count() == 3 => {
                // Boxed, since the hot path would keep room for it.
                Box::pin(issuers.recognise(token, digest, self.shared.clock.now())).await
            }
            _ => Err(unknown("no caller has this token")),
        }
    }

    fn by_certificate(
        &self,
        directory: &Directory,
        certificate: Option<&ClientCertificate>,
    ) -> Result<Caller, ApiError> {
        let Some(certificate) = certificate else {
            return Err(unknown(match directory.knows_certificates() {
                true => {
                    "send a token (authorization: Bearer …) or connect with a client certificate"
                }
                false => "send a token: authorization: Bearer …",
            }));
        };
        let until = Until {
            at: certificate.not_after,
            of: "the client certificate",
        };
        until.check(self.shared.clock.now())?;
        let names = certificate.names.iter();
        let mut found = names.filter_map(|name| directory.by_san(name));
        let known = found
            .next()
            .ok_or_else(|| unknown("no caller has a name of this client certificate"))?;
        if found.any(|other| other.rule.name != known.rule.name) {
            let why = "the client certificate has names of more than one caller";
            return Err(unknown(why));
        }
        Ok(Caller::of(Arc::clone(known), Some(until)))
    }

    /// The same caller by the rules of now. An error once it is no longer known, or what it proved itself with has
    /// ended.
    pub fn again(&self, caller: &Caller) -> Result<Caller, ApiError> {
        let directory = self.directory();
        let Some(known) = &caller.known else {
            return match directory.is_empty() {
                true => Ok(caller.clone()),
                false => Err(unknown("callers must say who they are by now")),
            };
        };
        if let Some(until) = &caller.until {
            until.check(self.shared.clock.now())?;
        }
        match directory.by_name(&known.rule.name) {
            Some(now) if now.rule.identity.is_same(&known.rule.identity) => {
                Ok(Caller::of(Arc::clone(now), caller.until))
            }
            _ => Err(unknown("the caller is no longer known by what it showed")),
        }
    }

    /// The names of all callers, in no order.
    pub fn names(&self) -> Vec<String> {
        self.directory().names().map(str::to_owned).collect()
    }

    /// Tells when callers were replaced.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.shared.changed.subscribe()
    }

    /// How long what the caller proved itself with lasts; `None` for ever.
    pub fn time_left(&self, caller: &Caller) -> Option<std::time::Duration> {
        let now = self.shared.clock.now();
        caller.until.map(|until| until.at.since(now))
    }

    fn directory(&self) -> Arc<Directory> {
        let current = self.shared.current.read();
        Arc::clone(&*current.unwrap_or_else(PoisonError::into_inner))
    }
}

/// The token of `authorization: Bearer …` (RFC 6750 section 2.1); `None` without the header.
fn bearer(metadata: &MetadataMap) -> Result<Option<&str>, ApiError> {
    let Some(header) = metadata.get("authorization") else {
        return Ok(None);
    };
    let header = header
        .to_str()
        .map_err(|_| unknown("the authorization header is not text"))?;
    let (scheme, token) = header.split_once(' ').unwrap_or((header, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(unknown(
            "the authorization header is not of the Bearer scheme",
        ));
    }
    Ok(Some(token.trim()))
}

pub(super) fn unknown(why: impl Into<String>) -> ApiError {
    ApiError::new(ErrorReason::Unauthenticated, why)
}
