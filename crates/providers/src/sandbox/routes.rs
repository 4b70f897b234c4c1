//! Paths of the provider's own endpoints.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use http::StatusCode;

use super::call::Call;
use super::exchange::exchange;
use super::ledger::Endpoint;
use super::refusal::Dialect;
use super::state::Shared;
use super::{authorize, device_page, dialect};

pub(super) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/authorize", get(authorize::ask).post(authorize::decide))
        .route("/device", get(device_page::ask).post(device_page::decide))
        .route("/device_authorization", post(device))
        .route("/token", post(token))
        .route("/slack/token", post(slack_token))
        .route("/revoke", post(revoke))
        .route("/introspect", post(introspect))
        .route("/resource", get(resource))
        .route("/as/{name}/{*rest}", any(played))
}

async fn token(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    take(shared, Endpoint::Token, Dialect::Rfc6749, request).await
}

async fn slack_token(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    take(shared, Endpoint::Token, Dialect::Slack, request).await
}

async fn device(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    take(shared, Endpoint::Device, Dialect::Rfc6749, request).await
}

async fn revoke(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    take(shared, Endpoint::Revoke, Dialect::Rfc6749, request).await
}

async fn introspect(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    take(shared, Endpoint::Introspect, Dialect::Rfc6749, request).await
}

async fn resource(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    take(shared, Endpoint::Resource, Dialect::Rfc6749, request).await
}

async fn take(
    shared: Arc<Shared>,
    endpoint: Endpoint,
    dialect: Dialect,
    request: Request,
) -> Response {
    let call = Call::read(&shared.base_url, endpoint, dialect, request).await;
    exchange(shared, call).await
}

/// Whatever a provider of the catalogue is asked.
async fn played(
    State(shared): State<Arc<Shared>>,
    Path((name, _)): Path<(String, String)>,
    request: Request,
) -> Response {
    let nothing = || StatusCode::NOT_FOUND.into_response();
    let Some(entry) = dialect::find(shared.catalogue(), &name) else {
        return nothing();
    };
    let path = request.uri().path().to_owned();
    let segment = path.rsplit('/').next().unwrap_or_default();
    if segment == "authorize" {
        return authorize::played(shared, &entry, request).await;
    }
    let call = dialect::read(entry, segment, &shared.base_url, request).await;
    match call {
        Some(call) => exchange(shared, call).await,
        None => nothing(),
    }
}
