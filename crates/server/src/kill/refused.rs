//! Callers that are locked out.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use evergrant_core::ids::KillId;
use tokio_util::sync::CancellationToken;

/// Which callers are refused, by the name that they have in the configuration. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct RefusedCallers(Arc<RwLock<Known>>);

#[derive(Debug, Default)]
struct Known {
    refused: HashMap<String, KillId>,
    /// Cancelled when the caller is refused; made for callers with streams.
    streams: HashMap<String, CancellationToken>,
}

impl RefusedCallers {
    /// The kill that a caller is refused for.
    pub fn find(&self, caller: &str) -> Option<KillId> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.refused.get(caller).cloned()
    }

    /// Cancelled once the caller is refused.
    pub fn until_refused(&self, caller: &str) -> CancellationToken {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.refused.contains_key(caller) {
            let over = CancellationToken::new();
            over.cancel();
            return over;
        }
        known.streams.entry(caller.to_owned()).or_default().clone()
    }

    /// Refuses one more.
    pub(super) fn refuse(&self, caller: &str, kill: &KillId) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.refused.insert(caller.to_owned(), kill.clone());
        known.cut_off();
    }

    /// Refuses these and no others.
    pub fn set(&self, refused: Vec<(String, KillId)>) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.refused = refused.into_iter().collect();
        known.cut_off();
    }
}

impl Known {
    fn cut_off(&mut self) {
        let Self { refused, streams } = self;
        streams.retain(|caller, open| {
            let is_refused = refused.contains_key(caller);
            if is_refused {
                open.cancel();
            }
            !is_refused
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_caller_is_cut_off_and_may_come_back_once_it_is_lifted() {
        let callers = RefusedCallers::default();
        let (billing, other) = (
            callers.until_refused("billing"),
            callers.until_refused("other"),
        );
        let kill = KillId::random();
        callers.set(vec![("billing".into(), kill.clone())]);
        assert!(billing.is_cancelled() && !other.is_cancelled());
        assert_eq!(callers.find("billing"), Some(kill));
        assert!(callers.until_refused("billing").is_cancelled());
        callers.set(Vec::new());
        assert_eq!(callers.find("billing"), None);
        assert!(!callers.until_refused("billing").is_cancelled());
        assert!(!other.is_cancelled());
    }
}
