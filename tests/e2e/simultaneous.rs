//! Tokens that several replicas are brought at once.

use anyhow::{Result, ensure};
use futures_util::future::join_all;
use tonic::Code;

use crate::harness::caller::{credential, fresh, reason};
use crate::harness::scene::Scene;
use evergrant_providers::sandbox::RotationMode;

const ROUNDS: usize = 10;

/// Nothing in the database forbids that two grants hold one refresh token; what does is that changes are written against
/// the state that they were computed from.
#[tokio::test]
async fn a_refresh_token_that_two_replicas_store_at_once_is_in_one_grant() -> Result<()> {
    for scene in [Scene::with_redis().await?, Scene::without_redis().await?] {
        let [one, two] = scene.replicas().await?;
        for round in 0..ROUNDS {
            let grant = scene.sandbox.grant(RotationMode::Strict)?;
            let storing = ["a", "b", "c", "d"]
                .into_iter()
                .zip([&one, &two].into_iter().cycle());
            let storing = storing.map(|(name, replica)| {
                let (caller, tokens) = (replica.caller(), fresh(&grant));
                let credential = credential(&format!("{name}-{round}"));
                async move { caller.store(credential, tokens).await }
            });
            let mut grants = Vec::new();
            for stored in join_all(storing).await {
                grants.push(stored?.grant_id);
            }
            grants.sort();
            grants.dedup();
            assert_eq!(grants.len(), 1, "round {round}: {grants:?}");

            let asking = ["a", "b", "c", "d"]
                .into_iter()
                .zip([&two, &one].into_iter().cycle());
            let asking = asking.map(|(name, replica)| {
                let (caller, name) = (replica.caller(), format!("{name}-{round}"));
                async move { caller.refused(&name, 1).await }
            });
            for token in join_all(asking).await {
                assert_eq!(token?.generation, 2, "round {round}");
            }
        }
        scene.sandbox.assert_one_call_a_token()?;
    }
    Ok(())
}

#[tokio::test]
async fn a_name_that_two_replicas_store_at_once_is_stored_once() -> Result<()> {
    let scene = Scene::without_redis().await?;
    let replicas: [_; 2] = scene.replicas().await?;
    for round in 0..ROUNDS {
        let storing = replicas.iter().map(|replica| {
            let caller = replica.caller();
            let grant = scene.sandbox.grant(RotationMode::Strict);
            async move {
                let credential = credential(&format!("c-{round}"));
                anyhow::Ok(caller.store(credential, fresh(&grant?)).await)
            }
        });
        let answers: Result<Vec<_>> = join_all(storing).await.into_iter().collect();
        let (stored, refused): (Vec<_>, Vec<_>) = answers?.into_iter().partition(Result::is_ok);
        ensure!(stored.len() == 1, "round {round}: {stored:?}");
        for refusal in refused {
            let exists = (Code::AlreadyExists, "CREDENTIAL_EXISTS".to_owned());
            assert_eq!(reason(&refusal.expect_err("it is one of these")), exists);
        }
    }
    Ok(())
}
