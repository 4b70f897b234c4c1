//! The requests that grants of an entry come to need, and what each holds of its own.

use crate::catalogue::entry::{
    ClientAuth, Entry, GrantKind, Parameter, RequestFacts, TokenGrant, TokenGrantFacts,
};
use crate::catalogue::template::UrlTemplate;

/// The requests to the token endpoint that come of a word of `grant_types`.
pub(super) const BY_KIND: [(GrantKind, TokenGrant); 5] = [
    (GrantKind::AuthorizationCode, TokenGrant::AuthorizationCode),
    (GrantKind::ClientCredentials, TokenGrant::ClientCredentials),
    (GrantKind::JwtBearer, TokenGrant::JwtBearer),
    (GrantKind::TokenExchange, TokenGrant::TokenExchange),
    (GrantKind::DeviceCode, TokenGrant::DeviceCode),
];

/// The table of a code's second request.
pub(super) const SECOND: &str = "grants.authorization_code.then";

/// A request that is made of an entry.
pub(super) struct Made<'e> {
    /// Its table, e.g. `grants.refresh_token` or `revoke`.
    pub(super) table: String,
    /// The key of its URL, and the URL.
    pub(super) url: (&'e str, &'e UrlTemplate),
    pub(super) request: &'e RequestFacts,
    /// The grant type, if it goes to the token endpoint.
    pub(super) grant: Option<TokenGrant>,
    /// The parameter that it is about.
    pub(super) about: Option<Parameter>,
    /// The standard parameters that it holds.
    pub(super) sends: Vec<Parameter>,
    /// The placeholders that it fills itself, in a URL already.
    pub(super) fills: Vec<&'e str>,
}

impl<'e> Made<'e> {
    /// All of them.
    pub(super) fn of(entry: &'e Entry) -> Vec<Self> {
        let mut made = Vec::new();
        if entry.refreshes() {
            made.push(Self::token(entry, TokenGrant::RefreshToken));
        }
        for (kind, grant) in BY_KIND {
            if entry.grant_types.contains(&kind) {
                made.push(Self::token(entry, grant));
            }
        }
        if entry.grant_types.contains(&GrantKind::AuthorizationCode) {
            made.extend(Self::second(&entry.grants.authorization_code));
        }
        if let Some(url) = &entry.userinfo_url {
            let (table, request) = ("userinfo".to_owned(), &entry.userinfo.request);
            made.push(Self::new(table, ("userinfo_url", url), request, &[]));
        }
        let calls = [
            ("revoke", "revoke_url", &entry.revoke_url, &entry.revoke),
            (
                "introspect",
                "introspect_url",
                &entry.introspect_url,
                &entry.introspect.call,
            ),
        ];
        for (table, field, url, call) in calls {
            if let Some(url) = url {
                let request = &call.request;
                let sends = [Parameter::Token, Parameter::TokenTypeHint];
                let about = request.client_auth != ClientAuth::BearerAccessToken;
                made.push(Self {
                    about: about.then_some(Parameter::Token),
                    ..Self::new(table.to_owned(), (field, url), request, &sends)
                });
            }
        }
        made
    }

    /// Whether it mints a token with what the grant brings, so that the grant's parameters fill placeholders.
    pub(super) fn mints(&self) -> bool {
        let minted = [
            TokenGrant::ClientCredentials,
            TokenGrant::JwtBearer,
            TokenGrant::TokenExchange,
        ];
        self.grant.is_some_and(|grant| minted.contains(&grant))
    }

    fn token(entry: &'e Entry, grant: TokenGrant) -> Self {
        use Parameter::{
            Assertion, Code, CodeVerifier, DeviceCode, RedirectUri, RefreshToken, Scope,
            SubjectToken, SubjectTokenType,
        };
        let facts = entry.grants.get(grant);
        let bears = facts.request.client_auth == ClientAuth::BearerRefreshToken;
        let own: &[Parameter] = match grant {
            TokenGrant::RefreshToken if bears => &[],
            TokenGrant::RefreshToken => &[RefreshToken],
            TokenGrant::AuthorizationCode if entry.authorize.pkce => {
                &[Code, RedirectUri, CodeVerifier]
            }
            TokenGrant::AuthorizationCode => &[Code, RedirectUri],
            TokenGrant::ClientCredentials => &[Scope],
            TokenGrant::JwtBearer => &[Assertion],
            TokenGrant::TokenExchange => &[SubjectToken, SubjectTokenType, Scope],
            TokenGrant::DeviceCode => &[DeviceCode],
        };
        let sends: Vec<Parameter> = own.iter().copied().chain([Parameter::GrantType]).collect();
        let about = own.first().copied().filter(|first| *first != Scope);
        let table = format!("grants.{}", grant.name());
        let url = (facts.url.field.as_str(), &facts.url.value);
        let mut made = Self::new(table, url, &facts.request, &sends);
        let without = [TokenGrant::AuthorizationCode, TokenGrant::DeviceCode];
        if !without.contains(&grant) {
            made.fills.push("scopes");
        }
        Self {
            grant: Some(grant),
            about,
            ..made
        }
    }

    fn second(code: &'e TokenGrantFacts) -> Option<Self> {
        let then = code.then.as_ref()?;
        let url = (then.url.field.as_str(), &then.url.value);
        let sends: &[Parameter] = match then.grant_type {
            Some(_) => &[Parameter::GrantType],
            None => &[],
        };
        let mut made = Self::new(SECOND.to_owned(), url, &then.request, sends);
        made.fills.extend(code.given());
        Some(made)
    }

    fn new(
        table: String,
        url: (&'e str, &'e UrlTemplate),
        request: &'e RequestFacts,
        own: &[Parameter],
    ) -> Self {
        use Parameter::{ClientAssertion, ClientAssertionType, ClientId, ClientSecret};
        let of_client: &[Parameter] = match request.client_auth {
            ClientAuth::Body => &[ClientId, ClientSecret],
            ClientAuth::None | ClientAuth::BearerRefreshToken => &[ClientId],
            ClientAuth::PrivateKeyJwt => &[ClientId, ClientAssertionType, ClientAssertion],
            ClientAuth::Basic | ClientAuth::BasicRaw | ClientAuth::BearerAccessToken => &[],
        };
        let sends = own.iter().chain(of_client).copied();
        Self {
            table,
            url,
            request,
            grant: None,
            about: None,
            sends: sends
                .filter(|parameter| !request.omit.contains(parameter))
                .collect(),
            fills: vec!["client_id", "redirect_uri", "jti"],
        }
    }
}
