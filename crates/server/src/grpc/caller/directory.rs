//! The callers of one configuration, found by what they show.

use std::collections::HashMap;
use std::sync::Arc;

use evergrant_core::clock::Clock;
use evergrant_providers::ClientConfigError;
use tokio::sync::Semaphore;

use super::issuers::{Issuers, IssuersBuilder};
use super::rate::Limiter;
use super::{CallerRule, Identity, Known, San};

/// The callers of one configuration. It never changes; the next configuration has the next.
#[derive(Default)]
pub(super) struct Directory {
    by_name: HashMap<String, Arc<Known>>,
    by_token: HashMap<[u8; 32], Arc<Known>>,
    by_san: HashMap<San, Arc<Known>>,
    issuers: Option<Issuers>,
}

impl Directory {
    /// The directory of these rules, in which who was known before keeps its streams, its rate and the keys that were
    /// fetched for it.
    pub(super) fn followed_by(
        &self,
        rules: Vec<CallerRule>,
        streams: usize,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, ClientConfigError> {
        let mut next = Self::default();
        let mut issuers = IssuersBuilder::after(self.issuers.as_ref(), clock);
        for rule in rules {
            let known = Arc::new(match self.by_name.get(&rule.name) {
                Some(before) => Known {
                    streams: Arc::clone(&before.streams),
                    limiter: Arc::clone(&before.limiter),
                    rule,
                },
                None => Known::new(rule, streams),
            });
            if known.rule.rate.is_some() {
                let name = known.rule.name.clone();
                metrics::counter!("evergrant_caller_rate_limited_total", "caller" => name)
                    .increment(0);
            }
            match &known.rule.identity {
                Identity::Token(digest) => {
                    next.by_token.insert(*digest, Arc::clone(&known));
                }
                Identity::San(name) => {
                    next.by_san.insert(name.clone(), Arc::clone(&known));
                }
                Identity::Jwt(rule) => issuers.add(rule, &known)?,
            }
            next.by_name.insert(known.rule.name.clone(), known);
        }
        next.issuers = issuers.build();
        Ok(next)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    pub(super) fn by_name(&self, name: &str) -> Option<&Arc<Known>> {
        self.by_name.get(name)
    }

    pub(super) fn by_token(&self, digest: &[u8; 32]) -> Option<&Arc<Known>> {
        self.by_token.get(digest)
    }

    pub(super) fn by_san(&self, name: &San) -> Option<&Arc<Known>> {
        self.by_san.get(name)
    }

    pub(super) fn knows_certificates(&self) -> bool {
        !self.by_san.is_empty()
    }

    /// Those whose tokens are believed; `None` if no caller has such a token.
    pub(super) fn issuers(&self) -> Option<&Issuers> {
        self.issuers.as_ref()
    }
}

impl Known {
    pub(super) fn new(rule: CallerRule, streams: usize) -> Self {
        Self {
            rule,
            streams: Arc::new(Semaphore::new(streams)),
            limiter: Arc::new(Limiter::new()),
        }
    }
}
