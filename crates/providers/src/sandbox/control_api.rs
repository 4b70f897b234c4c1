//! The control handle over HTTP, for scripts in any language. JSON in, JSON out.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::catalogue;
use super::control::{Control, ControlError};
use super::fault::FaultRule;
use super::gate::{GateRule, GateStatus};
use super::grants::GrantStatus;
use super::ledger::Ledger;
use super::mode::{GrantSpec, RotationMode};
use super::refusal::Dialect;
use super::state::Shared;

/// Longest time that a question about a gate waits for arrivals.
const MAX_WAIT: Duration = Duration::from_secs(60);

pub(super) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/control/grants", post(create_grant))
        .route("/control/grants/{family}", get(grant))
        .route("/control/grants/{family}/revoke", post(revoke_grant))
        .route("/control/clients", post(set_client))
        .route(
            "/control/faults",
            get(faults).post(add_fault).delete(clear_faults),
        )
        .route("/control/gates", post(add_gate))
        .route("/control/gates/{id}", get(gate))
        .route("/control/gates/{id}/open", post(open_gate))
        .route("/control/ledger", get(ledger))
        .route("/control/violations", get(violations))
        .route("/control/catalogue", get(catalogue_entry))
}

type Shares = State<Arc<Shared>>;
type Answered<T> = Result<Json<T>, ControlError>;

impl IntoResponse for ControlError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::UnknownGrant(_) | Self::UnknownGate(_) => StatusCode::NOT_FOUND,
            Self::UnknownClient(_) | Self::Invalid(_) => StatusCode::BAD_REQUEST,
        };
        (status, Json(json!({ "error": self.to_string() }))).into_response()
    }
}

async fn create_grant(State(shared): Shares, Json(spec): Json<GrantSpec>) -> Answered<Value> {
    let grant = Control(shared).create_grant(spec)?;
    Ok(Json(json!({
        "metadata": { "family": grant.family },
        "access_token": grant.access_token.expose(),
        "refresh_token": grant.refresh_token.expose(),
        "expires_in": grant.expires_in,
    })))
}

async fn grant(State(shared): Shares, Path(family): Path<String>) -> Answered<GrantStatus> {
    Control(shared).grant(&family).map(Json)
}

async fn revoke_grant(State(shared): Shares, Path(family): Path<String>) -> Answered<GrantStatus> {
    Control(shared).revoke_grant(&family).map(Json)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientBody {
    client_id: String,
    secrets: Vec<String>,
}

async fn set_client(State(shared): Shares, Json(client): Json<ClientBody>) -> Json<Value> {
    Control(shared).set_client(&client.client_id, &client.secrets);
    Json(json!({ "client_id": client.client_id }))
}

async fn faults(State(shared): Shares) -> Json<Vec<FaultRule>> {
    Json(Control(shared).faults())
}

async fn add_fault(State(shared): Shares, Json(rule): Json<FaultRule>) -> Answered<Vec<FaultRule>> {
    let control = Control(shared);
    control.add_fault(rule)?;
    Ok(Json(control.faults()))
}

async fn clear_faults(State(shared): Shares) -> Json<Vec<FaultRule>> {
    let control = Control(shared);
    control.clear_faults();
    Json(control.faults())
}

async fn add_gate(State(shared): Shares, Json(rule): Json<GateRule>) -> Json<GateStatus> {
    Json(Control(shared).add_gate(rule).status())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GateQuery {
    /// Answer once so many calls have come.
    #[serde(default)]
    arrivals: usize,
    /// Answer after so long at the latest.
    #[serde(default)]
    timeout_ms: u64,
}

async fn gate(
    State(shared): Shares,
    Path(id): Path<u64>,
    Query(query): Query<GateQuery>,
) -> Answered<GateStatus> {
    let gate = Control(Arc::clone(&shared)).gate(id)?;
    let patience = Duration::from_millis(query.timeout_ms).min(MAX_WAIT);
    // Late or not, the status tells how many came.
    let _ = timeout(patience, gate.wait_for_arrivals(query.arrivals)).await;
    Ok(Json(gate.status()))
}

async fn open_gate(State(shared): Shares, Path(id): Path<u64>) -> Answered<GateStatus> {
    let gate = Control(shared).gate(id)?;
    gate.open();
    Ok(Json(gate.status()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LedgerQuery {
    #[serde(default)]
    since: u64,
}

async fn ledger(State(shared): Shares, Query(query): Query<LedgerQuery>) -> Json<Ledger> {
    Json(Control(shared).ledger_since(query.since))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ViolationsQuery {
    /// How many calls a single-use refresh token may be presented in; any number without it.
    calls: Option<usize>,
}

async fn violations(State(shared): Shares, Query(query): Query<ViolationsQuery>) -> Json<Value> {
    let ledger = Control(shared).ledger();
    let mut found = ledger.violations();
    if let Some(limit) = query.calls {
        found.extend(ledger.calls_beyond(limit));
    }
    Json(json!({ "last": ledger.last, "violations": found }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CatalogueQuery {
    #[serde(default = "sandbox")]
    name: String,
    dialect: Option<Dialect>,
    mode: Option<CatalogueMode>,
    #[serde(default)]
    grace_seconds: u64,
}

fn sandbox() -> String {
    "sandbox".to_owned()
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum CatalogueMode {
    None,
    Rotates,
    #[serde(alias = "strict")]
    SingleUse,
    Grace,
}

async fn catalogue_entry(State(shared): Shares, Query(query): Query<CatalogueQuery>) -> String {
    let mode = match query.mode {
        Some(CatalogueMode::None) => RotationMode::None,
        Some(CatalogueMode::Rotates) => RotationMode::Rotates,
        Some(CatalogueMode::Grace) => RotationMode::Grace {
            seconds: query.grace_seconds,
            max_uses: u32::MAX,
        },
        Some(CatalogueMode::SingleUse) | None => RotationMode::SingleUse,
    };
    let dialect = query.dialect.unwrap_or(Dialect::Rfc6749);
    catalogue::entry(&query.name, &shared.base_url, dialect, mode)
}
