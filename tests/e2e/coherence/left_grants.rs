//! A credential that leaves a grant which another still uses is not answered with that grant's token any more.

use anyhow::{Result, ensure};
use evergrant_proto::v1::{Credential, ReconnectCredentialRequest};
use evergrant_providers::sandbox::RotationMode;
use tonic::Code;

use crate::harness::caller::{Caller, credential, fresh};
use crate::harness::eventually::eventually;
use crate::harness::scene::{SOON, Scene};

fn of(account: &str, id: &str) -> Credential {
    Credential {
        provider_account: account.to_owned(),
        ..credential(id)
    }
}

/// The replica that is asked has both credentials in memory when the other one changes the first. Once it has heard of
/// that, a caller asks for the second, so that the grant is in its memory again.
#[tokio::test]
async fn a_credential_that_leaves_a_shared_grant_is_never_answered_with_its_token_again()
-> Result<()> {
    for scene in [Scene::with_redis().await?, Scene::without_redis().await?] {
        let replicas = scene.replicas().await?;
        let [one, two] = replicas.each_ref().map(|replica| replica.caller());
        let shared = scene.sandbox.grant(RotationMode::Strict)?;
        for id in ["deleted", "recreated", "moved", "stayer"] {
            one.store(of("first", id), fresh(&shared)).await?;
        }
        for id in ["deleted", "recreated", "moved", "stayer"] {
            let text = two.token(id).await?.access_token;
            assert_eq!(text, shared.access_token.expose());
        }

        let moved = scene.sandbox.grant(RotationMode::Strict)?;
        let request = ReconnectCredentialRequest {
            credential_id: "moved".to_owned(),
            material: Some(fresh(&moved)),
            provider_account: "second".to_owned(),
            allow_account_change: true,
            ..ReconnectCredentialRequest::default()
        };
        one.reconnect_with(request).await?;
        one.delete("recreated", false).await?;
        let again = scene.sandbox.grant(RotationMode::Strict)?;
        one.store(of("third", "recreated"), fresh(&again)).await?;
        one.delete("deleted", false).await?;

        for (id, expected) in [("moved", &moved), ("recreated", &again)] {
            becomes(&two, id, Some(expected.access_token.expose())).await?;
        }
        becomes(&two, "deleted", None).await?;
        let text = two.token("stayer").await?.access_token;
        ensure!(text == shared.access_token.expose());
    }
    Ok(())
}

/// Waits until the credential has this token, or is not there, while another of its former grant is asked for.
async fn becomes(caller: &Caller, id: &str, expected: Option<&str>) -> Result<()> {
    eventually(
        "the grant that was left to be forgotten",
        SOON,
        async || {
            caller.token("stayer").await.ok()?;
            match (caller.token(id).await, expected) {
                (Ok(answer), Some(expected)) => (answer.access_token == expected).then_some(()),
                (Err(refused), None) => (refused.code() == Code::NotFound).then_some(()),
                _ => None,
            }
        },
    )
    .await
}
