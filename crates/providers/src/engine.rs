//! The provider port over HTTP.

mod ask;
mod brought;
mod client;
mod clocks;
mod configured;
mod consent;
mod device;
mod introspect;
mod mint;
mod openid;
mod persist;
mod revoke;
mod then;
mod usable;
mod userinfo;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use evergrant_core::clock::{Clock, Timestamp};
use evergrant_core::grant::{Grant, GrantType, InvalidationReason};
use evergrant_core::ids::{ClientKey, ClientName, ProviderName};
use evergrant_core::provider::{
    CallError, Delivery, Issued, Profile, Providers, Renewal, Revocation, Rotation, UnknownClient,
    Verdict,
};
use tokio::time::Instant;

use self::ask::{Ask, deadline};
use self::client::Client;
use self::clocks::Clocks;
use self::mint::minting;
use crate::catalogue::{Catalogue, Entry, GrantKind};
use crate::client::HttpClient;
use crate::placeholders::Placeholders;
use crate::response::{self, Granted, Oddities};

pub use self::brought::{TokenResponse, Unreadable};
pub use self::client::{ClientConfigError, OAuthClient, takes_private_key};
pub use self::consent::{CodeExchange, Consent, ConsentError, Consented};
pub use self::device::{DeviceAuthorization, DevicePoll};
pub use self::openid::{ConsentFacts, IdToken, IdTokenError};
pub use self::usable::{Lack, Unusable};

/// Speaks to the token endpoints of a catalogue for the clients of a configuration.
pub struct HttpProviders {
    http: HttpClient,
    clients: BTreeMap<ClientKey, Client>,
    catalogue: Arc<Catalogue>,
    clock: Arc<dyn Clock>,
    oddities: Oddities,
    clocks: Clocks,
    /// Since when the clients are configured so.
    since: Timestamp,
}

impl fmt::Debug for HttpProviders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clients: Vec<&ClientKey> = self.clients.keys().collect();
        f.debug_struct("HttpProviders")
            .field("clients", &clients)
            .finish_non_exhaustive()
    }
}

