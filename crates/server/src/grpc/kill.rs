//! KillService: the emergency stop.

mod known;
mod progress;
mod render;
mod target;

use std::sync::Arc;

use evergrant_core::ids::KillId;
use evergrant_core::kill::KillTarget;
use evergrant_proto::v1::kill_service_server::KillService;
use evergrant_proto::v1::{self, ErrorReason};
use evergrant_providers::HttpProviders;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use self::progress::Progress;
use self::render::{to_kill, to_sample};
use self::target::{caller, may, target};
use super::call::Call;
use super::caller::Permission;
use super::convert::credential::check_message;
use super::convert::page_size;
use super::gate::Gate;
use super::paging::{after_token, bad_page_token, cut};
use super::status::{ApiError, store_error};
use crate::kill::Killer;
use crate::store::{Kill, KillQuery, NewKill};

/// Credentials that a preview names.
const SAMPLE: u32 = 10;

/// Serves KillService.
#[derive(Clone)]
pub struct Kills {
    killer: Killer,
    providers: Arc<HttpProviders>,
    gate: Gate,
    stop: CancellationToken,
}

impl std::fmt::Debug for Kills {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kills").finish_non_exhaustive()
    }
}

impl Kills {
    /// A service that kills through `killer` what `providers` or anything stored names. Once `stop` is cancelled nobody
    /// watches a kill any more.
    pub fn new(
        killer: Killer,
        providers: Arc<HttpProviders>,
        gate: Gate,
        stop: CancellationToken,
    ) -> Self {
        Self {
            killer,
            providers,
            gate,
            stop,
        }
    }

    async fn preview(
        &self,
        call: &Call,
        request: v1::PreviewKillRequest,
    ) -> Result<v1::PreviewKillResponse, ApiError> {
        let target = target(request.target)?;
        call.concerns(self.subject(&target));
        call.details(target.to_string());
        may(call, &target)?;
        self.check_known(&target).await?;
        let found = self.killer.store().forecast_kill(&target, SAMPLE).await;
        let found = found.map_err(|error| store_error(&error))?;
        Ok(v1::PreviewKillResponse {
            grants: found.grants,
            credentials: found.credentials,
            sample: found.sample.into_iter().map(to_sample).collect(),
        })
    }

    async fn start(
        &self,
        call: &Call,
        request: v1::StartKillRequest,
    ) -> Result<v1::StartKillResponse, ApiError> {
        let v1::StartKillRequest {
            target: wanted,
            reason,
            revoke_at_provider,
        } = request;
        let target = target(wanted)?;
        call.concerns(self.subject(&target));
        call.details(target.to_string());
        may(call, &target)?;
        if reason.trim().is_empty() {
            return Err(ApiError::invalid("reason", "must say why"));
        }
        check_message(&reason)?;
        let by = call.caller().name().unwrap_or_default();
        if let KillTarget::Caller { name, .. } = &target
            && name == by
        {
            return Err(ApiError::invalid("target.caller", "must not be yourself"));
        }
        self.check_known(&target).await?;
        let new = NewKill {
            id: KillId::random(),
            target,
            reason,
            by: by.to_owned(),
            revoke: revoke_at_provider,
        };
        call.details(format!("kill {} of {}", new.id, new.target));
        let begun = self.killer.begin(&new).await;
        begun.map_err(|error| store_error(&error))?;
        Ok(v1::StartKillResponse {
            kill: Some(to_kill(self.read(&new.id).await?)),
        })
    }

    async fn get(
        &self,
        call: &Call,
        request: v1::GetKillRequest,
    ) -> Result<v1::GetKillResponse, ApiError> {
        let (_, kill) = self.known(call, &request.kill_id).await?;
        Ok(v1::GetKillResponse {
            kill: Some(to_kill(kill)),
        })
    }

    async fn list(
        &self,
        call: &Call,
        request: v1::ListKillsRequest,
    ) -> Result<v1::ListKillsResponse, ApiError> {
        let tenants = call.tenants(Permission::Admin)?;
        let limit = page_size(request.page_size)?;
        let before = after_token(&request.page_token)?
            .map(|id| KillId::parse(&id).map_err(|_| bad_page_token()))
            .transpose()?;
        let query = KillQuery {
            tenants,
            locking_out: request.locking_out,
            before,
            limit: limit + 1,
        };
        let kills = self.killer.store().kills(&query).await;
        let mut kills = kills.map_err(|error| store_error(&error))?;
        let next_page_token = cut(&mut kills, limit, |kill| kill.order.id.to_string());
        Ok(v1::ListKillsResponse {
            kills: kills.into_iter().map(to_kill).collect(),
            next_page_token,
        })
    }

