//! The provider port over HTTP.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use evergrant_core::clock::Clock;
use evergrant_core::grant::{Grant, GrantType, InvalidationReason};
use evergrant_core::ids::{ClientKey, ClientName, ProviderName};
use evergrant_core::provider::{
    CallError, Delivery, Issued, Limits, Profile, Providers, UnknownClient, Verdict,
};
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;
use tokio::time::Instant;

use crate::catalogue::{Catalogue, Entry};
use crate::client::{HttpClient, SendFault};
use crate::request::{self, Ingredients};
use crate::response::{self, Context, Refusal};

/// An OAuth client, as it is registered at a provider.
#[derive(Debug, Clone)]
pub struct OAuthClient {
    /// Its name in the configuration.
    pub name: ClientName,
    /// The provider that knows it.
    pub provider: ProviderName,
    /// Its public identifier there.
    pub client_id: String,
    /// Its secret. More than one while secrets are being changed: they are tried in this order.
    pub client_secrets: Vec<SecretString>,
    /// Where users come back to after consent; the first fills the placeholder `redirect_uri`.
    pub redirect_uris: Vec<String>,
    /// Values for placeholders of the catalogue entry, e.g. a tenant.
    pub parameters: BTreeMap<String, String>,
    /// How much may be asked of the token endpoint with it; what is not set is for the catalogue entry to say.
    pub limits: Limits,
}

/// A client configuration that could never work, found before any call.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ClientConfigError {
    /// The catalogue has no such provider. No other one is taken in its place.
    #[error("client {client} is of provider {provider}, which is not in the catalogue")]
    UnknownProvider {
        /// The client.
        client: ClientName,
        /// The provider that it names.
        provider: ProviderName,
    },
    /// The client has no id.
    #[error("client {client} has no client_id")]
    NoId {
        /// The client.
        client: ClientName,
    },
    /// The provider demands a secret, and the client has none, or an empty one.
    #[error("client {client} has no client_secret, which provider {provider} demands")]
    NoSecret {
        /// The client.
        client: ClientName,
        /// Its provider.
        provider: ProviderName,
    },
    /// Two clients bear one name.
    #[error("client {client} is configured twice")]
    Twice {
        /// The client.
        client: ClientName,
    },
    /// There can be no HTTP client.
    #[error("the http client cannot be made: {0}")]
    Http(String),
}

/// Speaks to the token endpoints of a catalogue for the clients of a configuration.
pub struct HttpProviders {
    http: HttpClient,
    clients: BTreeMap<ClientKey, Client>,
    catalogue: Arc<Catalogue>,
    clock: Arc<dyn Clock>,
}