impl HttpProviders {
    /// Checks the clients against the catalogue. Makes no call.
    pub fn new(
        catalogue: Arc<Catalogue>,
        clients: Vec<OAuthClient>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ClientConfigError> {
        let mut by_key: BTreeMap<ClientKey, Client> = BTreeMap::new();
        for config in clients {
            let name = config.name.clone();
            if by_key.keys().any(|key| key.client == name) {
                return Err(ClientConfigError::Twice { client: name });
            }
            let client = Client::new(&catalogue, config)?;
            let key = ClientKey {
                provider: client.entry.name.clone(),
                client: name,
            };
            by_key.insert(key, client);
        }
        for (key, client) in &by_key {
            for alternate in &client.config.alternates {
                let is_other = |other: &ClientKey| {
                    other.client == *alternate && other.provider == key.provider && other != key
                };
                if !by_key.keys().any(is_other) {
                    return Err(ClientConfigError::BadAlternate {
                        client: key.client.clone(),
                        alternate: alternate.clone(),
                    });
                }
            }
        }
        Ok(Self {
            http: HttpClient::new().map_err(ClientConfigError::Http)?,
            clients: by_key,
            catalogue,
            since: clock.now(),
            clock,
            oddities: Oddities::default(),
            clocks: Clocks::default(),
        })
    }

    /// The same in a network in which one server is every provider, for tests.
    #[cfg(feature = "testing")]
    pub fn through(self, network: &crate::Network) -> Result<Self, ClientConfigError> {
        let http = HttpClient::within(network).map_err(ClientConfigError::Http)?;
        Ok(Self { http, ..self })
    }

    /// The client of that name at `provider`; without a name, the provider's only client.
    pub fn resolve_client(
        &self,
        provider: &ProviderName,
        client: Option<&ClientName>,
    ) -> Result<ClientKey, UnknownClient> {
        if self.catalogue.get(provider).is_none() {
            return Err(UnknownClient::Provider(provider.to_string()));
        }
        let of_provider = || self.clients.keys().filter(|key| key.provider == *provider);
        let found = match client {
            Some(name) => of_provider().find(|key| key.client == *name),
            None => of_provider()
                .next()
                .filter(|_| of_provider().nth(1).is_none()),
        };
        let provider = provider.to_string();
        found.cloned().ok_or_else(|| match client {
            Some(client) => UnknownClient::Client {
                provider,
                client: client.to_string(),
            },
            None => UnknownClient::Unnamed {
                provider,
                clients: of_provider().map(|key| key.client.to_string()).collect(),
            },
        })
    }

    /// The catalogue.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// The configured clients, by key.
    pub fn clients(&self) -> impl Iterator<Item = &ClientKey> {
        self.clients.keys()
    }

    /// Grant types that can be created for a provider.
    pub fn grant_types(&self, entry: &Entry) -> Vec<GrantType> {
        grant_types(entry)
    }

    /// What the catalogue knows of a provider.
    pub fn entry(&self, provider: &ProviderName) -> Option<&Arc<Entry>> {
        self.catalogue.get(provider)
    }

    fn client_named(&self, name: &ClientName) -> Option<&Client> {
        self.clients
            .values()
            .find(|client| client.config.name == *name)
    }

    /// The client, or a failure without any request.
    fn known_client(&self, key: &ClientKey) -> Result<&Client, CallError> {
        self.client(key)
            .map_err(|unknown| not_sent(Verdict::Request, unknown.to_string()))
    }

    fn client(&self, key: &ClientKey) -> Result<&Client, UnknownClient> {
        if let Some(client) = self.clients.get(key) {
            return Ok(client);
        }
        if self.catalogue.get(&key.provider).is_none() {
            return Err(UnknownClient::Provider(key.provider.to_string()));
        }
        Err(UnknownClient::Client {
            provider: key.provider.to_string(),
            client: key.client.to_string(),
        })
    }
}

#[async_trait]
impl Providers for HttpProviders {
    fn profile(&self, client: &ClientKey) -> Result<Profile, UnknownClient> {
        let unknown = || UnknownClient::Provider(client.provider.to_string());
        let entry = self.catalogue.get(&client.provider).ok_or_else(unknown)?;
        Ok(Profile {
            rotation: entry.rotation,
            grant_types: grant_types(entry),
            flaky_refusals: entry.flaky_refusals,
            renewal: renewal(entry),
            header_name: entry.token.header.clone(),
            header_scheme: entry.token.scheme.clone(),
            limits: match self.clients.get(client) {
                Some(client) => client.config.limits.or(entry.limits),
                None => entry.limits,
            },
        })
    }

    fn check(&self, client: &ClientKey) -> Result<(), UnknownClient> {
        self.client(client).map(|_| ())
    }

    fn is_outdated(&self, grant: &Grant) -> bool {
        self.was_minted_before(grant)
    }

    /// Where the client has several secrets or alternates, a request that was refused for them is made again with the
    /// next one. Where no answer tells when the new token ends and the provider can be asked, it is.
    async fn refresh(&self, grant: &Grant, timeout: Duration) -> Result<Issued, CallError> {
        let deadline = deadline(timeout);
        let client = self.known_client(&grant.facts.client)?;
        let mut facts = Placeholders::default();
        facts.add_all(&grant.tokens.metadata);
        let granted = match minting(grant.facts.grant_type) {
            Some(minting) => {
                let means = &grant.tokens.means;
                self.mint(client, minting, means, facts.clone(), deadline)
                    .await
            }
            None => self.redeem(client, grant, facts.clone(), deadline).await,
        };
        let granted = self.dated(client, granted?, &facts, deadline).await;
        Ok(granted.issued)
    }

