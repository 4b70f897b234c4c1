//! Whether a rejection of the client may be about what one grant brings.

use std::time::Duration;

use evergrant_core::grant::{Grant, GrantType};
use evergrant_core::provider::{Providers, Verdict};

use crate::support::{Endpoint, acme, client, grant, providers, reply};

const CREDENTIALS: &str = "grant_types = [\"client_credentials\"]\n";

/// Whether a refusal with `code` is of the grant alone; `path` is the end of the token endpoint's address.
async fn is_grant_specific(path: &str, rest: &str, grant: &Grant, code: &str) -> bool {
    let answer = format!("{{\"error\":\"{code}\"}}");
    let endpoint = Endpoint::answering([reply(401, &answer)]).await;
    let entry = acme(&endpoint.authority, rest).replace("/token\"", &format!("{path}\""));
    let providers = providers(&entry, vec![client("acme", "main", &["s"])]).unwrap();
    let refused = providers.refresh(grant, Duration::from_secs(10)).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.verdict, Verdict::Client);
    refused.grant_specific
}

fn of_tenant(mut grant: Grant) -> Grant {
    let metadata = &mut grant.tokens.metadata;
    metadata.insert("tenant".to_owned(), "fabrikam".to_owned());
    grant
}

fn minted() -> Grant {
    let mut grant = grant("acme");
    grant.facts.grant_type = GrantType::ClientCredentials;
    grant.tokens.refresh_token = None;
    grant
}

// A directory that does not have the application says nothing of it for others; nor does a host that is one grant's.
#[tokio::test]
async fn what_an_endpoint_of_the_grants_own_says_is_of_the_grant() {
    let path = "/{tenant}/token";
    let common = "[placeholders]\ntenant = \"common\"\n";
    let own = of_tenant(grant("acme"));
    for code in ["unauthorized_client", "invalid_client"] {
        assert!(is_grant_specific(path, "", &own, code).await);
        assert!(is_grant_specific(path, common, &own, code).await);
    }
    let shared = "invalid_client";
    assert!(!is_grant_specific(path, common, &grant("acme"), shared).await);
    assert!(!is_grant_specific("/token", "", &own, shared).await);
}

// RFC 6749 section 5.2: an unauthorized client was recognized, so it is the account that does not let it in.
#[tokio::test]
async fn a_recognized_client_that_may_not_mint_for_an_account_is_refused_for_that_alone() {
    let ask = async |code| is_grant_specific("/token", CREDENTIALS, &minted(), code).await;
    assert!(ask("unauthorized_client").await);
    assert!(!ask("invalid_client").await);
    assert!(!ask("invalid_scope").await, "the client's own scopes");
}

// RFC 6749 section 5.2: so it is of a refresh token that was issued to another client, or for other scopes.
#[tokio::test]
async fn a_recognized_client_that_may_not_renew_a_grant_is_refused_for_that_alone() {
    let ask = async |code| is_grant_specific("/token", "", &grant("acme"), code).await;
    assert!(ask("unauthorized_client").await);
    assert!(ask("invalid_scope").await);
    assert!(!ask("invalid_client").await);
}
