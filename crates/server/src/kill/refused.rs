//! Callers that are locked out.

use std::collections::HashMap;
use std::sync::Arc;

use evergrant_core::ids::KillId;
use tokio::sync::watch;

/// Which callers are refused, by the name that they have in the configuration. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct RefusedCallers(Arc<watch::Sender<Refused>>);

/// The kill that each is refused for.
pub type Refused = HashMap<String, KillId>;

impl RefusedCallers {
    /// The kill that a caller is refused for.
    pub fn find(&self, caller: &str) -> Option<KillId> {
        self.0.borrow().get(caller).cloned()
    }

    /// Tells when others are refused than before.
    pub fn changes(&self) -> watch::Receiver<Refused> {
        self.0.subscribe()
    }

    /// Refuses one more.
    pub(super) fn refuse(&self, caller: &str, kill: &KillId) {
        self.0.send_modify(|refused| {
            refused.insert(caller.to_owned(), kill.clone());
        });
    }

    /// Refuses these and no others.
    pub fn set(&self, refused: Vec<(String, KillId)>) {
        let next: Refused = refused.into_iter().collect();
        self.0.send_if_modified(|refused| {
            let changes = *refused != next;
            *refused = next;
            changes
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_refused_is_told_once_and_may_come_back() {
        let callers = RefusedCallers::default();
        let mut told = callers.changes();
        let kill = KillId::random();
        let refused = || vec![("billing".to_owned(), kill.clone())];
        callers.set(refused());
        assert!(told.has_changed().unwrap());
        assert_eq!(callers.find("billing"), Some(kill.clone()));
        assert_eq!(callers.find("other"), None);
        told.mark_unchanged();
        callers.set(refused());
        assert!(!told.has_changed().unwrap(), "nothing changed");
        callers.set(Vec::new());
        assert!(told.has_changed().unwrap());
        assert_eq!(callers.find("billing"), None);
    }
}
