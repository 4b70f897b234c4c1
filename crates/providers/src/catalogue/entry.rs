//! What the catalogue knows of one provider: the meaning of every key of an entry.

use std::collections::BTreeMap;
use std::time::Duration;

use evergrant_core::grant::GrantType;
use evergrant_core::ids::ProviderName;
use evergrant_core::provider::Rotation;
use http::{HeaderName, HeaderValue};
use serde_json::Value;

use super::template::{HostPattern, Template, UrlTemplate};
use crate::classify::Meaning;

/// A provider. Keys without a table of their own:
///
/// `name`, `token_url`, `refresh_url`, `authorize_url`, `revoke_url`, `allowed_hosts`, `sources`,
/// `grant_types`, `renewable`, `flaky_refusals`.
#[derive(Debug, Clone)]
pub struct Entry {
    /// `name`: how credentials and clients refer to it.
    pub name: ProviderName,
    /// `token_url`: the token endpoint (RFC 6749 section 3.2).
    pub token_url: UrlTemplate,
    /// `refresh_url`: where refresh tokens are redeemed, if not at `token_url`.
    pub refresh_url: Option<UrlTemplate>,
    /// `authorize_url`: where a user consents (RFC 6749 section 3.1).
    pub authorize_url: Option<UrlTemplate>,
    /// `[authorize_parameters]`: what to add to it, e.g. `access_type = "offline"`.
    pub authorize_parameters: BTreeMap<String, Template>,
    /// `revoke_url`: where tokens are revoked (RFC 7009).
    pub revoke_url: Option<UrlTemplate>,
    /// `allowed_hosts`: where a URL may lead whose host has a placeholder.
    pub allowed_hosts: Vec<HostPattern>,
    /// `[placeholders]`: values for placeholders that neither a grant's metadata nor the client's parameters
    /// fill.
    pub placeholders: BTreeMap<String, String>,
    /// `sources`: where the facts of the entry are from.
    pub sources: Vec<String>,
    /// `grant_types`: `authorization_code`, `static`; both unless it says otherwise.
    pub grant_types: Vec<GrantType>,
    /// `renewable`: `false` if the provider never redeems refresh tokens.
    pub renewable: bool,
    /// `flaky_refusals`: whether it is known to refuse good refresh tokens now and then.
    pub flaky_refusals: bool,
    /// `[request]`
    pub request: RequestFacts,
    /// `[response]`
    pub response: ResponseFacts,
    /// `[errors]`: code → `grant`, `client`, `request`, `transient` or `rate_limit`, or a table
    /// `{ verdict, reason, try_next_secret }`. It comes before the table of RFC 6749.
    pub errors: BTreeMap<String, Meaning>,
    /// `[uncoded]`: HTTP status 400 to 499 → the same words, for providers whose refusals carry no code.
    pub uncoded: BTreeMap<u16, Meaning>,
    /// `[rotation]`: `mode` is `none`, `rotates`, `single_use` or `grace`; with `grace`, `grace` says how long.
    pub rotation: Rotation,
    /// `[lifetime]`
    pub lifetime: Lifetime,
    /// `[token]`
    pub token: TokenUse,
}

/// `[request]`: how a refresh is asked for.
#[derive(Debug, Clone)]
pub struct RequestFacts {
    /// `method`: `POST` or `GET`.
    pub method: Method,
    /// `body`: `form`, `json` or `query`.
    pub body: BodyFormat,
    /// `client_auth`: see [`ClientAuth`].
    pub client_auth: ClientAuth,
    /// `grant_type`: value of that parameter; `refresh_token` unless it says otherwise.
    pub grant_type: String,
    /// `[request.names]`: other names for `grant_type`, `refresh_token`, `client_id`, `client_secret`.
    pub names: BTreeMap<Parameter, String>,
    /// `omit`: those of the four that are not sent.
    pub omit: Vec<Parameter>,
    /// `[request.parameters]`: what to send besides. Values may hold placeholders.
    pub parameters: BTreeMap<String, Template>,
    /// `[request.headers]`: headers to send. Values may hold placeholders; `Accept` and `User-Agent` replace
    /// ours.
    pub headers: Vec<(HeaderName, Template)>,
}

/// HTTP method of a token request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// As RFC 6749 section 3.2 demands.
    Post,
    /// As some providers do nevertheless.
    Get,
}

/// Where the parameters of a token request stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFormat {
    /// `application/x-www-form-urlencoded`
    Form,
    /// A JSON object of strings.
    Json,
    /// The query of the URL. Such a URL is a secret.
    Query,
}

