//! The sandbox's authorization endpoint: a page on which whoever looks at it may consent or not (RFC 6749 section 4.1.1).

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Form, FromRequest, Query, Request, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use http::{Method, StatusCode};
use tokio::time::Instant;
use url::{Host, Url};

use super::codes::Consent;
use super::dialect;
use super::mode::GrantSpec;
use super::page::{BUTTONS, HEAD, escaped, items};
use super::state::Shared;
use crate::catalogue::Entry;

type Parameters = BTreeMap<String, String>;

/// What a request asks a user, once it is clear where the answer goes.
struct Question {
    consent: Consent,
    redirect_uri: Url,
    state: Option<String>,
}

/// How a provider is asked for a user's consent.
struct Manner<'a> {
    client_id: &'a str,
    redirect_uri: &'a str,
    /// Name of the parameter; empty if there is none.
    scope: &'a str,
    scope_separator: &'a str,
    /// Whether a code is redeemed with the redirect URI.
    repeats_redirect_uri: bool,
    /// What an approval grants.
    terms: GrantSpec,
}

impl Manner<'static> {
    /// As RFC 6749 has it.
    fn usual() -> Self {
        Self {
            client_id: "client_id",
            redirect_uri: "redirect_uri",
            scope: "scope",
            scope_separator: " ",
            repeats_redirect_uri: true,
            terms: GrantSpec::default(),
        }
    }
}

impl<'a> Manner<'a> {
    fn of(entry: &'a Entry) -> Self {
        let facts = &entry.authorize;
        Self {
            client_id: &facts.client_id,
            redirect_uri: &facts.redirect_uri,
            scope: &facts.scope,
            scope_separator: &facts.scope_separator,
            repeats_redirect_uri: dialect::repeats_redirect_uri(entry),
            terms: dialect::terms(entry),
        }
    }
}

/// `GET /authorize`
pub(super) async fn ask(
    State(shared): State<Arc<Shared>>,
    Query(parameters): Query<Parameters>,
) -> Response {
    asked(&shared, &Manner::usual(), &parameters)
}

/// `GET` and `POST /as/NAME/authorize`
pub(super) async fn played(shared: Arc<Shared>, entry: &Entry, request: Request) -> Response {
    let manner = Manner::of(entry);
    let is_decision = request.method() == Method::POST;
    // A form's extractor reads the query of a GET and the body of a POST.
    match Form::<Parameters>::from_request(request, &()).await {
        Ok(Form(parameters)) if is_decision => decided(&shared, &manner, &parameters),
        Ok(Form(parameters)) => asked(&shared, &manner, &parameters),
        Err(rejection) => rejection.into_response(),
    }
}

fn asked(shared: &Shared, manner: &Manner<'_>, parameters: &Parameters) -> Response {
    match read(shared, manner, parameters) {
        Ok(question) => Html(page(&question.consent, parameters)).into_response(),
        Err(response) => *response,
    }
}

/// `POST /authorize`: the decision, with the parameters of the question.
pub(super) async fn decide(
    State(shared): State<Arc<Shared>>,
    Form(parameters): Form<Parameters>,
) -> Response {
    decided(&shared, &Manner::usual(), &parameters)
}

fn decided(shared: &Shared, manner: &Manner<'_>, parameters: &Parameters) -> Response {
    let question = match read(shared, manner, parameters) {
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
fn read(
    shared: &Shared,
    manner: &Manner<'_>,
    parameters: &Parameters,
) -> Result<Question, Box<Response>> {
    let given = |name: &str| {
        let value = parameters.get(name).map(String::as_str);
        value.filter(|value| !value.is_empty())
    };
    let client_id = given(manner.client_id).unwrap_or_default();
    if !shared.state().clients.contains(client_id) {
        let why = "no client of this client_id is registered";
        return Err(Box::new(wrong(why)));
    }
    let redirect = given(manner.redirect_uri).unwrap_or_default();
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
    let mut spec = GrantSpec {
        client_id: client_id.to_owned(),
        ..manner.terms.clone()
    };
    if let Some(scopes) = given(manner.scope) {
        let scopes = scopes.replace(manner.scope_separator, " ");
        spec.scopes = scopes.split_whitespace().map(str::to_owned).collect();
    }
    Ok(Question {
        consent: Consent {
            spec,
            redirect_uri: manner.repeats_redirect_uri.then(|| redirect.to_owned()),
            code_challenge: code_challenge.map(str::to_owned),
            state: state.clone(),
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

fn page(consent: &Consent, parameters: &Parameters) -> String {
    let hidden = parameters.iter().filter(|(name, _)| *name != "decision");
    let hidden: Vec<String> = hidden
        .map(|(name, value)| {
            let (name, value) = (escaped(name), escaped(value));
            format!("<input type=\"hidden\" name=\"{name}\" value=\"{value}\">")
        })
        .collect();
    format!(
        "{HEAD}<h1>Sandbox provider</h1><p>The client <b>{}</b> asks for</p><ul>{}</ul>\
         <form method=\"post\" action=\"authorize\">{}{BUTTONS}</form>",
        escaped(&consent.spec.client_id),
        items(&consent.spec.scopes),
        hidden.concat(),
    )
}
