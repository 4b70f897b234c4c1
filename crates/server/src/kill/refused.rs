//! Callers that are locked out.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use evergrant_core::ids::KillId;
use tokio::sync::watch;

/// Which callers are refused, by the name that they have in the configuration. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct RefusedCallers(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    refused: RwLock<HashMap<String, KillId>>,
    changed: watch::Sender<()>,
}

impl RefusedCallers {
    /// The kill that a caller is refused for.
    pub fn find(&self, caller: &str) -> Option<KillId> {
        let refused = self.0.refused.read();
        let refused = refused.unwrap_or_else(PoisonError::into_inner);
        refused.get(caller).cloned()
    }

    /// Tells when somebody is refused, or is no longer.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.0.changed.subscribe()
    }

    /// Refuses one more.
    pub(super) fn refuse(&self, caller: &str, kill: &KillId) {
        self.change(|refused| {
            let before = refused.insert(caller.to_owned(), kill.clone());
            before.as_ref() != Some(kill)
        });
    }

    /// Refuses these and no others.
    pub fn set(&self, refused: Vec<(String, KillId)>) {
        let now: HashMap<_, _> = refused.into_iter().collect();
        self.change(|refused| {
            let is_other = *refused != now;
            *refused = now;
            is_other
        });
    }

    /// Tells of it if `change` says that it changed something.
    fn change(&self, change: impl FnOnce(&mut HashMap<String, KillId>) -> bool) {
        let refused = self.0.refused.write();
        let mut refused = refused.unwrap_or_else(PoisonError::into_inner);
        let has_changed = change(&mut refused);
        drop(refused);
        if has_changed {
            self.0.changed.send_replace(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_refused_is_found_until_it_is_let_in_and_each_change_is_told_once() {
        let callers = RefusedCallers::default();
        let mut changes = callers.changes();
        let mut is_told = || {
            let is_told = changes.has_changed().unwrap();
            changes.mark_unchanged();
            is_told
        };
        let kill = KillId::random();
        callers.refuse("billing", &kill);
        assert!(is_told());
        assert_eq!(callers.find("billing"), Some(kill.clone()));
        assert_eq!(callers.find("other"), None);
        // As the database says it again every moment.
        callers.set(vec![("billing".into(), kill)]);
        assert!(!is_told());
        callers.set(Vec::new());
        assert!(is_told());
        assert_eq!(callers.find("billing"), None);
    }
}
