//! From a catalogue entry and the values at hand to an HTTP request.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method as HttpMethod};
use thiserror::Error;
use url::Url;
use url::form_urlencoded::byte_serialize;

use crate::catalogue::{
    BodyFormat, ClientAuth, Entry, Fact, Method, Parameter, RequestFacts, Template, TemplateError,
    UrlTemplate,
};
use crate::placeholders::Placeholders;

/// The value of `client_assertion_type` (RFC 7523 section 2.2).
const JWT_BEARER_ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A request that is ready to be sent. It holds secrets, so it cannot be printed.
pub(crate) struct TokenRequest {
    pub(crate) method: HttpMethod,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<String>,
    /// Whether a credential decides which host it goes to.
    pub(crate) guarded: bool,
}

/// What a request is made of besides the catalogue's facts.
#[derive(Clone, Copy)]
pub(crate) struct Content<'a> {
    pub(crate) client: ClientProof<'a>,
    /// Standard parameters, those of the client aside.
    pub(crate) values: &'a [(Parameter, &'a str)],
    /// The token that a bearer header carries, where the client proves itself with one.
    pub(crate) bearer: &'a str,
    pub(crate) placeholders: &'a Placeholders<'a>,
}

/// Which client sends a request, and what proves it.
#[derive(Clone, Copy)]
pub(crate) struct ClientProof<'a> {
    pub(crate) id: &'a str,
    /// Empty for a public client.
    pub(crate) secret: &'a str,
    /// What is signed with the client's key, where it has one.
    pub(crate) assertion: Option<&'a str>,
}

/// Something cannot be expressed as a request to its provider. Names the field of the entry, and no value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Inexpressible {
    /// A template cannot be filled.
    #[error("{field} {error}")]
    Template { field: String, error: TemplateError },
    /// What proves the client does not fit into a header, e.g. a refresh token with a control character.
    #[error("request.client_auth makes a header of a value that does not fit there")]
    Authorization,
    /// Neither the client nor the grant has a secret.
    #[error("request.client_auth needs a client_secret, and there is none")]
    NoSecret,
    /// Nothing can be signed.
    #[error("{field} {why}")]
    Signature { field: &'static str, why: String },
}

/// The URL of a request.
pub(crate) fn url(
    entry: &Entry,
    template: &Fact<&UrlTemplate>,
    placeholders: &Placeholders<'_>,
) -> Result<Url, Inexpressible> {
    template
        .value
        .fill(|name| placeholders.get(name), &entry.allowed_hosts)
        .map_err(|error| inexpressible(&template.field, error))
}

/// The request to `url` that has this content. It is guarded if a credential decides which host that is.
pub(crate) fn build(
    facts: &RequestFacts,
    mut url: Url,
    guarded: bool,
    content: Content<'_>,
) -> Result<TokenRequest, Inexpressible> {
    let mut headers = headers(facts, content.placeholders)?;
    if let Some(authorization) = authorization(facts.client_auth, content)? {
        headers.insert(AUTHORIZATION, authorization);
    }
    let parameters = parameters(facts, content)?;
    let body = match facts.body {
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
            if !parameters.is_empty() {
                url.query_pairs_mut().extend_pairs(&parameters);
            }
            None
        }
    };
    let method = match facts.method {
        Method::Post => HttpMethod::POST,
        Method::Get => HttpMethod::GET,
        Method::Delete => HttpMethod::DELETE,
    };
    Ok(TokenRequest {
        method,
        url,
        headers,
        body,
        guarded,
    })
}

fn headers(
    facts: &RequestFacts,
    placeholders: &Placeholders<'_>,
) -> Result<HeaderMap, Inexpressible> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    // Without it a server may compress (RFC 9110 section 12.5.3), and what is compressed is not unpacked.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(
        USER_AGENT,
        HeaderValue::from_static(crate::client::USER_AGENT),
    );
    for (name, template) in &facts.headers {
        let Some(value) = fill(template, placeholders)? else {
            continue;
        };
        let value = HeaderValue::try_from(value).map_err(|_| {
            let placeholder = template.value.placeholders().next().unwrap_or_default();
            let error = TemplateError::BadValue(placeholder.to_owned());
            inexpressible(&template.field, error)
        })?;
        headers.insert(name, value);
    }
    Ok(headers)
}

/// `None` where the client proves itself otherwise. A request without the header that it needs is never sent.
fn authorization(
    auth: ClientAuth,
    content: Content<'_>,
) -> Result<Option<HeaderValue>, Inexpressible> {
    let ClientProof { id, secret, .. } = content.client;
    let value = match auth {
        ClientAuth::Basic | ClientAuth::BasicRaw if secret.is_empty() => {
            return Err(Inexpressible::NoSecret);
        }
        ClientAuth::Basic => basic(&form_encode(id), &form_encode(secret)),
        ClientAuth::BasicRaw => basic(id, secret),
        ClientAuth::BearerRefreshToken | ClientAuth::BearerAccessToken => {
            format!("Bearer {}", content.bearer)
        }
        ClientAuth::Body | ClientAuth::None | ClientAuth::PrivateKeyJwt => return Ok(None),
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

fn parameters(
    facts: &RequestFacts,
    content: Content<'_>,
) -> Result<Vec<(String, String)>, Inexpressible> {
    let mut pairs = Vec::new();
    for (_, parameter) in Parameter::BY_NAME {
        if facts.omit.contains(parameter) {
            continue;
        }
        if let Some(value) = value(*parameter, facts.client_auth, content)? {
            pairs.push((facts.name_of(*parameter).to_owned(), value.to_owned()));
        }
    }
    for (name, template) in &facts.parameters {
        // Scopes that were asked for stand in for those of the entry.
        if pairs.iter().any(|(sent, _)| sent == name) {
            continue;
        }
        if let Some(value) = fill(template, content.placeholders)? {
            pairs.push((name.clone(), value));
        }
    }
    Ok(pairs)
}

/// The value of a standard parameter; `None` if it is not sent.
fn value<'a>(
    parameter: Parameter,
    auth: ClientAuth,
    content: Content<'a>,
) -> Result<Option<&'a str>, Inexpressible> {
    use ClientAuth::{BearerRefreshToken, Body, None as Public, PrivateKeyJwt};
    let client = content.client;
    Ok(match parameter {
        Parameter::ClientId
            if matches!(auth, Body | Public | BearerRefreshToken | PrivateKeyJwt) =>
        {
            Some(client.id)
        }
        Parameter::ClientSecret if auth == Body && client.secret.is_empty() => {
            return Err(Inexpressible::NoSecret);
        }
        Parameter::ClientSecret if auth == Body => Some(client.secret),
        Parameter::ClientAssertionType => client.assertion.map(|_| JWT_BEARER_ASSERTION),
        Parameter::ClientAssertion => client.assertion,
        Parameter::RefreshToken if auth == BearerRefreshToken => None,
        _ => content
            .values
            .iter()
            .find(|(known, _)| *known == parameter)
            .map(|(_, value)| *value),
    })
}

pub(crate) fn fill(
    template: &Fact<Template>,
    placeholders: &Placeholders<'_>,
) -> Result<Option<String>, Inexpressible> {
    template
        .value
        .fill(|name| placeholders.get(name))
        .map_err(|error| inexpressible(&template.field, error))
}

fn inexpressible(field: &str, error: TemplateError) -> Inexpressible {
    Inexpressible::Template {
        field: field.to_owned(),
        error,
    }
}
