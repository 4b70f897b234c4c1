//! Paths of the provider's own endpoints.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{get, post};

use super::authorize;
use super::call::Call;
use super::exchange::exchange;
use super::ledger::Endpoint;
use super::refusal::Dialect;
use super::state::Shared;

pub(super) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/authorize", get(authorize::ask).post(authorize::decide))
        .route("/token", post(token))
        .route("/slack/token", post(slack_token))
        .route("/revoke", post(revoke))
        .route("/introspect", post(introspect))
        .route("/resource", get(resource))
}

async fn token(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    exchange(
        shared,
        Call::read(Endpoint::Token, Dialect::Rfc6749, request).await,
    )
    .await
}

async fn slack_token(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    exchange(
        shared,
        Call::read(Endpoint::Token, Dialect::Slack, request).await,
    )
    .await
}

async fn revoke(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    exchange(
        shared,
        Call::read(Endpoint::Revoke, Dialect::Rfc6749, request).await,
    )
    .await
}

async fn introspect(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    exchange(
        shared,
        Call::read(Endpoint::Introspect, Dialect::Rfc6749, request).await,
    )
    .await
}

async fn resource(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    exchange(
        shared,
        Call::read(Endpoint::Resource, Dialect::Rfc6749, request).await,
    )
    .await
}
