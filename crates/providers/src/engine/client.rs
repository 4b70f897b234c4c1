//! OAuth clients, as the engine takes them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use evergrant_core::ids::{ClientName, ProviderName};
use evergrant_core::provider::Limits;
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

use crate::assertion::SigningKey;
use crate::catalogue::{Catalogue, Entry};

/// An OAuth client, as it is registered at a provider.
#[derive(Clone)]
pub struct OAuthClient {
    /// Its name in the configuration.
    pub name: ClientName,
    /// The provider that knows it.
    pub provider: ProviderName,
    /// Its public identifier there.
    pub client_id: String,
    /// Its secret. More than one while secrets are being changed: they are tried in this order.
    pub client_secrets: Vec<SecretString>,
    /// Its private key, PEM or a service-account file's JSON: what signs client assertions, and the assertions of
    /// grants that bring no key.
    pub private_key: Option<SecretString>,
    /// The `kid` of that key, where the provider wants one.
    pub key_id: Option<String>,
    /// Where users come back to after consent; the first fills the placeholder `redirect_uri`.
    pub redirect_uris: Vec<String>,
    /// Values for placeholders of the catalogue entry, e.g. a tenant.
    pub parameters: BTreeMap<String, String>,
    /// Other clients of the same provider that a grant of this one may really belong to.
    pub alternates: Vec<ClientName>,
    /// How much may be asked of the token endpoint with it; what is not set is for the catalogue entry to say.
    pub limits: Limits,
}

impl fmt::Debug for OAuthClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuthClient")
            .field("name", &self.name)
            .field("provider", &self.provider)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
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
    /// The provider demands a private key, and the client has none.
    #[error("client {client} has no private_key, which provider {provider} demands")]
    NoKey {
        /// The client.
        client: ClientName,
        /// Its provider.
        provider: ProviderName,
    },
    /// The private key is no PEM, or of another kind than the provider takes.
    #[error("client {client} has a private_key that does not sign as provider {provider} demands")]
    BadKey {
        /// The client.
        client: ClientName,
        /// Its provider.
        provider: ProviderName,
    },
    /// An alternate is no other client of the same provider.
    #[error(
        "client {client} has the alternate {alternate}, which is no other client of its provider"
    )]
    BadAlternate {
        /// The client.
        client: ClientName,
        /// The alternate that it names.
        alternate: ClientName,
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

/// A client whose configuration is sound.
pub(super) struct Client {
    pub(super) config: OAuthClient,
    pub(super) entry: Arc<Entry>,
    /// Index of the secret that was accepted last.
    good_secret: AtomicUsize,
}

impl Client {
    pub(super) fn new(
        catalogue: &Catalogue,
        config: OAuthClient,
    ) -> Result<Self, ClientConfigError> {
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
        if empty || (secrets.is_empty() && entry.demands_secret()) {
            return Err(ClientConfigError::NoSecret { client, provider });
        }
        if config.private_key.is_none() && entry.demands_private_key() {
            return Err(ClientConfigError::NoKey { client, provider });
        }
        let key = config.private_key.as_ref();
        if key.is_some_and(|key| !takes_private_key(entry, key.expose_secret())) {
            return Err(ClientConfigError::BadKey { client, provider });
        }
        Ok(Self::of(config, entry.clone()))
    }

    /// A client that needs no check.
    pub(super) fn of(config: OAuthClient, entry: Arc<Entry>) -> Self {
        Self {
            config,
            entry,
            good_secret: AtomicUsize::new(0),
        }
    }

    /// Its secrets and their indices, the one that was accepted last first. Without any, one empty text.
    pub(super) fn secrets(&self) -> Vec<(usize, &str)> {
        let secrets = &self.config.client_secrets;
        if secrets.is_empty() {
            return vec![(0, "")];
        }
        let first = self.good_secret.load(Ordering::Relaxed);
        (0..secrets.len())
            .map(|step| (first + step) % secrets.len())
            .map(|index| (index, secrets[index].expose_secret()))
            .collect()
    }

    /// Takes note that the provider accepted this secret.
    pub(super) fn accepted(&self, index: usize) {
        self.good_secret.store(index, Ordering::Relaxed);
    }
}

/// Whether a client's private key, PEM or a service-account file's JSON, is one that can sign what the entry has signed
/// with it.
pub fn takes_private_key(entry: &Entry, key: &str) -> bool {
    let key = SigningKey::read(key);
    let of_client = key.fits(entry.client_assertion.algorithm);
    // What no request proves the client with may sign the assertions of its grants.
    let of_grants = entry.assertion.as_ref();
    let of_grants = of_grants.is_some_and(|facts| key.fits(facts.algorithm));
    of_client || !entry.demands_private_key() && of_grants
}
