//! The sandbox's page for users of devices: here they enter the code that their device shows (RFC 8628 section 3.3).

use std::sync::Arc;

use axum::extract::{Form, Query, State};
use axum::response::{Html, IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use tokio::time::Instant;

use super::page::{BUTTONS, HEAD, escaped, items};
use super::state::Shared;

#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    user_code: String,
}

#[derive(Deserialize)]
pub(super) struct Decided {
    user_code: String,
    decision: String,
}

/// `GET /device`, with or without `?user_code=…`
pub(super) async fn ask(
    State(shared): State<Arc<Shared>>,
    Query(Asked { user_code }): Query<Asked>,
) -> Response {
    let state = shared.state();
    let Some((client, scopes)) = state.devices.waiting(&user_code, Instant::now()) else {
        let why = match user_code.as_str() {
            "" => "",
            _ => "<p>No device waits with that code.</p>",
        };
        return Html(enter(why)).into_response();
    };
    Html(format!(
        "{HEAD}<h1>Sandbox provider</h1><p>A device of the client <b>{}</b> that shows <b>{}</b> asks for</p><ul>{}</ul>\
         <form method=\"post\" action=\"device\">\
         <input type=\"hidden\" name=\"user_code\" value=\"{}\">{BUTTONS}</form>",
        escaped(client),
        escaped(&user_code),
        items(scopes),
        escaped(&user_code),
    ))
    .into_response()
}

/// `POST /device`: the decision.
pub(super) async fn decide(
    State(shared): State<Arc<Shared>>,
    Form(decided): Form<Decided>,
) -> Response {
    let approved = match decided.decision.as_str() {
        "approve" => true,
        "deny" => false,
        _ => return wrong("The decision must be approve or deny."),
    };
    let now = Instant::now();
    if !shared
        .state()
        .devices
        .decide(&decided.user_code, approved, now)
    {
        return wrong("No device waits with that code.");
    }
    Html(format!(
        "{HEAD}<h1>Sandbox provider</h1><p>Done. The device goes on by itself.</p>"
    ))
    .into_response()
}

fn enter(why: &str) -> String {
    format!(
        "{HEAD}<h1>Sandbox provider</h1>{why}<form method=\"get\" action=\"device\">\
         <p><label>The code that the device shows: <input name=\"user_code\" autofocus></label></p>\
         <button>Go on</button></form>"
    )
}

fn wrong(why: &str) -> Response {
    let body = format!("{HEAD}<h1>This cannot be done</h1><p>{}</p>", escaped(why));
    (StatusCode::BAD_REQUEST, Html(body)).into_response()
}
