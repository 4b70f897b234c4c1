//! `[request]`: how an endpoint is spoken to.

use std::collections::BTreeMap;

use http::HeaderName;

use super::super::template::{Fact, Template};
use super::response::ResponseFacts;

/// `[request]`: what holds for every request to the token endpoint, unless `[grants.X]` says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestFacts {
    /// `method`: `POST` or `GET`; for revocation also `DELETE`.
    pub method: Method,
    /// `body`: `form`, `json` or `query`.
    pub body: BodyFormat,
    /// `client_auth`: see [`ClientAuth`].
    pub client_auth: ClientAuth,
    /// `scope_separator`: what stands between two scopes, a space unless it says otherwise.
    pub scope_separator: String,
    /// `[request.names]`: other names of standard parameters.
    pub names: BTreeMap<Parameter, String>,
    /// `omit`: standard parameters that are not sent.
    pub omit: Vec<Parameter>,
    /// `[request.parameters]`: what to send besides. Values may hold placeholders.
    pub parameters: BTreeMap<String, Fact<Template>>,
    /// `[request.headers]`: headers to send. Values may hold placeholders; `Accept` and `User-Agent` replace
    /// ours.
    pub headers: Vec<(HeaderName, Fact<Template>)>,
}

impl RequestFacts {
    /// What an entry gets that says nothing (RFC 6749 section 3.2).
    pub(in crate::catalogue) fn usual() -> Self {
        Self {
            method: Method::Post,
            body: BodyFormat::Form,
            client_auth: ClientAuth::Body,
            scope_separator: " ".to_owned(),
            names: BTreeMap::new(),
            omit: Vec::new(),
            parameters: BTreeMap::new(),
            headers: Vec::new(),
        }
    }

    /// The names of the placeholders in its parameters and headers.
    pub fn placeholders(&self) -> impl Iterator<Item = &str> {
        let headers = self.headers.iter().map(|(_, value)| value);
        let facts = self.parameters.values().chain(headers);
        facts.flat_map(|fact| fact.value.placeholders())
    }

    /// The name under which `parameter` is sent.
    pub fn name_of(&self, parameter: Parameter) -> &str {
        self.names
            .get(&parameter)
            .map_or(parameter.usual_name(), String::as_str)
    }
}

/// HTTP method of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// As RFC 6749 section 3.2 demands.
    Post,
    /// As some providers do nevertheless.
    Get,
    /// As some providers revoke.
    Delete,
}

/// Where the parameters of a request stand.
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
    /// The access token is sent as a bearer token; nothing is said of the client. For `[revoke]` and `[introspect]`.
    BearerAccessToken,
    /// A signed assertion in place of a secret (RFC 7523 section 2.2).
    PrivateKeyJwt,
}

impl ClientAuth {
    /// All that an entry may state of a token request, by their names.
    pub(in crate::catalogue) const OF_TOKEN_REQUESTS: [(&'static str, Self); 6] = [
        ("body", Self::Body),
        ("basic", Self::Basic),
        ("basic_raw", Self::BasicRaw),
        ("none", Self::None),
        ("bearer_refresh_token", Self::BearerRefreshToken),
        ("private_key_jwt", Self::PrivateKeyJwt),
    ];

    /// All that `[revoke]` and `[introspect]` may state, by their names.
    pub(in crate::catalogue) const OF_TOKEN_CALLS: [(&'static str, Self); 6] = [
        ("body", Self::Body),
        ("basic", Self::Basic),
        ("basic_raw", Self::BasicRaw),
        ("none", Self::None),
        ("bearer_access_token", Self::BearerAccessToken),
        ("private_key_jwt", Self::PrivateKeyJwt),
    ];

    /// Its name in an entry, e.g. `basic_raw`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::Basic => "basic",
            Self::BasicRaw => "basic_raw",
            Self::None => "none",
            Self::BearerRefreshToken => "bearer_refresh_token",
            Self::BearerAccessToken => "bearer_access_token",
            Self::PrivateKeyJwt => "private_key_jwt",
        }
    }

    /// Whether a client without a secret is half a configuration.
    pub const fn needs_secret(self) -> bool {
        match self {
            Self::Body | Self::Basic | Self::BasicRaw => true,
            Self::None
            | Self::BearerRefreshToken
            | Self::BearerAccessToken
            | Self::PrivateKeyJwt => false,
        }
    }
}

macro_rules! parameters {
    ($($variant:ident $name:literal,)*) => {
        /// A parameter that the specifications name, and a provider may name otherwise.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Parameter {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
        }

        impl Parameter {
            /// All of them by their usual names.
            pub(crate) const BY_NAME: &'static [(&'static str, Self)] =
                &[$(($name, Self::$variant),)*];

            /// Its name in the specifications.
            pub const fn usual_name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

parameters! {
    GrantType "grant_type",
    RefreshToken "refresh_token",
    Code "code",
    RedirectUri "redirect_uri",
    CodeVerifier "code_verifier",
    Assertion "assertion",
    SubjectToken "subject_token",
    SubjectTokenType "subject_token_type",
    DeviceCode "device_code",
    Token "token",
    TokenTypeHint "token_type_hint",
    Scope "scope",
    ClientId "client_id",
    ClientSecret "client_secret",
    ClientAssertionType "client_assertion_type",
    ClientAssertion "client_assertion",
}

/// `[revoke]` or `[introspect]`: how a token is sent to an endpoint other than the token endpoint.
#[derive(Debug, Clone)]
pub struct TokenCallFacts {
    /// As in `[request]`, whose `client_auth`, names and headers hold here too unless stated otherwise.
    pub request: RequestFacts,
    /// `token`: which token is sent; unless stated, the refresh token where there is one (revocation), or the access
    /// token (introspection).
    pub token: TokenKind,
    /// `success`: the HTTP statuses that mean it was done; any of 200 to 299 if empty.
    pub success: Vec<u16>,
    /// `[response]`, in which `failure` is what is stated here, if it is.
    pub response: ResponseFacts,
}

/// One of the two tokens of a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// `access_token`
    AccessToken,
    /// `refresh_token`; the access token of a grant without one.
    RefreshToken,
}

impl TokenKind {
    /// The value of `token_type_hint` (RFC 7009 section 2.1).
    pub const fn name(self) -> &'static str {
        match self {
            Self::AccessToken => "access_token",
            Self::RefreshToken => "refresh_token",
        }
    }
}
