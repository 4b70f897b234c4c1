//! Who consented: the identity token of an OpenID provider.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use evergrant_core::ids::{ClientKey, ProviderName};
use evergrant_core::provider::UnknownClient;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use thiserror::Error;

use super::HttpProviders;
use super::client::Client;
use crate::catalogue::{Entry, OpenIdFacts, Template, ThenFacts, TokenGrant};
use crate::jwks::{Expect, Expiry, KeySets, LEEWAY, Place, VerifyError};
use crate::placeholders::Placeholders;

/// What is known of a client before a user consents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentFacts {
    /// Where users may come back to; the first is the default.
    pub redirect_uris: Vec<String>,
    /// Whether the provider takes a code challenge (RFC 7636).
    pub pkce: bool,
    /// Whether the provider gives identity tokens that can be verified.
    pub openid: bool,
    /// Whether something besides such a token says who has consented.
    pub names_account: bool,
    /// Its issuer, if that is the same for every account.
    pub issuer: Option<String>,
    /// The name of the parameter that lists the scopes.
    pub scope_parameter: String,
    /// The placeholders of its URLs and of what it is asked with.
    pub placeholders: Vec<String>,
    /// Those of them that are part of an address: of a shop, a directory, an instance.
    pub address_placeholders: Vec<String>,
    /// Every placeholder that the entry has anywhere.
    pub known_placeholders: Vec<String>,
}

/// An identity token that came with tokens, and what it must say.
#[derive(Clone, Copy)]
pub struct IdToken<'a> {
    /// The token.
    pub token: &'a SecretString,
    /// The client that it must be for.
    pub client: &'a ClientKey,
    /// What the consent began with.
    pub nonce: Option<&'a str>,
    /// The placeholders of the consent.
    pub placeholders: &'a BTreeMap<String, String>,
}

/// Why it is not known who consented.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IdTokenError {
    /// There is no such client.
    #[error(transparent)]
    UnknownClient(#[from] UnknownClient),
    /// The catalogue does not say how the provider's identity tokens are verified, or not with the values at hand.
    #[error("catalogue entry {0}: openid.jwks_url cannot be used")]
    NoKeys(ProviderName),
    /// The token cannot be believed.
    #[error("the id_token of {provider} cannot be believed: {}{error}", key_of(.error))]
    Verify {
        /// The provider.
        provider: ProviderName,
        /// Why.
        error: VerifyError,
    },
}

/// The key of the entry that an error is about, if it is about none of the token.
fn key_of(error: &VerifyError) -> &'static str {
    match error {
        VerifyError::Unavailable(_) | VerifyError::Url(_) => "openid.jwks_url: ",
        _ => "",
    }
}

impl HttpProviders {
    /// What is known of a client before a user consents.
    pub fn consent_facts(&self, client: &ClientKey) -> Result<ConsentFacts, UnknownClient> {
        let client = self.client(client)?;
        let (config, entry) = (&client.config, &client.entry);
        let openid = entry.openid.as_ref();
        let issuer = openid.map(|openid| &openid.issuer);
        let issuer = issuer.filter(|issuer| issuer.placeholders().next().is_none());
        Ok(ConsentFacts {
            redirect_uris: config.redirect_uris.clone(),
            pkce: entry.authorize.pkce,
            openid: openid.is_some(),
            names_account: names_account(entry),
            issuer: issuer.map(Template::to_string),
            scope_parameter: entry.authorize.scope.clone(),
            placeholders: placeholder_names(entry),
            address_placeholders: sorted(addresses(entry).flat_map(Template::placeholders)),
            known_placeholders: entry
                .placeholder_names()
                .into_iter()
                .map(str::to_owned)
                .collect(),
        })
    }

    /// The account that an identity token names, once everything that OpenID Connect Core section 3.1.3.7 asks of it
    /// is verified. May fetch the provider's keys; cancelling it leaves nothing behind.
    pub async fn verify_id_token(
        &self,
        key_sets: &KeySets,
        id_token: IdToken<'_>,
    ) -> Result<String, IdTokenError> {
        let client = self.client(id_token.client)?;
        let provider = &client.entry.name;
        let no_keys = || IdTokenError::NoKeys(provider.clone());
        let openid = client.entry.openid.as_ref().ok_or_else(no_keys)?;
        let placeholders = known(client, id_token.placeholders);
        let jwks_url = openid
            .jwks_url
            .fill(|name| placeholders.get(name), &client.entry.allowed_hosts)
            .map_err(|_| no_keys())?;
        let place = Place {
            url: jwks_url,
            guarded: openid.jwks_url.has_open_host(),
            issuer: None,
        };
        let issuer = issuer(openid, &placeholders);
        let client_id = client.config.client_id.as_str();
        let expect = Expect {
            issuers: &[&issuer],
            audiences: &[client_id],
            expiry: Expiry::Required,
            leeway: LEEWAY,
            nonce: id_token.nonce,
            typ: None,
        };
        let token = id_token.token.expose_secret();
        let claims = key_sets.verify_from(&place, token, &expect).await;
        let account = claims.and_then(|claims| account(&claims, openid, client_id));
        account.map_err(|error| IdTokenError::Verify {
            provider: provider.clone(),
            error,
        })
    }

