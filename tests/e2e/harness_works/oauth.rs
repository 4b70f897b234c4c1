//! The OAuth server is as strict as the tests assume, and as sloppy where they ask for it.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::task::JoinSet;

use crate::harness::oidc::{OidcOptions, OidcProvider, TokenAnswer, TokenError};

const CALLERS: usize = 20;

#[tokio::test]
async fn each_refresh_token_is_good_for_the_next_one() -> Result<()> {
    let provider = OidcProvider::start(OidcOptions::default()).await?;
    let grant = provider.issue_grant().await?;
    assert_eq!(grant.expires_in, 60);
    assert!(provider.is_active(&grant.access_token).await?);

    let mut refresh_token = grant.refresh_token;
    for _ in 0..50 {
        let answer = provider.refresh(&refresh_token).await?.map_err(refused)?;
        let next = answer.refresh_token.context("no refresh token")?;
        assert_ne!(next, refresh_token);
        refresh_token = next;
    }

    let ledger = provider.ledger().await?;
    assert_eq!(ledger.count("grant.success"), 50);
    assert_eq!(ledger.count("refresh_token.consumed"), 50);
    assert_eq!(ledger.count("grant.error"), 0);
    let exchanges = ledger.entries.iter().filter(|e| e.event == "grant.success");
    let exchanges: Vec<_> = exchanges.collect();
    for pair in exchanges.windows(2) {
        assert_eq!(pair[0].issued, pair[1].presented, "the chain is broken");
    }
    Ok(())
}

#[tokio::test]
async fn a_refresh_token_that_is_used_twice_revokes_its_family() -> Result<()> {
    let provider = OidcProvider::start(OidcOptions::default()).await?;
    let grant = provider.issue_grant().await?;
    let answer = provider.refresh(&grant.refresh_token).await?;
    let successor = answer.map_err(refused)?;

    assert_eq!(
        invalid_grant(),
        provider.refresh(&grant.refresh_token).await?.err()
    );

    let successor_token = successor.refresh_token.context("no refresh token")?;
    assert_eq!(
        invalid_grant(),
        provider.refresh(&successor_token).await?.err()
    );
    assert!(!provider.is_active(&successor.access_token).await?);
    let ledger = provider.ledger().await?;
    assert_eq!(ledger.count("grant.revoked"), 1);
    let revoked = ledger.entries.iter().find(|e| e.event == "grant.revoked");
    assert_eq!(
        revoked.and_then(|e| e.grant_id.clone()),
        Some(grant.grant_id)
    );
    Ok(())
}

#[tokio::test]
async fn of_concurrent_exchanges_of_one_refresh_token_exactly_one_succeeds() -> Result<()> {
    let provider = OidcProvider::start(OidcOptions {
        exchange_time: Duration::from_millis(20),
        ..OidcOptions::default()
    })
    .await?;
    assert_eq!(successes_of_concurrent_exchanges(provider).await?, 1);
    Ok(())
}

#[tokio::test]
async fn the_racy_server_lets_several_concurrent_exchanges_succeed() -> Result<()> {
    let provider = OidcProvider::start(OidcOptions {
        exchange_time: Duration::from_millis(100),
        racy: true,
        ..OidcOptions::default()
    })
    .await?;
    assert!(successes_of_concurrent_exchanges(provider).await? > 1);
    Ok(())
}

#[tokio::test]
async fn a_user_can_withdraw_consent() -> Result<()> {
    let provider = OidcProvider::start(OidcOptions::default()).await?;
    let grant = provider.issue_grant().await?;
    let other = provider.issue_grant().await?;

    provider.revoke_grant(&grant.grant_id).await?;

    assert!(!provider.is_active(&grant.access_token).await?);
    assert_eq!(
        invalid_grant(),
        provider.refresh(&grant.refresh_token).await?.err()
    );
    assert!(provider.refresh(&other.refresh_token).await?.is_ok());
    assert_eq!(provider.ledger().await?.count("grant.revoked"), 1);
    Ok(())
}

#[tokio::test]
async fn a_changed_client_secret_refuses_the_old_one_and_harms_no_grant() -> Result<()> {
    let mut provider = OidcProvider::start(OidcOptions::default()).await?;
    let grant = provider.issue_grant().await?;
    let old = provider.client_secret().to_owned();

    provider.change_client_secret("second-secret").await?;
    let answer = provider
        .refresh_with_secret(&grant.refresh_token, &old)
        .await?;
    assert_eq!(
        answer.err().map(|e| e.error).as_deref(),
        Some("invalid_client")
    );

    assert!(provider.refresh(&grant.refresh_token).await?.is_ok());
    let ledger = provider.ledger().await?;
    let refusal = ledger.entries.iter().find_map(|e| e.error.as_deref());
    assert_eq!(refusal, Some("invalid_client"));
    Ok(())
}

#[tokio::test]
async fn an_authorization_code_is_good_for_tokens_once() -> Result<()> {
    const REDIRECT_URI: &str = "http://127.0.0.1/callback";
    let provider = OidcProvider::start(OidcOptions::default()).await?;
    let code = provider.issue_code(REDIRECT_URI, None).await?;

    let answer = provider.redeem_code(&code, REDIRECT_URI).await?;
    assert!(answer.map_err(refused)?.refresh_token.is_some());
    let again = provider.redeem_code(&code, REDIRECT_URI).await?;
    assert_eq!(invalid_grant(), again.err());
    Ok(())
}

#[tokio::test]
async fn the_catalogue_entry_names_the_servers_endpoints() -> Result<()> {
    let provider = OidcProvider::start(OidcOptions::default()).await?;
    let entry: toml::Table = toml::from_str(&provider.catalogue_entry("acme"))?;
    assert_eq!(entry["name"].as_str(), Some("acme"));
    let token_url = entry["token_url"].as_str().unwrap_or_default();
    assert!(token_url.starts_with("http://127.0.0.1:"), "{token_url}");
    assert_eq!(provider.client_id(), "evergrant");
    Ok(())
}

async fn successes_of_concurrent_exchanges(provider: OidcProvider) -> Result<usize> {
    let grant = provider.issue_grant().await?;
    let provider = std::sync::Arc::new(provider);
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let provider = std::sync::Arc::clone(&provider);
        let refresh_token = grant.refresh_token.clone();
        callers.spawn(async move { provider.refresh(&refresh_token).await });
    }
    let answers: Vec<Result<Result<TokenAnswer, TokenError>>> = callers.join_all().await;
    let answers = answers.into_iter().collect::<Result<Vec<_>>>()?;
    assert!(
        answers
            .iter()
            .flat_map(|a| a.as_ref().err())
            .all(|e| e.error == "invalid_grant"),
        "{answers:?}"
    );
    let successes = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(
        provider.ledger().await?.count("grant.success"),
        successes as u64
    );
    Ok(successes)
}

fn refused(error: TokenError) -> anyhow::Error {
    anyhow::anyhow!("the server refused: {}", error.error)
}

fn invalid_grant() -> Option<TokenError> {
    Some(TokenError {
        error: "invalid_grant".to_owned(),
    })
}