    async fn resume(
        &self,
        call: &Call,
        request: v1::ResumeKillRequest,
    ) -> Result<v1::ResumeKillResponse, ApiError> {
        let (id, _) = self.known(call, &request.kill_id).await?;
        let resumed = self.killer.resume(&id).await;
        resumed.map_err(|error| store_error(&error))?;
        Ok(v1::ResumeKillResponse {
            kill: Some(to_kill(self.read(&id).await?)),
        })
    }

    async fn lift(
        &self,
        call: &Call,
        request: v1::LiftKillRequest,
    ) -> Result<v1::LiftKillResponse, ApiError> {
        call.require(Permission::Admin, None)?;
        let caller = caller(&request.caller, "caller")?;
        call.details(format!("caller {caller}"));
        let lifted = self.killer.lift(&caller).await;
        let lifted = lifted.map_err(|error| store_error(&error))?;
        if lifted == 0 {
            call.details(format!("caller {caller}, who was not locked out"));
        }
        Ok(v1::LiftKillResponse { lifted })
    }

    /// A kill that the caller may know of.
    async fn known(&self, call: &Call, id: &str) -> Result<(KillId, Kill), ApiError> {
        call.tenants(Permission::Admin)?;
        let id = KillId::parse(id).map_err(|why| ApiError::invalid("kill_id", why.to_string()))?;
        call.details(format!("kill {id}"));
        let kill = self.read(&id).await?;
        let target = &kill.order.target;
        may(call, target).map_err(|_| not_found(&id))?;
        call.concerns(self.subject(target));
        call.details(format!("kill {id} of {target}"));
        Ok((id, kill))
    }

    async fn read(&self, id: &KillId) -> Result<Kill, ApiError> {
        let kill = self.killer.store().kill(id).await;
        let kill = kill.map_err(|error| store_error(&error))?;
        kill.ok_or_else(|| not_found(id))
    }
}

fn not_found(id: &KillId) -> ApiError {
    ApiError::new(
        ErrorReason::KillNotFound,
        format!("kill {id} does not exist"),
    )
}

#[tonic::async_trait]
impl KillService for Kills {
    type WatchKillStream = Progress;

    async fn preview_kill(
        &self,
        request: Request<v1::PreviewKillRequest>,
    ) -> Result<Response<v1::PreviewKillResponse>, Status> {
        let work = async |call: Call, message| self.preview(&call, message).await;
        self.gate.serve("PreviewKill", request, work).await
    }

    async fn start_kill(
        &self,
        request: Request<v1::StartKillRequest>,
    ) -> Result<Response<v1::StartKillResponse>, Status> {
        let work = async |call: Call, message| self.start(&call, message).await;
        self.gate.serve("StartKill", request, work).await
    }

    async fn watch_kill(
        &self,
        request: Request<v1::WatchKillRequest>,
    ) -> Result<Response<Progress>, Status> {
        let work = async |call: Call, message| self.watch(&call, message).await;
        self.gate.serve("WatchKill", request, work).await
    }

    async fn get_kill(
        &self,
        request: Request<v1::GetKillRequest>,
    ) -> Result<Response<v1::GetKillResponse>, Status> {
        let work = async |call: Call, message| self.get(&call, message).await;
        self.gate.serve("GetKill", request, work).await
    }

    async fn list_kills(
        &self,
        request: Request<v1::ListKillsRequest>,
    ) -> Result<Response<v1::ListKillsResponse>, Status> {
        let work = async |call: Call, message| self.list(&call, message).await;
        self.gate.serve("ListKills", request, work).await
    }

    async fn resume_kill(
        &self,
        request: Request<v1::ResumeKillRequest>,
    ) -> Result<Response<v1::ResumeKillResponse>, Status> {
        let work = async |call: Call, message| self.resume(&call, message).await;
        self.gate.serve("ResumeKill", request, work).await
    }

    async fn lift_kill(
        &self,
        request: Request<v1::LiftKillRequest>,
    ) -> Result<Response<v1::LiftKillResponse>, Status> {
        let work = async |call: Call, message| self.lift(&call, message).await;
        self.gate.serve("LiftKill", request, work).await
    }
}
