//! Callers that are locked out.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use evergrant_core::ids::KillId;
use tokio::sync::watch;

/// Which callers are refused, by the name that they have in the configuration. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct RefusedCallers(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    refused: watch::Sender<Refused>,
    /// How often somebody was refused here, which the database may not have said yet when it was asked before.
    here: AtomicU64,
}

/// The kill that each is refused for.
pub type Refused = HashMap<String, KillId>;

impl RefusedCallers {
    /// The kill that a caller is refused for.
    pub fn find(&self, caller: &str) -> Option<KillId> {
        self.0.refused.borrow().get(caller).cloned()
    }

    /// Tells when others are refused than before.
    pub fn changes(&self) -> watch::Receiver<Refused> {
        self.0.refused.subscribe()
    }

    /// Refuses one more.
    pub(super) fn refuse(&self, caller: &str, kill: &KillId) {
        self.0.refused.send_modify(|refused| {
            self.0.here.fetch_add(1, Ordering::Relaxed);
            refused.insert(caller.to_owned(), kill.clone());
        });
    }

    /// Refuses these and no others.
    pub fn set(&self, refused: Vec<(String, KillId)>) {
        self.replace(refused, None);
    }

    /// Refuses whom `read` answers and no others, unless somebody was refused here while it read.
    pub(super) async fn follow<E>(
        &self,
        read: impl Future<Output = Result<Vec<(String, KillId)>, E>>,
    ) -> Result<(), E> {
        let before = self.0.here.load(Ordering::Relaxed);
        self.replace(read.await?, Some(before));
        Ok(())
    }

    fn replace(&self, next: Vec<(String, KillId)>, read_at: Option<u64>) {
        let next: Refused = next.into_iter().collect();
        self.0.refused.send_if_modified(|refused| {
            // Under the lock under which somebody is refused, so that the number is that of the list.
            let here = self.0.here.load(Ordering::Relaxed);
            if read_at.is_some_and(|then| then != here) || *refused == next {
                return false;
            }
            *refused = next;
            true
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

    #[tokio::test]
    async fn who_is_refused_here_is_not_let_in_by_what_the_database_said_before() {
        let (callers, kill) = (RefusedCallers::default(), KillId::random());
        let stale = async {
            callers.refuse("billing", &kill);
            Ok::<_, ()>(Vec::new())
        };
        callers.follow(stale).await.unwrap();
        assert_eq!(callers.find("billing"), Some(kill.clone()));
        let lifted = async { Ok::<_, ()>(Vec::new()) };
        callers.follow(lifted).await.unwrap();
        assert_eq!(callers.find("billing"), None);
    }
}
