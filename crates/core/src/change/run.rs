//! Runs a change: snapshot, plan, apply, tell; and again where something moved in between.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::{ChangeSet, Scope, Snapshot, Write};
use crate::coordinator::{Bus, Notice};
use crate::ids::GrantId;
use crate::memory::Memory;
use crate::store::{ApplyError, GrantVersion, Store, StoreError};

/// How often a change is planned anew before giving up.
const TRIES: u32 = 20;
/// How long a change waits for the others of its replica.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Runs changes against one store, and keeps this replica's memory and the others true.
#[derive(Clone)]
pub struct Changes {
    store: Arc<dyn Store>,
    bus: Arc<dyn Bus>,
    memory: Arc<Memory>,
    /// Held by the change that runs. Changes of one replica would only undo each other's plans; those of other
    /// replicas are met by planning anew.
    turn: Arc<Mutex<()>>,
    /// Where a change is applied and told, if not by whoever asks for it.
    tasks: Option<TaskTracker>,
}

/// The change that runs is the only one of its replica.
type Turn = OwnedMutexGuard<()>;

/// Why a change did not happen.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChangeError<E> {
    /// The plan refused.
    #[error(transparent)]
    Refused(E),
    /// The store could not do it.
    #[error(transparent)]
    Store(StoreError),
}

impl std::fmt::Debug for Changes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Changes").finish_non_exhaustive()
    }
}

impl Changes {
    /// Changes to `store`, told on `bus`, learnt by `memory`. Whoever runs one must go on to its end: see
    /// [`in_tasks`](Self::in_tasks).
    pub fn new(store: Arc<dyn Store>, bus: Arc<dyn Bus>, memory: Arc<Memory>) -> Self {
        Self {
            store,
            bus,
            memory,
            turn: Arc::default(),
            tasks: None,
        }
    }

    /// The same, for those whose callers may leave at any time: what is applied is told all the same, by a task that
    /// `tracker` tracks.
    pub fn in_tasks(self, tracker: TaskTracker) -> Self {
        Self {
            tasks: Some(tracker),
            ..self
        }
    }

    /// Plans a change from a snapshot of `scope` and applies it. `Ok(None)` if there was nothing to change.
    ///
    /// When this is cancelled the change has happened whole or not at all, or happens yet. Only
    /// [`in_tasks`](Self::in_tasks) is it told then.
    pub async fn run<T, E>(
        &self,
        scope: &Scope,
        plan: impl Fn(&Snapshot) -> Result<Option<(ChangeSet, T)>, E> + Send,
    ) -> Result<Option<T>, ChangeError<E>> {
        let busy =
            || ChangeError::Store(StoreError::Unavailable("too many changes at once".into()));
        let turn = Arc::clone(&self.turn).lock_owned();
        let turn = tokio::time::timeout(LONGEST_WAIT, turn).await;
        let mut turn = turn.map_err(|_| busy())?;
        for attempt in 0..TRIES {
            let snapshot = self
                .store
                .snapshot(scope)
                .await
                .map_err(ChangeError::Store)?;
            let Some((change, result)) = plan(&snapshot).map_err(ChangeError::Refused)? else {
                return Ok(None);
            };
            match self.apply_and_tell(change, turn).await {
                Ok(None) => return Ok(Some(result)),
                Ok(Some(back)) => {
                    turn = back;
                    metrics::counter!("evergrant_change_conflicts_total").increment(1);
                    let most = 2 << attempt.min(7);
                    tokio::time::sleep(Duration::from_millis(fastrand::u64(0..most))).await;
                }
                Err(error) => return Err(ChangeError::Store(error)),
            }
        }
        Err(busy())
    }

    /// Gives the turn back if the change conflicts.
    async fn apply_and_tell(
        &self,
        change: ChangeSet,
        turn: Turn,
    ) -> Result<Option<Turn>, StoreError> {
        let Some(tasks) = &self.tasks else {
            return self.apply_then_tell(change, turn).await;
        };
        let changes = self.clone();
        let work = async move { changes.apply_then_tell(change, turn).await };
        let ended = tasks.spawn(work.in_current_span()).await;
        ended.unwrap_or_else(|_| {
            let why = "the task of a change ended without an outcome";
            Err(StoreError::Unavailable(why.into()))
        })
    }

    async fn apply_then_tell(
        &self,
        change: ChangeSet,
        turn: Turn,
    ) -> Result<Option<Turn>, StoreError> {
        match self.store.apply(&change).await {
            Ok(head) => {
                drop(turn);
                self.tell(&change, head).await;
                Ok(None)
            }
            Err(ApplyError::Conflict) => Ok(Some(turn)),
            Err(ApplyError::Store(error)) => Err(error),
        }
    }

    async fn tell(&self, change: &ChangeSet, head: u64) {
        if !change.events.is_empty() {
            let events = u64::try_from(change.events.len()).unwrap_or_default();
            metrics::counter!("evergrant_events_written_total").increment(events);
            self.bus.publish(Notice::EventsAppended { head }).await;
        }
        for id in change.writes.iter().flat_map(touched) {
            // A row that cannot be read now is found changed by every replica's next poll.
            let notice = match self.store.grant(id).await {
                Ok(Some(grant)) => changed(GrantVersion {
                    id: id.clone(),
                    generation: grant.facts.generation,
                    version: grant.facts.version,
                }),
                Ok(None) => changed(GrantVersion::deleted(id.clone())),
                Err(_) => {
                    self.memory.forget(id);
                    continue;
                }
            };
            if let Notice::GrantChanged { grant, version, .. } = &notice {
                self.memory.learn(grant, *version);
            }
            self.bus.publish(notice).await;
        }
    }
}

fn changed(now: GrantVersion) -> Notice {
    let GrantVersion {
        id,
        generation,
        version,
    } = now;
    Notice::GrantChanged {
        grant: id,
        generation,
        version,
    }
}

/// The grants whose version a write raises.
fn touched(write: &Write) -> Vec<&GrantId> {
    match write {
        Write::StoreTokens { grant, .. }
        | Write::KeepTokens { grant, .. }
        | Write::InvalidateGrant { grant, .. }
        | Write::HoldGrant { grant, .. }
        | Write::TouchGrant(grant)
        | Write::DeleteGrant(grant) => vec![grant],
        Write::InsertGrant(_)
        | Write::DateGrant { .. }
        | Write::ReportDeath { .. }
        | Write::InsertCredential(_)
        | Write::UpdateCredentialLabels { .. }
        | Write::MoveCredential { .. }
        | Write::DeleteCredential(_)
        | Write::InsertIntegration(_)
        | Write::UpdateIntegration(_)
        | Write::DeleteIntegration(_)
        | Write::SetClientHealth(_)
        | Write::RememberDelivery(_)
        | Write::NoteKilled(_)
        | Write::NoteRefusal { .. }
        | Write::SetBrake(_)
        // Its grants are many; replicas find them by their next poll.
        | Write::ReleaseBrake { .. } => Vec::new(),
    }
}
