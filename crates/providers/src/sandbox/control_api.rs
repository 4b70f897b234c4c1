//! The control handle over HTTP, for scripts in any language. JSON in, JSON out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};
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
            Self::BadTerms(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::UnknownClient(_) | Self::UnknownProvider(_) | Self::Invalid(_) => {
                StatusCode::BAD_REQUEST
            }
        };
        (status, Json(json!({ "error": self.to_string() }))).into_response()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantQuery {
    /// The provider of the catalogue whose terms hold where the body says nothing.
    #[serde(rename = "as")]
    provider: Option<String>,
}

async fn create_grant(
    State(shared): Shares,
    Query(query): Query<GrantQuery>,
    Json(wanted): Json<Map<String, Value>>,
) -> Answered<Value> {
    let control = Control(shared);
    let (usual, mut metadata) = match &query.provider {
        Some(provider) => control.terms_as(provider)?,
        None => (GrantSpec::default(), BTreeMap::new()),
    };
    let spec = laid_over(&usual, wanted)?;
    let is_pair = !spec.self_renewing;
    let grant = control.create_grant(spec)?;
    metadata.insert("family".to_owned(), grant.family.clone());
    let mut material = json!({
        "metadata": metadata,
        "access_token": grant.access_token.expose(),
        "expires_in": grant.expires_in,
    });
    if is_pair {
        material["refresh_token"] = grant.refresh_token.expose().into();
    }
    Ok(Json(material))
}

fn laid_over(usual: &GrantSpec, wanted: Map<String, Value>) -> Result<GrantSpec, ControlError> {
    let is_omission_wanted = wanted.contains_key("omit_refresh_token");
    let mut whole = serde_json::to_value(usual).expect("terms are plain data");
    if let Some(whole) = whole.as_object_mut() {
        whole.extend(wanted);
    }
    let spec = serde_json::from_value(whole);
    let mut spec: GrantSpec = spec.map_err(|error| ControlError::BadTerms(error.to_string()))?;
    // What the entry does in its own mode is no wish of the caller for another.
    spec.omit_refresh_token &= is_omission_wanted || spec.mode == RotationMode::None;
    Ok(spec)
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
    #[serde(default)]
    secrets: Option<Vec<String>>,
    /// In PEM.
    #[serde(default)]
    public_key: Option<String>,
}

async fn set_client(State(shared): Shares, Json(client): Json<ClientBody>) -> Answered<Value> {
    let control = Control(shared);
    let ClientBody {
        client_id,
        secrets,
        public_key,
    } = client;
    if secrets.is_none() && public_key.is_none() {
        return Err(ControlError::Invalid(
            "a client needs secrets, an empty list of them, or a public_key",
        ));
    }
    if let Some(key) = public_key {
        control.set_client_key(&client_id, &key)?;
    }
    if let Some(secrets) = secrets {
        control.set_client(&client_id, &secrets);
    }
    Ok(Json(json!({ "client_id": client_id })))
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
    name: Option<String>,
    /// The provider of the catalogue that the sandbox plays.
    #[serde(rename = "as")]
    provider: Option<String>,
    dialect: Option<Dialect>,
    mode: Option<CatalogueMode>,
    #[serde(default)]
    grace_seconds: u64,
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

async fn catalogue_entry(
    State(shared): Shares,
    Query(query): Query<CatalogueQuery>,
) -> Result<String, ControlError> {
    if let Some(provider) = &query.provider {
        if query.dialect.is_some() || query.mode.is_some() {
            return Err(ControlError::Invalid(
                "dialect and mode are those of the entry where as names one",
            ));
        }
        let name = query.name.as_deref().unwrap_or(provider);
        return Control(shared).catalogue_entry_as(provider, name);
    }
    let mode = match query.mode {
        Some(CatalogueMode::None) => RotationMode::None,
        Some(CatalogueMode::Rotates) => RotationMode::Rotates,
        Some(CatalogueMode::Grace) => RotationMode::Grace {
            seconds: query.grace_seconds,
            max_uses: u32::MAX,
        },
        Some(CatalogueMode::SingleUse) | None => RotationMode::SingleUse,
    };
    let name = query.name.as_deref().unwrap_or("sandbox");
    match query.dialect {
        Some(Dialect::Catalogue) => Err(ControlError::Invalid(
            "as says which entry the dialect is that of",
        )),
        dialect => {
            let dialect = dialect.unwrap_or(Dialect::Rfc6749);
            Ok(catalogue::entry(name, &shared.base_url, dialect, mode))
        }
    }
}
