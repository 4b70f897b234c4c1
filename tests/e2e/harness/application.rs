//! An application with a callback of its own, and an OAuth server's token endpoint with a stranger in between.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::net::TcpListener;

use super::background::background;
use super::http;

/// An application whose users come back to [`redirect_uri`](Self::redirect_uri).
pub struct Application {
    address: String,
    arrivals: Arc<Mutex<Vec<String>>>,
}

/// What a user brought back.
#[derive(Debug, Clone, Default)]
pub struct Brought {
    pub state: String,
    pub code: String,
    pub error: String,
    pub error_description: String,
    pub iss: String,
}

impl Application {
    pub async fn start() -> Result<Self> {
        let arrivals: Arc<Mutex<Vec<String>>> = Arc::default();
        let router = Router::new()
            .route("/app", get(arrive))
            .with_state(arrivals.clone());
        Ok(Self {
            address: serve(router).await?,
            arrivals,
        })
    }

    pub fn redirect_uri(&self) -> String {
        format!("http://{}/app", self.address)
    }

    /// What the last user brought.
    pub fn brought(&self) -> Result<Brought> {
        let arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        let query = arrivals.last().context("nobody came back")?;
        let url = reqwest::Url::parse(&format!("http://app.example/?{query}"))?;
        let mut brought = Brought::default();
        for (name, value) in url.query_pairs() {
            let field = match &*name {
                "state" => &mut brought.state,
                "code" => &mut brought.code,
                "error" => &mut brought.error,
                "error_description" => &mut brought.error_description,
                "iss" => &mut brought.iss,
                _ => continue,
            };
            *field = value.into_owned();
        }
        Ok(brought)
    }
}

async fn arrive(
    State(arrivals): State<Arc<Mutex<Vec<String>>>>,
    RawQuery(query): RawQuery,
) -> &'static str {
    let query = query.unwrap_or_default();
    arrivals
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(query);
    "back at the application"
}

/// A token endpoint that passes everything on to another, and changes what comes back.
pub struct Stranger {
    address: String,
}

struct Between {
    token_url: String,
    change: fn(&str) -> String,
    asked_for_keys: AtomicBool,
}

impl Stranger {
    /// Stands before `token_url` and changes each answer's text.
    pub async fn before(token_url: String, change: fn(&str) -> String) -> Result<Self> {
        let between = Arc::new(Between {
            token_url,
            change,
            asked_for_keys: AtomicBool::new(false),
        });
        let router = Router::new()
            .route("/token", post(pass_on))
            .route("/jwks", get(async || "{\"keys\":[]}"))
            .route("/late/jwks", get(late_keys))
            .with_state(between);
        Ok(Self {
            address: serve(router).await?,
        })
    }

    pub fn token_url(&self) -> String {
        format!("http://{}/token", self.address)
    }

    /// The key set of whom it stands before. The first who asks for it is turned away.
    pub fn late_jwks_url(&self) -> String {
        format!("http://{}/late/jwks", self.address)
    }

    /// A key set without keys.
    pub fn jwks_url(&self) -> String {
        format!("http://{}/jwks", self.address)
    }
}

/// The true keys, but to whoever asks first.
async fn late_keys(State(between): State<Arc<Between>>) -> Response {
    if !between.asked_for_keys.swap(true, Ordering::Relaxed) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let url = between.token_url.replace("/token", "/jwks");
    let answer = async { http::client().get(url).send().await?.text().await };
    match answer.await {
        Ok(keys) => keys.into_response(),
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}

async fn pass_on(State(between): State<Arc<Between>>, form: Bytes) -> Response {
    let asked = http::client()
        .post(&between.token_url)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(form);
    let answer = async { asked.send().await?.text().await };
    match answer.await {
        Ok(text) => {
            let json = [(header::CONTENT_TYPE, "application/json")];
            (json, (between.change)(&text)).into_response()
        }
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}

/// Serves until the test's runtime ends, and answers where.
async fn serve(router: Router) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    background(async move {
        if let Err(error) = axum::serve(listener, router).await {
            eprintln!("a server of the tests failed: {error}");
        }
    });
    Ok(address)
}
