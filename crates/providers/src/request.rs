//! From a catalogue entry and a grant to an HTTP request.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method as HttpMethod};
use thiserror::Error;
use url::Url;
use url::form_urlencoded::byte_serialize;

use crate::catalogue::{BodyFormat, ClientAuth, Entry, Method, Parameter, Template, TemplateError};

/// A request that is ready to be sent. It holds secrets, so it cannot be printed.
pub(crate) struct TokenRequest {
    pub(crate) method: HttpMethod,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<String>,
}

/// What a refresh is made of besides the catalogue entry.
#[derive(Clone, Copy)]
pub(crate) struct Ingredients<'a> {
    pub(crate) client_id: &'a str,
    /// Empty for a public client.
    pub(crate) client_secret: &'a str,
    pub(crate) refresh_token: &'a str,
    pub(crate) redirect_uri: Option<&'a str>,
    /// The grant's metadata.
    pub(crate) metadata: &'a BTreeMap<String, String>,
    /// The client's own parameters.
    pub(crate) parameters: &'a BTreeMap<String, String>,
}

/// A grant cannot be expressed as a request to its provider. Names the field of the entry, and no value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Inexpressible {
    /// A template cannot be filled.
    #[error("{field} {error}")]
    Template { field: String, error: TemplateError },
    /// What proves the client does not fit into a header, e.g. a refresh token with a control character.
    #[error("request.client_auth makes a header of a value that does not fit there")]
    Authorization,
}

/// The request that redeems a refresh token (RFC 6749 section 6).
pub(crate) fn refresh(
    entry: &Entry,
    ingredients: Ingredients<'_>,
) -> Result<TokenRequest, Inexpressible> {
    let lookup = |name: &str| ingredients.placeholder(entry, name);
    let (field, template) = match &entry.refresh_url {
        Some(url) => ("refresh_url", url),
        None => ("token_url", &entry.token_url),
    };
    let mut url = template
        .fill(lookup, &entry.allowed_hosts)
        .map_err(|error| inexpressible(field.to_owned(), error))?;

    let mut headers = headers(entry, &lookup)?;
    if let Some(authorization) = authorization(entry.request.client_auth, ingredients)? {
        headers.insert(AUTHORIZATION, authorization);
    }
    let parameters = parameters(entry, ingredients, &lookup)?;
    let body = match entry.request.body {
        BodyFormat::Form => {
            headers
                .entry(CONTENT_TYPE)
                .or_insert(HeaderValue::from_static(
                    "application/x-www-form-urlencoded",
                ));
            Some(
                serde_urlencoded::to_string(&parameters).expect("pairs of texts are always a form"),
            )
        }
        BodyFormat::Json => {
            headers
                .entry(CONTENT_TYPE)
                .or_insert(HeaderValue::from_static("application/json"));
            let object: serde_json::Map<_, _> = parameters
                .into_iter()
                .map(|(name, value)| (name, value.into()))
                .collect();
            Some(serde_json::Value::Object(object).to_string())
        }
        BodyFormat::Query => {
            url.query_pairs_mut().extend_pairs(&parameters);
            None
        }
    };
    let method = match entry.request.method {
        Method::Post => HttpMethod::POST,
        Method::Get => HttpMethod::GET,
    };
    Ok(TokenRequest {
        method,
        url,
        headers,
        body,
    })
}

impl<'a> Ingredients<'a> {
    /// What a placeholder stands for: facts of the client first, so that no metadata can replace them, then
    /// the grant's metadata, the client's parameters, and the entry's own values.
    fn placeholder<'v>(self, entry: &'v Entry, name: &str) -> Option<&'v str>
    where
        'a: 'v,
    {
        match name {
            "client_id" => Some(self.client_id),
            "redirect_uri" => self.redirect_uri,
            _ => [self.metadata, self.parameters, &entry.placeholders]
                .into_iter()
                .find_map(|values| values.get(name))
                .map(String::as_str),
        }
    }
}

fn headers<'v>(
    entry: &Entry,
    lookup: &impl Fn(&str) -> Option<&'v str>,
) -> Result<HeaderMap, Inexpressible> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(
        USER_AGENT,
        HeaderValue::from_static(crate::client::USER_AGENT),
    );
    for (name, template) in &entry.request.headers {
        let field = || format!("request.headers.{name}");
        let value = fill(template, lookup, field)?;
        let value = HeaderValue::try_from(value).map_err(|_| {
            let placeholder = template.placeholders().next().unwrap_or_default();
            inexpressible(field(), TemplateError::BadValue(placeholder.to_owned()))
        })?;
        headers.insert(name, value);
    }
    Ok(headers)
}

/// `None` where the client proves itself otherwise. A request without the header that it needs is never sent.
fn authorization(
    auth: ClientAuth,
    ingredients: Ingredients<'_>,
) -> Result<Option<HeaderValue>, Inexpressible> {
    let Ingredients {
        client_id,
        client_secret,
        refresh_token,
        ..
    } = ingredients;
    let value = match auth {
        ClientAuth::Basic => basic(&form_encode(client_id), &form_encode(client_secret)),
        ClientAuth::BasicRaw => basic(client_id, client_secret),
        ClientAuth::BearerRefreshToken => format!("Bearer {refresh_token}"),
        ClientAuth::Body | ClientAuth::None => return Ok(None),
    };
    let mut value = HeaderValue::try_from(value).map_err(|_| Inexpressible::Authorization)?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", BASE64.encode(format!("{id}:{secret}")))
}

fn form_encode(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}

fn parameters<'v>(
    entry: &Entry,
    ingredients: Ingredients<'_>,
    lookup: &impl Fn(&str) -> Option<&'v str>,
) -> Result<Vec<(String, String)>, Inexpressible> {
    use Parameter::{ClientId, ClientSecret, GrantType, RefreshToken};
    let request = &entry.request;
    let sent: &[Parameter] = match request.client_auth {
        ClientAuth::Body => &[GrantType, RefreshToken, ClientId, ClientSecret],
        ClientAuth::Basic | ClientAuth::BasicRaw => &[GrantType, RefreshToken],
        ClientAuth::None => &[GrantType, RefreshToken, ClientId],
        ClientAuth::BearerRefreshToken => &[GrantType, ClientId],
    };
    let mut pairs = Vec::new();
    for (usual_name, parameter) in Parameter::BY_NAME {
        if !sent.contains(&parameter) || request.omit.contains(&parameter) {
            continue;
        }
        let name = request
            .names
            .get(&parameter)
            .map_or(usual_name, String::as_str);
        let value = match parameter {
            GrantType => &request.grant_type,
            RefreshToken => ingredients.refresh_token,
            ClientId => ingredients.client_id,
            ClientSecret => ingredients.client_secret,
        };
        pairs.push((name.to_owned(), value.to_owned()));
    }
    for (name, template) in &request.parameters {
        let value = fill(template, lookup, || format!("request.parameters.{name}"))?;
        pairs.push((name.clone(), value));
    }
    Ok(pairs)
}

fn fill<'v>(
    template: &Template,
    lookup: &impl Fn(&str) -> Option<&'v str>,
    field: impl FnOnce() -> String,
) -> Result<String, Inexpressible> {
    template
        .fill(lookup)
        .map_err(|error| inexpressible(field(), error))
}

fn inexpressible(field: String, error: TemplateError) -> Inexpressible {
    Inexpressible::Template { field, error }
}

#[cfg(test)]
mod tests;
