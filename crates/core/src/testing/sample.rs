//! Grants to begin a test with. What a test is about it says itself, with struct update syntax.

use std::collections::BTreeMap;

use crate::ageing::Dates;
use crate::clock::Timestamp;
use crate::grant::{Attempts, Grant, GrantFacts, GrantState, GrantType, Means, TokenSet};
use crate::ids::{ClientKey, ClientName, Generation, GrantId, ProviderName, TenantId};
use crate::secret::{AccessToken, RefreshToken};

/// The client `main` of a provider.
pub fn client(provider: &str) -> ClientKey {
    ClientKey {
        provider: ProviderName::parse(provider).expect("a test names a provider"),
        client: ClientName::parse("main").expect("it is a name"),
    }
}

/// The access token `old-access`, whose end is unknown, and the refresh token `old-refresh`.
pub fn tokens() -> TokenSet {
    TokenSet {
        access_token: AccessToken::new("old-access".to_owned()),
        token_type: "Bearer".to_owned(),
        expires_at: None,
        refresh_token: Some(RefreshToken::new("old-refresh".to_owned())),
        refresh_expires_at: None,
        scopes: Vec::new(),
        metadata: BTreeMap::new(),
        means: Means::default(),
        minted_by: None,
    }
}

/// What the store would say of a working grant of tenant `t` that a user gave at `at`, and that has these tokens.
pub fn facts(client: ClientKey, tokens: &TokenSet, at: Timestamp) -> GrantFacts {
    GrantFacts {
        id: GrantId::random(),
        tenant: TenantId::parse("t").expect("it is a name"),
        client,
        account: None,
        grant_type: GrantType::AuthorizationCode,
        parent: None,
        requested_scopes: tokens.means.scopes.clone(),
        generation: Generation::FIRST,
        version: 1,
        state: GrantState::Active,
        consented_at: at,
        issued_at: at,
        expires_at: tokens.expires_at,
        refresh_expires_at: tokens.refresh_expires_at,
        refreshable: tokens.refresh_token.is_some(),
        dates: Dates::default(),
        announced: None,
        scopes: tokens.scopes.clone(),
        attempts: Attempts::default(),
        lease: None,
        in_doubt: false,
        created_at: at,
    }
}

/// The grant of [`facts`].
pub fn grant(client: ClientKey, tokens: TokenSet, at: Timestamp) -> Grant {
    let facts = facts(client, &tokens, at);
    Grant { facts, tokens }
}
