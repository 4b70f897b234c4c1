//! What the catalogue knows of one provider: the meaning of every key of an entry.

mod account;
mod grants;
mod keys;
mod request;
mod response;
mod urls;
mod userinfo;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use evergrant_core::ids::ProviderName;
pub use evergrant_core::provider::Limits;
use evergrant_core::provider::Rotation;
use http::HeaderValue;

use super::template::{Fact, HostPattern, Template, UrlTemplate};
use crate::classify::{Described, Meaning};

pub use account::{AccountName, AccountNames};
pub use grants::{GrantKind, ThenFacts, TokenGrant, TokenGrantFacts, TokenGrants};
pub use keys::{AssertionFacts, OpenIdFacts, SigningAlgorithm};
pub use request::{
    BodyFormat, ClientAuth, Method, Parameter, RequestFacts, TokenCallFacts, TokenKind,
};
pub use response::{FailureRule, FailureSign, Pointers, ResponseFacts};
pub use urls::Astray;
pub use userinfo::UserinfoFacts;

/// A provider. Keys without a table of their own:
///
/// `name`, `base`, `token_url`, `refresh_url`, `authorize_url`, `revoke_url`, `introspect_url`, `userinfo_url`,
/// `device_url`, `allowed_hosts`, `sources`, `grant_types`, `renewable`, `flaky_refusals`, `single_active_token`.
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
    /// `revoke_url`: where tokens are revoked (RFC 7009).
    pub revoke_url: Option<UrlTemplate>,
    /// `introspect_url`: where an access token's expiry is learned (RFC 7662), if no answer states it.
    pub introspect_url: Option<UrlTemplate>,
    /// `userinfo_url`: where it is asked who has consented (OpenID Connect Core section 5.3), if the answer with the
    /// tokens does not say.
    pub userinfo_url: Option<UrlTemplate>,
    /// `device_url`: where a device asks for a code (RFC 8628 section 3.1).
    pub device_url: Option<UrlTemplate>,
    /// `allowed_hosts`: where a URL may lead whose host has a placeholder.
    pub allowed_hosts: Vec<HostPattern>,
    /// `[placeholders]`: values for placeholders that neither a grant nor its client fills.
    pub placeholders: BTreeMap<String, String>,
    /// `sources`: where the facts of the entry are from.
    pub sources: Vec<String>,
    /// `grant_types`: how grants come to be; `authorization_code` and `static` unless it says otherwise.
    pub grant_types: Vec<GrantKind>,
    /// `renewable`: `false` if the provider never redeems refresh tokens.
    pub renewable: bool,
    /// `flaky_refusals`: whether it is known to refuse good refresh tokens now and then.
    pub flaky_refusals: bool,
    /// `single_active_token`: whether a new token ends the one before it.
    pub single_active_token: bool,
    /// `[authorize]`
    pub authorize: AuthorizeFacts,
    /// `[request]`
    pub request: RequestFacts,
    /// `[grants]`, with `[request]` and `[response]` merged in.
    pub grants: TokenGrants,
    /// `[assertion]`: what a grant of type `jwt_bearer` is minted with (RFC 7523 section 2.1).
    pub assertion: Option<AssertionFacts>,
    /// `[client_assertion]`: what a client proves itself with that has a key instead of a secret (RFC 7523
    /// section 2.2).
    pub client_assertion: AssertionFacts,
    /// `[response]`
    pub response: ResponseFacts,
    /// `[errors]`: code → `grant`, `client`, `request`, `transient` or `rate_limit`, or a table
    /// `{ verdict, reason, try_next_secret, try_alternate_client }`. It comes before the table of RFC 6749.
    pub errors: BTreeMap<String, Meaning>,
    /// `[errors]`: code → what it means beside certain words, `{ …, described }`, or a list of such; the first whose
    /// words are there. It comes before [`errors`](Self::errors).
    pub described: BTreeMap<String, Vec<Described>>,
    /// `[uncoded]`: HTTP status 400 to 499 → the same words, for providers whose refusals carry no code.
    pub uncoded: BTreeMap<u16, Meaning>,
    /// `[rotation]`: `mode` is `none`, `rotates`, `single_use` or `grace`; with `grace`, `grace` says how long.
    pub rotation: Rotation,
    /// `[lifetime]`
    pub lifetime: Lifetime,
    /// `[renewal]`
    pub renewal: RenewalFacts,
    /// `[openid]`: how its identity tokens are verified, if it issues any.
    pub openid: Option<OpenIdFacts>,
    /// `[revoke]`
    pub revoke: TokenCallFacts,
    /// `[introspect]`
    pub introspect: IntrospectFacts,
    /// `[userinfo]`
    pub userinfo: UserinfoFacts,
    /// `[limits]`: what the provider says of its token endpoint.
    pub limits: Limits,
    /// `[token]`
    pub token: TokenUse,
}

