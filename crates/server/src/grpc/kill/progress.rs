//! How far a kill is, told until it has finished.

use std::pin::Pin;
use std::time::Duration;

use evergrant_core::ids::KillId;
use evergrant_proto::v1::{self, ErrorReason};
use futures_core::Stream;
use futures_util::stream;
use tonic::Status;

use super::Kills;
use super::render::to_kill;
use super::target::concerned;
use crate::grpc::call::Call;
use crate::grpc::caller::Permission;
use crate::grpc::standing::Standing;
use crate::grpc::status::ApiError;

/// How often a kill is looked at for those who watch it.
const LOOK: Duration = Duration::from_millis(500);

pub(super) type Progress =
    Pin<Box<dyn Stream<Item = Result<v1::WatchKillResponse, Status>> + Send>>;

/// One who watches a kill.
struct Watcher {
    kills: Kills,
    id: KillId,
    standing: Standing,
    next: Next,
}

/// What the watcher is told next.
enum Next {
    Tell(v1::Kill),
    After(v1::Kill),
    End,
}

impl Kills {
    pub(super) async fn watch(
        &self,
        call: &Call,
        request: v1::WatchKillRequest,
    ) -> Result<Progress, ApiError> {
        let (id, first) = self.known(call, &request.kill_id).await?;
        let tenant = concerned(&first.order.target).cloned();
        let watcher = Watcher {
            standing: Standing::of(&self.gate, call.caller(), Permission::Admin, tenant)?,
            kills: self.clone(),
            id,
            next: Next::Tell(to_kill(first)),
        };
        let told = stream::unfold(Box::new(watcher), |mut watcher| async move {
            let told = watcher.next().await?;
            Some((told.map_err(ApiError::into_status), watcher))
        });
        Ok(Box::pin(told))
    }
}

impl Watcher {
    async fn next(&mut self) -> Option<Result<v1::WatchKillResponse, ApiError>> {
        let kill = match std::mem::replace(&mut self.next, Next::End) {
            Next::Tell(kill) => kill,
            Next::After(told) => match self.changed(&told).await {
                Ok(kill) => kill,
                Err(error) => return Some(Err(error)),
            },
            Next::End => return None,
        };
        if kill.finished_at.is_none() {
            self.next = Next::After(kill.clone());
        }
        Some(Ok(v1::WatchKillResponse { kill: Some(kill) }))
    }

    /// How the kill stands once that is otherwise than was told.
    async fn changed(&mut self, told: &v1::Kill) -> Result<v1::Kill, ApiError> {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = self.standing.changed() => {}
                () = self.kills.stop.cancelled() => {
                    let why = "this replica is shutting down; the kill goes on";
                    return Err(ApiError::new(ErrorReason::ShuttingDown, why));
                }
            }
            self.standing.check()?;
            let now = to_kill(self.kills.read(&self.id).await?);
            if now != *told {
                return Ok(now);
            }
        }
    }
}
