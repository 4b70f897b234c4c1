//! Grants as the service has them stored.

use std::collections::BTreeMap;
use std::time::Duration;

use evergrant_core::clock::Clock;
use evergrant_core::grant::{Grant, GrantFacts, GrantType, Means, TokenSet};
use evergrant_core::ids::ClientKey;
use evergrant_core::secret::{AccessToken, Parameter, RefreshToken, SigningKey};
use evergrant_core::testing::sample;
use evergrant_providers::catalogue::{Entry, TokenGrant};
use evergrant_providers::sandbox::NewGrant;

use super::stage::Start;

/// A grant that a user of the sandbox gave.
pub fn stored(
    clock: Start,
    client: &ClientKey,
    new: &NewGrant,
    self_renewing: bool,
    metadata: BTreeMap<String, String>,
) -> Grant {
    let refresh_token = new.refresh_token.expose().to_owned();
    let tokens = TokenSet {
        access_token: AccessToken::new(new.access_token.expose().to_owned()),
        refresh_token: (!self_renewing).then(|| RefreshToken::new(refresh_token)),
        metadata,
        ..nothing()
    };
    grant(clock, client, GrantType::AuthorizationCode, tokens)
}

/// A grant without a user that has all that its entry asks for.
pub fn minted(
    clock: Start,
    client: &ClientKey,
    entry: &Entry,
    grant_type: GrantType,
    key: &str,
) -> Grant {
    let of_type = match grant_type {
        GrantType::JwtBearer => TokenGrant::JwtBearer,
        _ => TokenGrant::ClientCredentials,
    };
    let required = entry.grants.get(of_type).required.iter();
    let open = entry.placeholder_names().into_iter();
    let open = open.filter(|name| !entry.placeholders.contains_key(*name));
    let names = required.map(String::as_str).chain(open);
    // Those come with the key.
    let names = names.filter(|name| !["client_email", "key_id"].contains(name));
    let parameters = names.map(|name| (name.to_owned(), Parameter::new("sandbox".to_owned())));
    let file = serde_json::json!({ "client_email": "robot@sandbox.example", "private_key": key });
    let tokens = TokenSet {
        means: Means {
            parameters: parameters.collect(),
            signing_key: Some(SigningKey::new(file.to_string())),
            scopes: ["read".to_owned()].into_iter().collect(),
            subject_token: None,
        },
        ..nothing()
    };
    grant(clock, client, grant_type, tokens)
}

fn nothing() -> TokenSet {
    TokenSet {
        access_token: AccessToken::new(String::new()),
        refresh_token: None,
        ..sample::tokens()
    }
}

fn grant(clock: Start, client: &ClientKey, grant_type: GrantType, tokens: TokenSet) -> Grant {
    // Old enough to be renewed by providers that want a token to have lived a while.
    let before = clock.now().minus(Duration::from_hours(48));
    Grant {
        facts: GrantFacts {
            grant_type,
            refreshable: true,
            ..sample::facts(client.clone(), &tokens, before)
        },
        tokens,
    }
}