/// How a request proves which client sends it (RFC 6749 section 2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// Id and secret are parameters.
    Body,
    /// HTTP Basic; id and secret are form-encoded first, as RFC 6749 section 2.3.1 demands.
    Basic,
    /// HTTP Basic of id and secret as they are, for providers that do not decode them.
    BasicRaw,
    /// A public client: its id is a parameter.
    None,
    /// The refresh token is sent as a bearer token, the id as a parameter.
    BearerRefreshToken,
}

impl ClientAuth {
    /// Whether a client without a secret is half a configuration.
    pub fn needs_secret(self) -> bool {
        match self {
            Self::Body | Self::Basic | Self::BasicRaw => true,
            Self::None | Self::BearerRefreshToken => false,
        }
    }
}

/// A parameter of a refresh that every provider knows, if by other names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Parameter {
    /// `grant_type`
    GrantType,
    /// `refresh_token`
    RefreshToken,
    /// `client_id`
    ClientId,
    /// `client_secret`
    ClientSecret,
}

impl Parameter {
    /// All of them by their names in RFC 6749.
    pub(crate) const BY_NAME: [(&'static str, Self); 4] = [
        ("grant_type", Self::GrantType),
        ("refresh_token", Self::RefreshToken),
        ("client_id", Self::ClientId),
        ("client_secret", Self::ClientSecret),
    ];
}

/// `[response]`: where things stand in an answer. Each is a list of JSON pointers (RFC 6901), of which the
/// first that leads to a usable value counts; a form-encoded answer is read as an object of strings.
#[derive(Debug, Clone)]
pub struct ResponseFacts {
    /// `access_token`
    pub access_token: Pointers,
    /// `refresh_token`
    pub refresh_token: Pointers,
    /// `token_type`; with an empty list, always `Bearer`.
    pub token_type: Pointers,
    /// `scope`: a text or a list of texts.
    pub scope: Pointers,
    /// `expires_in`: seconds until the access token ends.
    pub expires_in: Pointers,
    /// `expires_at`: when it ends; seconds or milliseconds since the epoch, or RFC 3339.
    pub expires_at: Pointers,
    /// `refresh_expires_in`: seconds until the refresh token ends.
    pub refresh_expires_in: Pointers,
    /// `refresh_expires_at`: when it ends.
    pub refresh_expires_at: Pointers,
    /// `error`: the error code, a short text or a number other than 0.
    pub error: Pointers,
    /// `error_description`: prose about the error, for people alone.
    pub error_description: Pointers,
    /// `[response.metadata]`: facts to keep with the grant, by the name that placeholders use.
    pub metadata: BTreeMap<String, Pointers>,
    /// `failure`: what marks an answer as a failure in spite of HTTP 200.
    pub failure: Vec<FailureRule>,
}

/// JSON pointers, in the order in which they are tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointers(pub Vec<String>);

impl Pointers {
    /// The values that are there and not null.
    pub fn find<'v>(&'v self, answer: &'v Value) -> impl Iterator<Item = &'v Value> {
        self.0
            .iter()
            .filter_map(|pointer| answer.pointer(pointer))
            .filter(|value| !value.is_null())
    }
}

/// `{ pointer, equals }`, `{ pointer, differs_from }` or `{ pointer, present }`.
#[derive(Debug, Clone, PartialEq)]
pub struct FailureRule {
    /// Where to look.
    pub pointer: String,
    /// What is there in a failure.
    pub sign: FailureSign,
}

/// What marks a failure.
#[derive(Debug, Clone, PartialEq)]
pub enum FailureSign {
    /// This value, e.g. `ok` is `false`.
    Equals(Value),
    /// Any value but this one, e.g. `errcode` other than 0.
    DiffersFrom(Value),
    /// Anything but null.
    Present,
}

/// `[lifetime]`: how long tokens live when the answer does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lifetime {
    /// `access_token`
    pub access_token: Option<Duration>,
    /// `refresh_token`, from when it was issued.
    pub refresh_token: Option<Duration>,
}

/// `[token]`: how an access token is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenUse {
    /// `header`: the HTTP header, `Authorization` unless it says otherwise.
    pub header: String,
    /// `scheme`: what stands before the token, `Bearer` unless it says otherwise; may be empty.
    pub scheme: String,
}

/// Whether `text` may be the value of a header.
pub(super) fn is_header_value(text: &str) -> bool {
    HeaderValue::from_str(text).is_ok()
}
