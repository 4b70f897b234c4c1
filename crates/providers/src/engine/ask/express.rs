//! From a question and the client that asks it to a request.

use evergrant_core::clock::Timestamp;
use secrecy::ExposeSecret;
use url::Url;

use super::Ask;
use crate::assertion::{self, SigningKey};
use crate::catalogue::{ClientAuth, Entry, Parameter};
use crate::engine::OAuthClient;
use crate::engine::client::Client;
use crate::placeholders::Placeholders;
use crate::request::{self, ClientProof, Content, Inexpressible, TokenRequest};

/// `signed_at`: when assertions for an endpoint are to have been made.
pub(in crate::engine) fn express(
    client: &Client,
    ask: &Ask<'_>,
    client_secret: &str,
    signed_at: impl Fn(&Url) -> Timestamp,
) -> Result<TokenRequest, Inexpressible> {
    let Client { config, entry, .. } = client;
    let scopes = ask.scopes.join(&ask.request.scope_separator);
    let key = signing_key(ask, config);
    let jti = assertion::random_id();
    let words = Words {
        client_id: ask.own.client_id.unwrap_or(&config.client_id),
        scopes: &scopes,
        jti: &jti,
        key: key.as_ref(),
    };
    let in_url = placeholders(ask, config, entry, &words);
    let url = request::url(entry, &ask.url, &in_url)?;
    let address = url.to_string();
    // A URL is no place for a state, so that `{state}` there is somebody's own.
    let mut placeholders = Placeholders::default();
    if let Some(state) = ask.state {
        placeholders.add("state", state);
    }
    placeholders.add_from(&in_url);
    placeholders.add("token_url", &address);
    let now = signed_at(&url);

    let mut values = ask.values.clone();
    if ask.sends_scopes && !scopes.is_empty() {
        values.push((Parameter::Scope, &scopes));
    }
    let sign = |table, facts| assertion::sign(table, facts, key.as_ref(), &placeholders, now);
    let assertion = ask.assertion.map(|facts| sign("assertion", facts));
    let assertion = assertion.transpose()?;
    if let Some(assertion) = &assertion {
        values.push((Parameter::Assertion, assertion));
    }
    let client_assertion = match ask.request.client_auth {
        ClientAuth::PrivateKeyJwt => Some(sign("client_assertion", &entry.client_assertion)?),
        _ => None,
    };
    let content = Content {
        client: ClientProof {
            id: words.client_id,
            secret: client_secret,
            assertion: client_assertion.as_deref(),
        },
        values: &values,
        bearer: ask.bearer,
        placeholders: &placeholders,
    };
    let guarded = ask.url.value.has_open_host();
    request::build(ask.request, url, guarded, content)
}

/// The grant's own key, else the client's.
fn signing_key(ask: &Ask<'_>, config: &OAuthClient) -> Option<SigningKey> {
    let of_client = config.private_key.as_ref().map(ExposeSecret::expose_secret);
    ask.own.signing_key.or(of_client).map(SigningKey::read)
}

/// What is worked out for one request.
struct Words<'a> {
    client_id: &'a str,
    scopes: &'a str,
    jti: &'a str,
    key: Option<&'a SigningKey>,
}

/// Facts of the request and its client first, so that nothing that a grant brings can replace them; then the grant's,
/// those of its key file, the client's parameters, and the entry's own values.
fn placeholders<'a>(
    ask: &Ask<'a>,
    config: &'a OAuthClient,
    entry: &'a Entry,
    words: &Words<'a>,
) -> Placeholders<'a> {
    let mut placeholders = Placeholders::default();
    placeholders.add("client_id", words.client_id);
    let mut sent = ask.values.iter();
    let sent_redirect = sent.find(|(known, _)| *known == Parameter::RedirectUri);
    let usual_redirect = config.redirect_uris.first().map(String::as_str);
    if let Some(uri) = sent_redirect.map(|(_, uri)| *uri).or(usual_redirect) {
        placeholders.add("redirect_uri", uri);
    }
    if !words.scopes.is_empty() {
        placeholders.add("scopes", words.scopes);
    }
    placeholders.add("jti", words.jti);
    placeholders.add_from(&ask.placeholders);
    if let Some(key) = words.key {
        placeholders.add_all(key.fields());
    }
    if ask.own.signing_key.is_none()
        && let Some(key_id) = &config.key_id
    {
        placeholders.add("key_id", key_id);
    }
    if let Some(key_id) = placeholders.get("private_key_id") {
        placeholders.add("key_id", key_id);
    }
    placeholders.add_all(&config.parameters);
    placeholders.add_all(&entry.placeholders);
    placeholders
}
