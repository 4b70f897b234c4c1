//! A token endpoint that mints, for every request a new token, and takes tokens back, unless it was told to refuse.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::background::background;

/// The name of the issuer in the catalogue of replicas.
pub const ISSUER: &str = "issuer";

/// A running issuer. It ends when dropped.
pub struct Issuer {
    address: SocketAddr,
    state: Arc<Mutex<Minted>>,
    server: JoinHandle<()>,
}

/// The form of a request.
pub type Fields = BTreeMap<String, String>;

#[derive(Default)]
struct Minted {
    requests: Vec<Fields>,
    refusals: HashMap<String, &'static str>,
    revoked: Vec<String>,
}

impl Issuer {
    /// Starts one on a free port. Each answer takes a moment, so that requests that come together would overlap.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::<Mutex<Minted>>::default();
        let router = Router::new()
            .route("/token", post(answer))
            .route("/revoke", post(take_back))
            .with_state(Arc::clone(&state));
        let server = background(async move {
            axum::serve(listener, router)
                .await
                .expect("a listener that was bound serves");
        });
        Ok(Self {
            address,
            state,
            server,
        })
    }

    /// Its catalogue entry.
    pub fn entry(&self) -> String {
        format!(
            r#"
            name = "{ISSUER}"
            token_url = "http://{address}/token"
            revoke_url = "http://{address}/revoke"
            sources = ["https://issuer.example"]
            grant_types = ["client_credentials", "jwt_bearer", "token_exchange"]
            [grants.client_credentials.parameters]
            account_id = "{{account_id?}}"
            [assertion]
            algorithm = "ES256"
            subject = "{{subject?}}"
            "#,
            address = self.address
        )
    }

    /// Whoever sends a value in `refusals` is refused with its error code from now on.
    pub fn refuse(&self, refusals: &[(&str, &'static str)]) {
        let refusals = refusals.iter();
        self.minted().refusals = refusals
            .map(|(value, code)| ((*value).to_owned(), *code))
            .collect();
    }

    /// The forms of all requests so far.
    pub fn requests(&self) -> Vec<Fields> {
        self.minted().requests.clone()
    }

    /// The tokens that were taken back, in order.
    pub fn revoked(&self) -> Vec<String> {
        self.minted().revoked.clone()
    }

    fn minted(&self) -> MutexGuard<'_, Minted> {
        lock(&self.state)
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn lock(state: &Mutex<Minted>) -> MutexGuard<'_, Minted> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(
    State(state): State<Arc<Mutex<Minted>>>,
    Form(fields): Form<Fields>,
) -> (StatusCode, Json<Value>) {
    let (number, refusal) = {
        let mut minted = lock(&state);
        minted.requests.push(fields.clone());
        let refusal = fields.values().find_map(|value| minted.refusals.get(value));
        (minted.requests.len(), refusal.copied())
    };
    tokio::time::sleep(Duration::from_millis(200)).await;
    match refusal {
        Some(code) => (StatusCode::BAD_REQUEST, Json(json!({ "error": code }))),
        None => {
            let token = json!({
                "access_token": format!("minted-{number}"),
                "token_type": "Bearer",
                "expires_in": 3_600,
            });
            (StatusCode::OK, Json(token))
        }
    }
}

async fn take_back(
    State(state): State<Arc<Mutex<Minted>>>,
    Form(fields): Form<Fields>,
) -> (StatusCode, Json<Value>) {
    let mut minted = lock(&state);
    let refusal = fields.values().find_map(|value| minted.refusals.get(value));
    if let Some(code) = refusal {
        let refusal = Json(json!({ "error": code }));
        return (StatusCode::SERVICE_UNAVAILABLE, refusal);
    }
    minted.revoked.extend(fields.get("token").cloned());
    (StatusCode::OK, Json(json!({})))
}
