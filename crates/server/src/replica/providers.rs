//! The catalogue and the OAuth clients of the configuration.

use std::path::Path;
use std::sync::Arc;

use evergrant_providers::{Catalogue, CatalogueError, HttpProviders, OAuthClient};

use super::StartError;
use crate::clock::SystemClock;
use crate::config::Config;

/// The built-in entries, and the own ones over them. A folder that does not exist holds none.
pub(crate) fn catalogue(dir: Option<&Path>) -> Result<Catalogue, CatalogueError> {
    let mut catalogue = Catalogue::builtin();
    if let Some(dir) = dir.filter(|dir| dir.exists()) {
        catalogue.add_dir(dir)?;
    }
    Ok(catalogue)
}

pub(super) fn http_providers(config: &Config) -> Result<HttpProviders, StartError> {
    let catalogue = catalogue(config.providers.dir.as_deref())?;
    config.check_providers(|name| catalogue.iter().any(|entry| entry.name.as_str() == name))?;
    let clients = config
        .clients
        .iter()
        .map(|(name, client)| OAuthClient {
            name: name.clone(),
            provider: client.provider.clone(),
            client_id: client.client_id.clone(),
            client_secrets: client
                .client_secret
                .iter()
                .map(|secret| secret.to_secret_string())
                .collect(),
            redirect_uris: client.redirect_uris.clone(),
            parameters: client.parameters.clone(),
        })
        .collect();
    let clock = Arc::new(SystemClock);
    Ok(HttpProviders::new(Arc::new(catalogue), clients, clock)?)
}