/// Placeholders that a request fills itself, whatever anybody says.
const OF_REQUESTS: [&str; 3] = ["client_id", "jti", "token_url"];
/// What the request that redeems a code fills besides, in its parameters and headers.
const OF_CODE: &str = "state";

impl Entry {
    /// Whether every client needs a secret. One whose grants are all minted need not have any, since such a grant
    /// may bring its own.
    pub fn demands_secret(&self) -> bool {
        self.of_consents()
            .any(|request| request.client_auth.needs_secret())
    }

    /// Whether every client needs a private key.
    pub fn demands_private_key(&self) -> bool {
        self.of_consents()
            .any(|request| request.client_auth == ClientAuth::PrivateKeyJwt)
    }

    /// The names of all placeholders that somebody has to give a value, be it a grant, a consent, the client's
    /// configuration or the entry. Facts of a request, such as the client's id, are none of them.
    pub fn placeholder_names(&self) -> BTreeSet<&str> {
        let code = &self.grants.authorization_code;
        let of_grants = self.grants.iter().map(|grant| &grant.request);
        let requests = of_grants.filter(|request| !std::ptr::eq(*request, &code.request));
        let requests = requests.chain([
            &self.revoke.request,
            &self.introspect.call.request,
            &self.userinfo.request,
        ]);
        let in_code = code.request.placeholders();
        let in_requests = requests
            .flat_map(RequestFacts::placeholders)
            .chain(in_code.filter(|name| *name != OF_CODE));
        let signs =
            |grant: &TokenGrantFacts| grant.request.client_auth == ClientAuth::PrivateKeyJwt;
        let signs = self.grants.iter().any(signs);
        let client_assertion = signs.then_some(&self.client_assertion);
        let assertions = self.assertion.iter().chain(client_assertion);
        let in_assertions =
            assertions.flat_map(|assertion| assertion.claims.values().chain([&assertion.key_id]));
        let facts = self.authorize.parameters.values();
        let facts = facts.chain(in_assertions);
        let issuer = self.openid.iter().map(|openid| &openid.issuer);
        let in_then = code.then.iter().flat_map(ThenFacts::placeholders);
        self.urls()
            .map(|(_, url)| url.template())
            .chain(facts.map(|fact| &fact.value))
            .chain(issuer)
            .flat_map(Template::placeholders)
            .chain(in_requests)
            .chain(in_then.filter(|name| !code.gives(name)))
            .filter(|name| !OF_REQUESTS.contains(name))
            .collect()
    }

    /// The names of all placeholders of the question who has consented.
    pub fn userinfo_placeholders(&self) -> impl Iterator<Item = &str> {
        let url = self.userinfo_url.iter();
        let of_url = url.flat_map(|url| url.template().placeholders());
        of_url.chain(self.userinfo.request.placeholders())
    }

    /// Whether users consent, in a browser or on another device.
    pub fn has_consents(&self) -> bool {
        let kinds = [GrantKind::AuthorizationCode, GrantKind::DeviceCode];
        kinds.iter().any(|kind| self.grant_types.contains(kind))
    }

