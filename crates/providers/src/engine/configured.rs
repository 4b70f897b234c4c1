//! With what tokens are minted, as far as that is configured and no grant brings it.

use aws_lc_rs::digest::{Context, SHA256};
use evergrant_core::grant::{Grant, Means};
use evergrant_core::minted::Fingerprint;
use secrecy::ExposeSecret as _;

use super::HttpProviders;
use super::client::Client;
use super::mint::minting;
use crate::catalogue::TokenGrant;

/// What fingerprints of this kind begin with. Another one for another choice of what goes into them makes every minted
/// token be minted anew.
const KIND: &str = "evergrant minted 1";

impl HttpProviders {
    /// Whether none of what the grant's client would mint with now minted the stored token, and whoever did has an older
    /// configuration. A client that is not configured mints nothing, so nothing is known to be better.
    pub(super) fn was_minted_before(&self, grant: &Grant) -> bool {
        let Some(minted_by) = grant.tokens.minted_by else {
            return false;
        };
        let Some((token_grant, _)) = minting(grant.facts.grant_type) else {
            return false;
        };
        let Ok(client) = self.client(&grant.facts.client) else {
            return false;
        };
        let means = &grant.tokens.means;
        let own = client
            .secrets()
            .into_iter()
            .map(|(_, secret)| fingerprint(client, token_grant, means, secret));
        minted_by.is_outdated(self.since, own)
    }
}

/// The fingerprint of what a request of `client` with this secret, the one that was accepted, mints with. What `means`
/// bring in place of the client's own counts for nothing: new means are another grant's business.
///
/// Every part is preceded by its length, so that no two configurations have the same bytes.
pub(super) fn fingerprint(
    client: &Client,
    grant: TokenGrant,
    means: &Means,
    secret: &str,
) -> Fingerprint {
    let Client { config, entry, .. } = client;
    let brings = |name: &str| means.parameters.contains_key(name);
    let key = config.private_key.as_ref().map(|key| key.expose_secret());
    let (key, key_id) = match means.signing_key {
        Some(_) => (None, None),
        None => (key, config.key_id.as_deref()),
    };
    let url = entry.grants.get(grant).url.value.template();
    let address = url.to_string();
    let of_client = (!brings("client_id")).then_some(config.client_id.as_str());
    let of_secret = (!brings("client_secret")).then_some(secret);
    let mut digest = Context::new(&SHA256);
    let mut add = |part: Option<&str>| {
        let length = part.map_or(u64::MAX, |part| part.len() as u64);
        digest.update(&length.to_be_bytes());
        digest.update(part.unwrap_or_default().as_bytes());
    };
    for part in [
        Some(KIND),
        of_client,
        of_secret,
        key,
        key_id,
        Some(&address),
    ] {
        add(part);
    }
    for name in url.placeholders() {
        add(entry.placeholders.get(name).map(String::as_str));
    }
    for (name, value) in &config.parameters {
        add(Some(name));
        add(Some(value));
    }
    let sha256 = digest.finish();
    Fingerprint::new(sha256.as_ref().try_into().expect("SHA-256 has 32 bytes"))
}

#[cfg(test)]
mod tests;
