//! KillService: the emergency stop.

mod render;

use std::pin::Pin;
use std::time::Duration;

use evergrant_core::clock::Timestamp;
use evergrant_core::ids::{ClientName, KillId, ProviderName};
use evergrant_core::kill::KillTarget;
use evergrant_proto::v1::kill_service_server::KillService;
use evergrant_proto::v1::{self, ErrorReason};
use futures_core::Stream;
use futures_util::stream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use self::render::{to_kill, to_sample};
use super::call::Call;
use super::caller::Permission;
use super::convert::credential::check_message;
use super::convert::{page_size, tenant, timestamp};
use super::gate::Gate;
use super::paging::{after_token, bad_page_token, cut};
use super::status::{ApiError, store_error};
use crate::audit::record::Subject;
use crate::kill::Killer;
use crate::store::{Kill, NewKill};

/// How often a kill is looked at for those who watch it.
const LOOK: Duration = Duration::from_millis(500);
/// Credentials that a preview names.
const SAMPLE: u32 = 10;

/// Serves KillService.
#[derive(Clone)]
pub struct Kills {
    killer: Killer,
    gate: Gate,
    stop: CancellationToken,
}

impl std::fmt::Debug for Kills {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kills").finish_non_exhaustive()
    }
}

type Progress = Pin<Box<dyn Stream<Item = Result<v1::WatchKillResponse, Status>> + Send>>;

impl Kills {
    /// A service that kills through `killer`. Once `stop` is cancelled nobody watches a kill any more.
    pub fn new(killer: Killer, gate: Gate, stop: CancellationToken) -> Self {
        Self { killer, gate, stop }
    }

    async fn preview(
        &self,
        call: &Call,
        request: v1::PreviewKillRequest,
    ) -> Result<v1::PreviewKillResponse, ApiError> {
        let target = target(request.target)?;
        may(call, &target)?;
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
        call.concerns(subject(&target));
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
        let new = NewKill {
            id: KillId::random(),
            target,
            reason,
            by: by.to_owned(),
            revoke: revoke_at_provider,
        };
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
        let kills = self.killer.store();
        let kills = kills.kills(tenants.as_deref(), before.as_ref(), limit + 1);
        let mut kills = kills.await.map_err(|error| store_error(&error))?;
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
        let lifted = self.killer.lift(&caller).await;
        Ok(v1::LiftKillResponse {
            lifted: lifted.map_err(|error| store_error(&error))?,
        })
    }

    async fn watch(
        &self,
        call: &Call,
        request: v1::WatchKillRequest,
    ) -> Result<Progress, ApiError> {
        let (id, first) = self.known(call, &request.kill_id).await?;
        let (this, first) = (self.clone(), to_kill(first));
        let told = stream::unfold(Next::Tell(first), move |next| {
            let (this, id) = (this.clone(), id.clone());
            async move {
                let kill = match next {
                    Next::Tell(kill) => Ok(kill),
                    Next::After(told) => this.changed(&id, &told).await,
                    Next::End => return None,
                };
                Some(match kill {
                    Ok(kill) if kill.finished_at.is_some() => (Ok(message(kill)), Next::End),
                    Ok(kill) => (Ok(message(kill.clone())), Next::After(kill)),
                    Err(error) => (Err(error.into_status()), Next::End),
                })
            }
        });
        Ok(Box::pin(told))
    }

    /// How the kill stands once that is otherwise than was told.
    async fn changed(&self, id: &KillId, told: &v1::Kill) -> Result<v1::Kill, ApiError> {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = self.stop.cancelled() => {
                    let why = "this replica is shutting down; the kill goes on";
                    return Err(ApiError::new(ErrorReason::ShuttingDown, why));
                }
            }
            let now = to_kill(self.read(id).await?);
            if now != *told {
                return Ok(now);
            }
        }
    }

    /// A kill that the caller may know of.
    async fn known(&self, call: &Call, id: &str) -> Result<(KillId, Kill), ApiError> {
        call.tenants(Permission::Admin)?;
        let id = KillId::parse(id).map_err(|why| ApiError::invalid("kill_id", why.to_string()))?;
        let kill = self.read(&id).await?;
        may(call, &kill.order.target).map_err(|_| not_found(&id))?;
        Ok((id, kill))
    }

    async fn read(&self, id: &KillId) -> Result<Kill, ApiError> {
        let kill = self.killer.store().kill(id).await;
        let kill = kill.map_err(|error| store_error(&error))?;
        kill.ok_or_else(|| not_found(id))
    }
}

/// What a stream of progress does next.
enum Next {
    Tell(v1::Kill),
    After(v1::Kill),
    End,
}

fn message(kill: v1::Kill) -> v1::WatchKillResponse {
    v1::WatchKillResponse { kill: Some(kill) }
}

fn not_found(id: &KillId) -> ApiError {
    ApiError::new(
        ErrorReason::KillNotFound,
        format!("kill {id} does not exist"),
    )
}

/// What the audit trail says of it, beside who asked: its credentials have records of their own.
fn subject(target: &KillTarget) -> Subject {
    match target {
        KillTarget::Tenant(tenant) => Subject {
            tenant: Some(tenant.clone()),
            ..Subject::default()
        },
        KillTarget::Provider(provider) => Subject {
            provider: Some(provider.to_string()),
            ..Subject::default()
        },
        KillTarget::Client(_) | KillTarget::Caller { .. } => Subject::default(),
    }
}

/// A tenant's own admin may kill it; all else concerns every tenant.
fn may(call: &Call, target: &KillTarget) -> Result<(), ApiError> {
    let tenant = match target {
        KillTarget::Tenant(tenant) => Some(tenant),
        KillTarget::Provider(_) | KillTarget::Client(_) | KillTarget::Caller { .. } => None,
    };
    call.require(Permission::Admin, tenant)
}

fn target(target: Option<v1::KillTarget>) -> Result<KillTarget, ApiError> {
    use v1::kill_target::What;
    let missing = || ApiError::invalid("target", "must name what is to be killed");
    let v1::KillTarget { what, since } = target.ok_or_else(missing)?;
    let what = what.ok_or_else(missing)?;
    if since.is_some() && !matches!(what, What::Caller(_)) {
        return Err(ApiError::invalid("target.since", "is for callers alone"));
    }
    let invalid = |field: &str, why: String| ApiError::invalid(format!("target.{field}"), why);
    Ok(match what {
        What::TenantId(name) if name.is_empty() => return Err(missing()),
        What::TenantId(name) => KillTarget::Tenant(tenant(&name)?),
        What::Provider(name) => KillTarget::Provider(
            ProviderName::parse(&name).map_err(|why| invalid("provider", why.to_string()))?,
        ),
        What::Client(name) => KillTarget::Client(
            ClientName::parse(&name).map_err(|why| invalid("client", why.to_string()))?,
        ),
        What::Caller(name) => KillTarget::Caller {
            name: caller(&name, "target.caller")?,
            since: match since {
                Some(since) => timestamp("target.since", since)?,
                None => Timestamp::from_millis(0),
            },
        },
    })
}

/// A caller that need not be configured on this replica.
fn caller(name: &str, field: &str) -> Result<String, ApiError> {
    if name.is_empty() || name.len() > 512 || name.contains('\0') {
        let why = "must be the name of a caller in the configuration";
        return Err(ApiError::invalid(field, why));
    }
    Ok(name.to_owned())
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
