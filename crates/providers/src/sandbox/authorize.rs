//! The sandbox's authorization endpoint: a page on which whoever looks at it may consent or not (RFC 6749 section 4.1.1).

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Form, Query, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use http::StatusCode;
use tokio::time::Instant;
use url::{Host, Url};

use super::codes::Consent;
use super::state::Shared;

type Parameters = BTreeMap<String, String>;

/// What a request asks a user, once it is clear where the answer goes.
struct Question {
    consent: Consent,
    redirect_uri: Url,
    state: Option<String>,
}

/// `GET /authorize`
pub(super) async fn ask(
    State(shared): State<Arc<Shared>>,
    Query(parameters): Query<Parameters>,
) -> Response {
    match read(&shared, &parameters) {
        Ok(question) => Html(page(&question.consent, &parameters)).into_response(),
        Err(response) => *response,
    }
}

/// `POST /authorize`: the decision, with the parameters of the question.
pub(super) async fn decide(
    State(shared): State<Arc<Shared>>,
    Form(parameters): Form<Parameters>,
) -> Response {
    let question = match read(&shared, &parameters) {
        Ok(question) => question,
        Err(response) => return *response,
    };
    let Question {
        consent,
        redirect_uri,
        state,
    } = question;
    match parameters.get("decision").map(String::as_str) {
        Some("approve") => {
            let code = shared.state().codes.issue(consent, Instant::now());
            go_back(redirect_uri, &[("code", &code)], state.as_deref())
        }
        Some("deny") => {
            let denied = [("error", "access_denied")];
            go_back(redirect_uri, &denied, state.as_deref())
        }
        _ => wrong("the decision must be approve or deny"),
    }
}

/// What is asked. What cannot be told to the client by way of its redirect URI is told to the user (RFC 6749 section
/// 4.1.2.1).
fn read(shared: &Shared, parameters: &Parameters) -> Result<Question, Box<Response>> {
    let given = |name: &str| {
        let value = parameters.get(name).map(String::as_str);
        value.filter(|value| !value.is_empty())
    };
    let client_id = given("client_id").unwrap_or_default();
    if !shared.state().clients.contains(client_id) {
        let why = "no client of this client_id is registered";
        return Err(Box::new(wrong(why)));
    }
    let redirect = given("redirect_uri").unwrap_or_default();
    let redirect_uri = Url::parse(redirect).ok().filter(is_destination);
    let redirect_uri = redirect_uri.ok_or_else(|| {
        let why = "the redirect_uri must be https, or http on this machine, without a fragment";
        Box::new(wrong(why))
    })?;
    let state = given("state").map(str::to_owned);
    let refuse = |code: &str, why: &str| {
        let error = [("error", code), ("error_description", why)];
        Box::new(go_back(redirect_uri.clone(), &error, state.as_deref()))
    };
    if given("response_type") != Some("code") {
        let why = "the response_type must be code";
        return Err(refuse("unsupported_response_type", why));
    }
    let method = given("code_challenge_method");
    let code_challenge = given("code_challenge");
    if code_challenge.is_some() && method != Some("S256") || method.is_some_and(|it| it != "S256") {
        return Err(refuse(
            "invalid_request",
            "the code_challenge_method must be S256",
        ));
    }
    let scopes = given("scope").unwrap_or("read write").split_whitespace();
    Ok(Question {
        consent: Consent {
            client_id: client_id.to_owned(),
            redirect_uri: redirect.to_owned(),
            scopes: scopes.map(str::to_owned).collect(),
            code_challenge: code_challenge.map(str::to_owned),
        },
        redirect_uri,
        state,
    })
}

fn is_destination(url: &Url) -> bool {
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.fragment().is_none() && (url.scheme() == "https" || url.scheme() == "http" && is_loopback)
}

fn go_back(mut redirect_uri: Url, answer: &[(&str, &str)], state: Option<&str>) -> Response {
    {
        let mut query = redirect_uri.query_pairs_mut();
        query.extend_pairs(answer);
        query.extend_pairs(state.map(|state| ("state", state)));
    }
    // The browser is to fetch what it is sent to, not to post again (RFC 9700 section 4.12).
    Redirect::to(redirect_uri.as_str()).into_response()
}

fn wrong(why: &str) -> Response {
    let body = format!("{HEAD}<h1>This cannot be asked</h1><p>{}</p>", escaped(why));
    (StatusCode::BAD_REQUEST, Html(body)).into_response()
}

const HEAD: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Sandbox provider</title>\
<style>body{font:16px/1.5 sans-serif;margin:4rem auto;max-width:32rem;padding:0 1rem}\
button{font:inherit;margin-right:1rem;padding:.5rem 1.5rem}</style>";

fn page(consent: &Consent, parameters: &Parameters) -> String {
    let scopes = consent.scopes.iter().map(|scope| escaped(scope));
    let scopes: Vec<String> = scopes.map(|scope| format!("<li>{scope}</li>")).collect();
    let hidden = parameters.iter().filter(|(name, _)| *name != "decision");
    let hidden: Vec<String> = hidden
        .map(|(name, value)| {
            let (name, value) = (escaped(name), escaped(value));
            format!("<input type=\"hidden\" name=\"{name}\" value=\"{value}\">")
        })
        .collect();
    format!(
        "{HEAD}<h1>Sandbox provider</h1><p>The client <b>{}</b> asks for</p><ul>{}</ul>\
         <form method=\"post\" action=\"authorize\">{}\
         <button name=\"decision\" value=\"approve\">Approve</button>\
         <button name=\"decision\" value=\"deny\">Deny</button></form>",
        escaped(&consent.client_id),
        scopes.concat(),
        hidden.concat(),
    )
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}
