//! The grant that a row is about.

use std::collections::BTreeMap;
use std::time::Duration;

use evergrant_core::grant::{Grant, GrantFacts, GrantType, Means, TokenSet};
use evergrant_core::ids::ClientKey;
use evergrant_core::secret::{AccessToken, Parameter, SigningKey};
use evergrant_core::testing::sample;

use super::{NOW, SERVICE_ACCOUNT_FIELDS};
use crate::facts::Exchange;

/// A grant of the kind that the row tells, with what it brings.
pub(super) fn grant(client: ClientKey, row: &Exchange, key: String) -> Grant {
    let (grant_type, metadata, means) = match row.grant.as_str() {
        "refresh_token" | "introspect" | "revoke" => (
            GrantType::AuthorizationCode,
            row.given.clone(),
            Means::default(),
        ),
        "client_credentials" => (
            GrantType::ClientCredentials,
            BTreeMap::new(),
            means(row, None),
        ),
        "jwt_bearer" => (GrantType::JwtBearer, BTreeMap::new(), means(row, Some(key))),
        "token_exchange" => (GrantType::TokenExchange, BTreeMap::new(), means(row, None)),
        other => panic!("no such grant: {other}"),
    };
    let access_token = match row.grant.as_str() {
        // Where the access token itself is what is redeemed.
        "refresh_token" => "old-refresh",
        _ => "old-access",
    };
    let tokens = TokenSet {
        access_token: AccessToken::new(access_token.to_owned()),
        scopes: row.scopes.clone(),
        metadata,
        means,
        ..sample::tokens()
    };
    // Old enough to be renewed by providers that want a token to have lived a while.
    let before = NOW.minus(Duration::from_hours(48));
    Grant {
        facts: GrantFacts {
            grant_type,
            requested_scopes: row.scopes.iter().cloned().collect(),
            ..sample::facts(client, &tokens, before)
        },
        tokens,
    }
}

fn means(row: &Exchange, key: Option<String>) -> Means {
    let parameters = row
        .given
        .iter()
        .filter(|(name, _)| !SERVICE_ACCOUNT_FIELDS.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), Parameter::new(value.clone())));
    Means {
        parameters: parameters.collect(),
        signing_key: key.map(SigningKey::new),
        scopes: row.scopes.iter().cloned().collect(),
        subject_token: None,
    }
}