    /// The account that an identity token names, not verified: only for whoever may name any account. `None` if the provider
    /// gives none that consents take the account from, or this is not one.
    pub fn claimed_account(
        &self,
        provider: &ProviderName,
        id_token: &SecretString,
    ) -> Option<String> {
        let openid = self.entry(provider)?.openid.as_ref()?;
        named(&claims(id_token.expose_secret())?, openid)
    }
}

/// What a signed token says (RFC 7515 section 7.1), whoever signed it.
fn claims(token: &str) -> Option<Map<String, Value>> {
    let [_, payload, _] = *token.split('.').collect::<Vec<_>>() else {
        return None;
    };
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    serde_json::from_slice(&payload).ok()
}

fn named(claims: &Map<String, Value>, openid: &OpenIdFacts) -> Option<String> {
    match claims.get(&openid.account)? {
        Value::String(account) if !account.is_empty() => Some(account.clone()),
        Value::Number(account) => Some(account.to_string()),
        _ => None,
    }
}

fn account(
    claims: &Map<String, Value>,
    openid: &OpenIdFacts,
    client_id: &str,
) -> Result<String, VerifyError> {
    // Whom a token for several audiences was issued to.
    if claims
        .get("azp")
        .is_some_and(|party| party.as_str() != Some(client_id))
    {
        let (name, why) = ("azp", "is not the expected one");
        return Err(VerifyError::Claim { name, why });
    }
    named(claims, openid).ok_or(VerifyError::Form)
}

fn known<'a>(client: &'a Client, consent: &'a BTreeMap<String, String>) -> Placeholders<'a> {
    let mut placeholders = Placeholders::default();
    placeholders.add_all(consent);
    placeholders.add_all(&client.config.parameters);
    placeholders.add_all(&client.entry.placeholders);
    placeholders
}

/// The issuer with what is known before the token came. What is left names claims.
fn issuer(openid: &OpenIdFacts, placeholders: &Placeholders<'_>) -> String {
    let mut issuer = openid.issuer.to_string();
    for name in openid.issuer.placeholders() {
        if let Some(value) = placeholders.get(name) {
            issuer = issuer.replace(&format!("{{{name}}}"), value);
        }
    }
    issuer
}

/// Whether an answer with tokens names the account, or the provider is asked for it.
fn names_account(entry: &Entry) -> bool {
    let code = entry.grants.get(TokenGrant::AuthorizationCode);
    let then = code.then.iter().map(|then| &then.response);
    let device = entry.grants.get(TokenGrant::DeviceCode);
    let mut responses = then.chain([&code.response, &device.response]);
    entry.userinfo_url.is_some() || responses.any(|response| !response.account.0.is_empty())
}

/// Where users are sent, and where their tokens come from.
fn addresses(entry: &Entry) -> impl Iterator<Item = &Template> {
    let urls = [
        Some(&entry.token_url),
        entry.refresh_url.as_ref(),
        entry.authorize_url.as_ref(),
    ];
    urls.into_iter().flatten().map(|url| url.template())
}

fn placeholder_names(entry: &Entry) -> Vec<String> {
    let parameters = entry.authorize.parameters.values().map(|fact| &fact.value);
    let code = entry.grants.get(TokenGrant::AuthorizationCode);
    let in_then = code.then.iter().flat_map(ThenFacts::placeholders);
    let comes = |name: &&str| code.response.metadata.contains_key(*name);
    let in_userinfo = entry.userinfo_placeholders().filter(|name| !comes(name));
    let names = addresses(entry)
        .chain(parameters)
        .flat_map(Template::placeholders)
        .chain(in_then.filter(|name| !code.gives(name)))
        .chain(in_userinfo);
    sorted(names)
}

/// Those of the names that somebody has to give a value, each once.
fn sorted<'n>(names: impl Iterator<Item = &'n str>) -> Vec<String> {
    let mut names: Vec<String> = names
        .filter(|name| !["client_id", "redirect_uri"].contains(name))
        .map(str::to_owned)
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests;