    /// Whether tokens that a user consented to are renewed, with a refresh token or by themselves.
    pub fn refreshes(&self) -> bool {
        self.renewable && self.has_consents()
    }

    /// The requests that grants with a user behind them need, refreshing included.
    fn of_consents(&self) -> impl Iterator<Item = &RequestFacts> {
        let has = |kind| self.grant_types.contains(&kind);
        let code = has(GrantKind::AuthorizationCode);
        let device = has(GrantKind::DeviceCode);
        let wanted = [
            (code || device, TokenGrant::RefreshToken),
            (
                code && self.authorize_url.is_some(),
                TokenGrant::AuthorizationCode,
            ),
            (device, TokenGrant::DeviceCode),
        ];
        let wanted = wanted.into_iter().filter(|(wanted, _)| *wanted);
        let grants = wanted.map(|(_, grant)| self.grants.get(grant));
        grants.flat_map(|grant| {
            let then = grant.then.iter().map(|then| &then.request);
            then.chain([&grant.request])
        })
    }
}

/// `[authorize]`: how a user is sent to the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizeFacts {
    /// `scope`: name of the parameter that lists the scopes; with an empty text, none is sent.
    pub scope: String,
    /// `scope_separator`: what stands between two scopes, a space unless it says otherwise.
    pub scope_separator: String,
    /// `pkce`: whether the parameters of RFC 7636 are sent; `true` unless it says otherwise.
    pub pkce: bool,
    /// `names.client_id`: that parameter's name; that of the code's exchange unless it says otherwise.
    pub client_id: String,
    /// `names.redirect_uri`: the same of that one.
    pub redirect_uri: String,
    /// `[authorize.parameters]`: what to add, e.g. `access_type = "offline"`. Values may hold placeholders.
    pub parameters: BTreeMap<String, Fact<Template>>,
}

impl AuthorizeFacts {
    /// Whether the parameter of that name is one that the protocol decides about (RFC 6749 section 4.1.1, RFC 7636 section
    /// 4.3, OpenID Connect Core section 3.1.2.1).
    pub fn is_of_protocol(&self, name: &str) -> bool {
        let others = [
            "response_type",
            "state",
            "nonce",
            "code_challenge",
            "code_challenge_method",
        ];
        let own = [&self.client_id, &self.redirect_uri, &self.scope];
        others.contains(&name) || own.iter().any(|own| *own == name)
    }
}

/// `[lifetime]`: how long things live when no answer says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lifetime {
    /// `access_token`
    pub access_token: Option<Duration>,
    /// `refresh_token`, from when that refresh token was issued.
    pub refresh_token: Option<Duration>,
    /// `refresh_token_idle`: a refresh token, from its last use.
    pub refresh_token_idle: Option<Duration>,
    /// `grant`: everything, from the consent; refreshing does not move that end.
    pub grant: Option<Duration>,
}

/// `[renewal]`: what is peculiar to renewing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RenewalFacts {
    /// `self_renewing`: the access token itself is redeemed for the next one; there is no refresh token.
    pub self_renewing: bool,
    /// `min_age`: no younger token is renewed.
    pub min_age: Option<Duration>,
    /// `refresh_only_while_valid`: nothing is renewed once the access token has expired.
    pub only_while_valid: bool,
    /// `refresh_token_margin`: how long before its end a refresh token is used for its own sake.
    pub refresh_token_margin: Option<Duration>,
}

/// `[introspect]`: as `[revoke]`, and where things stand in the answer (RFC 7662 section 2.2).
#[derive(Debug, Clone)]
pub struct IntrospectFacts {
    /// How it is asked.
    pub call: TokenCallFacts,
    /// `active`: whether the token is good.
    pub active: Pointers,
    /// `expires_at`: when it ends; seconds or milliseconds since the epoch, or RFC 3339.
    pub expires_at: Pointers,
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