    async fn revoke(&self, grant: &Grant, timeout: Duration) -> Result<Revocation, CallError> {
        self.take_back(grant, timeout).await
    }
}

impl HttpProviders {
    /// Redeems the grant's refresh token, or the token that renews itself.
    async fn redeem(
        &self,
        client: &Client,
        grant: &Grant,
        facts: Placeholders<'_>,
        deadline: Instant,
    ) -> Result<Granted, CallError> {
        let token = self.redeemable(&client.entry, grant)?;
        let ask = Ask::renewal(&client.entry, token, &grant.tokens, facts);
        let outcome = self.ask(client, &ask, deadline, response::read).await?;
        Ok(outcome.granted())
    }

    /// The token to redeem, or why no request is made.
    fn redeemable<'g>(&self, entry: &Entry, grant: &'g Grant) -> Result<&'g str, CallError> {
        let name = &entry.name;
        let not_refreshable = |message| {
            let verdict = Verdict::Grant(InvalidationReason::NotRefreshable);
            Err(not_sent(verdict, message))
        };
        if grant.facts.grant_type == GrantType::Static {
            return not_refreshable("a static token is not renewed".to_owned());
        }
        if !entry.renewable {
            return not_refreshable(format!("{name} redeems no refresh tokens"));
        }
        let token = match &grant.tokens.refresh_token {
            _ if entry.renewal.self_renewing => grant.tokens.access_token.expose(),
            Some(token) => token.expose(),
            None => return not_refreshable("the grant has no refresh token".to_owned()),
        };
        let now = self.clock.now();
        let facts = &grant.facts;
        match renewal(entry).young_until(facts.issued_at, facts.expires_at) {
            Some(until) if now < until => {
                let message = format!("{name} renews no token this young");
                Err(CallError {
                    retry_after: Some(until.since(now)),
                    ..not_sent(Verdict::Transient, message)
                })
            }
            _ => Ok(token),
        }
    }
}

/// The end of a refresh token moves with each use if each use brings one with an end of its own, or if idleness ends it.
/// Where nothing but the whole grant has a known lifetime, an end that an answer states is that of the grant; where a
/// refresh token stays, it is that of the consent.
fn renewal(entry: &Entry) -> Renewal {
    let (facts, lifetime) = (entry.renewal, entry.lifetime);
    let idle = lifetime.refresh_token_idle;
    let rotates = entry.rotation != Rotation::None;
    let known = lifetime.refresh_token.or(idle);
    Renewal {
        self_renewing: facts.self_renewing,
        min_age: facts.min_age,
        only_while_valid: facts.only_while_valid,
        refresh_token_margin: facts.refresh_token_margin,
        end_moves: rotates && (lifetime.grant.is_none() || known.is_some()),
        refresh_token_idle: idle.filter(|_| !rotates),
        grant_lifetime: lifetime.grant,
        single_active_token: entry.single_active_token,
    }
}

/// A grant of a device is like any other that a user consented to.
fn grant_types(entry: &Entry) -> Vec<GrantType> {
    let mut types = Vec::new();
    for kind in &entry.grant_types {
        let grant_type = match kind {
            GrantKind::AuthorizationCode | GrantKind::DeviceCode => GrantType::AuthorizationCode,
            GrantKind::ClientCredentials => GrantType::ClientCredentials,
            GrantKind::JwtBearer => GrantType::JwtBearer,
            GrantKind::TokenExchange => GrantType::TokenExchange,
            GrantKind::Static => GrantType::Static,
        };
        if !types.contains(&grant_type) {
            types.push(grant_type);
        }
    }
    types
}

/// A failure without any request.
fn not_sent(verdict: Verdict, message: String) -> CallError {
    CallError {
        verdict,
        delivery: Delivery::NotSent,
        status: None,
        code: String::new(),
        message,
        retry_after: None,
        grant_specific: false,
    }
}
