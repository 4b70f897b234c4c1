//! `[grants]`: what differs between the grant types of one token endpoint.

use super::super::template::{Fact, UrlTemplate};
use super::request::RequestFacts;
use super::response::ResponseFacts;

/// How a grant comes to be: the words of `grant_types`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GrantKind {
    /// A user's consent in a browser (RFC 6749 section 4.1).
    AuthorizationCode,
    /// The client's own credentials (RFC 6749 section 4.4).
    ClientCredentials,
    /// A signed assertion (RFC 7523 section 2.1).
    JwtBearer,
    /// A token of someone else (RFC 8693).
    TokenExchange,
    /// A user's consent on another device (RFC 8628).
    DeviceCode,
    /// Tokens that were brought and are never renewed.
    Static,
}

impl GrantKind {
    /// All of them by their names in an entry.
    pub const BY_NAME: [(&'static str, Self); 6] = [
        ("authorization_code", Self::AuthorizationCode),
        ("client_credentials", Self::ClientCredentials),
        ("jwt_bearer", Self::JwtBearer),
        ("token_exchange", Self::TokenExchange),
        ("device_code", Self::DeviceCode),
        ("static", Self::Static),
    ];

    /// Its name in an entry, e.g. `jwt_bearer`.
    pub fn name(self) -> &'static str {
        let found = Self::BY_NAME.iter().find(|(_, kind)| *kind == self);
        found.map_or("", |(name, _)| *name)
    }
}

/// A request to the token endpoint: the X of `[grants.X]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenGrant {
    /// `refresh_token` (RFC 6749 section 6)
    RefreshToken,
    /// `authorization_code` (RFC 6749 section 4.1.3)
    AuthorizationCode,
    /// `client_credentials` (RFC 6749 section 4.4.2)
    ClientCredentials,
    /// `jwt_bearer` (RFC 7523 section 2.1)
    JwtBearer,
    /// `token_exchange` (RFC 8693 section 2.1)
    TokenExchange,
    /// `device_code` (RFC 8628 section 3.4)
    DeviceCode,
}

impl TokenGrant {
    /// Its name in an entry, e.g. `client_credentials`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RefreshToken => "refresh_token",
            Self::AuthorizationCode => "authorization_code",
            Self::ClientCredentials => "client_credentials",
            Self::JwtBearer => "jwt_bearer",
            Self::TokenExchange => "token_exchange",
            Self::DeviceCode => "device_code",
        }
    }

    /// The value of the parameter `grant_type` unless an entry says otherwise.
    pub(crate) const fn usual_grant_type(self) -> &'static str {
        match self {
            Self::JwtBearer => "urn:ietf:params:oauth:grant-type:jwt-bearer",
            Self::TokenExchange => "urn:ietf:params:oauth:grant-type:token-exchange",
            Self::DeviceCode => "urn:ietf:params:oauth:grant-type:device_code",
            _ => self.name(),
        }
    }
}

/// `[grants.X]`, with `[request]` and `[response]` merged in: ready to be used.
#[derive(Debug, Clone)]
pub struct TokenGrantFacts {
    /// `url`, else `refresh_url` for refresh tokens, else `token_url`.
    pub url: Fact<UrlTemplate>,
    /// `grant_type`: value of that parameter.
    pub grant_type: String,
    /// As in `[request]`; what is stated here replaces, and tables are merged.
    pub request: RequestFacts,
    /// `default_scopes`: asked for when the caller asks for none.
    pub default_scopes: Vec<String>,
    /// `required`: parameters without which such a grant cannot be created.
    pub required: Vec<String>,
    /// `[grants.X.response]`: as in `[response]`; what is stated here replaces, and metadata is merged.
    pub response: ResponseFacts,
    /// `[grants.authorization_code.then]`; `None` for every other grant type.
    pub then: Option<ThenFacts>,
}

/// `[grants.authorization_code.then]`: a second request, for which the first answer is a means and no end. It is made
/// at once, with what the first answer gave, and what it is answered with is what the code has brought.
#[derive(Debug, Clone)]
pub struct ThenFacts {
    /// `url`
    pub url: Fact<UrlTemplate>,
    /// `grant_type`: value of that parameter, which is not sent unless it is stated.
    pub grant_type: Option<String>,
    /// As in `[request]`, whose `client_auth`, names and headers hold here too unless stated otherwise.
    pub request: RequestFacts,
    /// `[grants.authorization_code.then.response]`: as in `[response]`; what is stated here replaces, and metadata is
    /// merged.
    pub response: ResponseFacts,
}

impl TokenGrantFacts {
    /// Whether the placeholder of that name, in [`then`](Self::then), is something that the first answer gives: a token,
    /// the account, or a fact that is kept.
    pub fn gives(&self, placeholder: &str) -> bool {
        self.given().any(|given| given == placeholder)
    }

    /// The names of all that.
    pub(in crate::catalogue) fn given(&self) -> impl Iterator<Item = &str> {
        let kept = self.response.metadata.keys().map(String::as_str);
        ThenFacts::ALWAYS_GIVEN.into_iter().chain(kept)
    }
}

impl ThenFacts {
    /// What every first answer may give.
    const ALWAYS_GIVEN: [&str; 3] = ["access_token", "refresh_token", "account"];

    /// The names of all its placeholders.
    pub fn placeholders(&self) -> impl Iterator<Item = &str> {
        let of_url = self.url.value.template().placeholders();
        of_url.chain(self.request.placeholders())
    }
}

/// The facts of every grant type, stated or not.
#[derive(Debug, Clone)]
pub struct TokenGrants {
    pub(in crate::catalogue) refresh_token: TokenGrantFacts,
    pub(in crate::catalogue) authorization_code: TokenGrantFacts,
    pub(in crate::catalogue) client_credentials: TokenGrantFacts,
    pub(in crate::catalogue) jwt_bearer: TokenGrantFacts,
    pub(in crate::catalogue) token_exchange: TokenGrantFacts,
    pub(in crate::catalogue) device_code: TokenGrantFacts,
}

impl TokenGrants {
    /// The facts of one grant type.
    pub fn get(&self, grant: TokenGrant) -> &TokenGrantFacts {
        match grant {
            TokenGrant::RefreshToken => &self.refresh_token,
            TokenGrant::AuthorizationCode => &self.authorization_code,
            TokenGrant::ClientCredentials => &self.client_credentials,
            TokenGrant::JwtBearer => &self.jwt_bearer,
            TokenGrant::TokenExchange => &self.token_exchange,
            TokenGrant::DeviceCode => &self.device_code,
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &TokenGrantFacts> {
        [
            &self.refresh_token,
            &self.authorization_code,
            &self.client_credentials,
            &self.jwt_bearer,
            &self.token_exchange,
            &self.device_code,
        ]
        .into_iter()
    }
}