struct Client {
    config: OAuthClient,
    entry: Arc<Entry>,
    /// Index of the secret that was accepted last.
    good_secret: AtomicUsize,
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
        Ok(Self {
            http: HttpClient::new().map_err(ClientConfigError::Http)?,
            clients: by_key,
            catalogue,
            clock,
        })
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
        found.cloned().ok_or_else(|| UnknownClient::Client {
            provider: provider.to_string(),
            client: client.map_or_else(
                || format!("(not named, {} to choose from)", of_provider().count()),
                ClientName::to_string,
            ),
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

    /// One request with one of the client's secrets.
    async fn attempt(
        &self,
        client: &Client,
        grant: &Grant,
        refresh_token: &str,
        client_secret: &str,
        deadline: Instant,
    ) -> Result<Issued, Refusal> {
        let (config, entry) = (&client.config, &client.entry);
        let ingredients = Ingredients {
            client_id: &config.client_id,
            client_secret,
            refresh_token,
            redirect_uri: config.redirect_uris.first().map(String::as_str),
            metadata: &grant.tokens.metadata,
            parameters: &config.parameters,
        };
        let request = request::refresh(entry, ingredients).map_err(|error| {
            let message = format!("catalogue entry {}: {error}", entry.name);
            final_refusal(Verdict::Request, Delivery::NotSent, message)
        })?;
        let sent_at = self.clock.now();
        let answer = self
            .http
            .send(request, deadline)
            .await
            .map_err(|fault| unanswered(entry, fault))?;
        let context = Context {
            entry,
            sent_at,
            now: self.clock.now(),
            secrets: &[
                refresh_token,
                client_secret,
                grant.tokens.access_token.expose(),
            ],
        };
        response::read(context, &answer)
    }
}

#[async_trait]
impl Providers for HttpProviders {
    fn profile(&self, client: &ClientKey) -> Result<Profile, UnknownClient> {
        let unknown = || UnknownClient::Provider(client.provider.to_string());
        let entry = self.catalogue.get(&client.provider).ok_or_else(unknown)?;
        Ok(Profile {
            rotation: entry.rotation,
            grant_types: entry.grant_types.clone(),
            flaky_refusals: entry.flaky_refusals,
            header_name: entry.token.header.clone(),
            header_scheme: entry.token.scheme.clone(),
            limits: self
                .clients
                .get(client)
                .map_or_else(Limits::default, |client| client.config.limits),
        })
    }

    fn check(&self, client: &ClientKey) -> Result<(), UnknownClient> {
        self.client(client).map(|_| ())
    }

    /// Where the client has several secrets, a request whose secret was refused is made again with the next
    /// one. That is safe: a provider checks the client before the grant (RFC 6749 section 5.2), so a refused
    /// client has spent nothing. The secret that was accepted is the first to be tried from then on.
    async fn refresh(&self, grant: &Grant, timeout: Duration) -> Result<Issued, CallError> {
        let deadline = Instant::now() + timeout;
        let client = self.client(&grant.facts.client).map_err(|unknown| {
            final_refusal(Verdict::Request, Delivery::NotSent, unknown.to_string()).error
        })?;
        let refresh_token = client.refresh_token(grant)?;

        let secrets = &client.config.client_secrets;
        let mut index = client.good_secret.load(Ordering::Relaxed);
        let mut untried = secrets.len().saturating_sub(1);
        loop {
            let secret = secrets
                .get(index)
                .map_or("", |secret| secret.expose_secret());
            let outcome = self
                .attempt(client, grant, refresh_token, secret, deadline)
                .await;
            let accepted = match &outcome {
                Ok(_) => true,
                Err(refusal) => matches!(refusal.error.verdict, Verdict::Grant(_)),
            };
            if accepted {
                client.good_secret.store(index, Ordering::Relaxed);
            }
            match outcome {
                Err(refusal)
                    if refusal.try_next_secret && untried > 0 && Instant::now() < deadline =>
                {
                    untried -= 1;
                    index = (index + 1) % secrets.len();
                }
                outcome => return outcome.map_err(|refusal| refusal.error),
            }
        }
    }
}

impl Client {
    fn new(catalogue: &Catalogue, config: OAuthClient) -> Result<Self, ClientConfigError> {
        let client = config.name.clone();
        let provider = config.provider.clone();
        let Some(entry) = catalogue.get(&provider) else {
            return Err(ClientConfigError::UnknownProvider { client, provider });
        };
        if config.client_id.is_empty() {
            return Err(ClientConfigError::NoId { client });
        }
        let secrets = &config.client_secrets;
        let empty = secrets
            .iter()
            .any(|secret| secret.expose_secret().is_empty());
        if empty || (secrets.is_empty() && entry.request.client_auth.needs_secret()) {
            return Err(ClientConfigError::NoSecret { client, provider });
        }
        Ok(Self {
            entry: entry.clone(),
            config,
            good_secret: AtomicUsize::new(0),
        })
    }

    /// The refresh token to redeem, or why no request is made.
    fn refresh_token<'g>(&self, grant: &'g Grant) -> Result<&'g str, CallError> {
        let name = &self.entry.name;
        let not_refreshable = |message| {
            let verdict = Verdict::Grant(InvalidationReason::NotRefreshable);
            Err(final_refusal(verdict, Delivery::NotSent, message).error)
        };
        match (grant.facts.grant_type, &grant.tokens.refresh_token) {
            (GrantType::AuthorizationCode, _) if !self.entry.renewable => {
                not_refreshable(format!("{name} redeems no refresh tokens"))
            }
            (GrantType::AuthorizationCode, Some(token)) => Ok(token.expose()),
            (GrantType::AuthorizationCode, None) => {
                not_refreshable("the grant has no refresh token".to_owned())
            }
            (GrantType::Static, _) => not_refreshable("a static token is not renewed".to_owned()),
            (GrantType::ClientCredentials | GrantType::JwtBearer, _) => {
                let message = format!("{name} mints no tokens");
                Err(final_refusal(Verdict::Request, Delivery::NotSent, message).error)
            }
        }
    }
}

fn unanswered(entry: &Entry, fault: SendFault) -> Refusal {
    let (delivery, why) = match fault {
        SendFault::NotSent(why) => (
            Delivery::NotSent,
            format!("{} cannot be reached: {why}", entry.name),
        ),
        SendFault::Unknown(why) => (
            Delivery::Unknown,
            format!("{} did not answer: {why}", entry.name),
        ),
    };
    final_refusal(Verdict::Transient, delivery, why)
}

fn final_refusal(verdict: Verdict, delivery: Delivery, message: String) -> Refusal {
    Refusal {
        error: CallError {
            verdict,
            delivery,
            code: String::new(),
            message,
            retry_after: None,
        },
        try_next_secret: false,
    }
}
