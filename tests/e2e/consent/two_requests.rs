//! A consent at a provider whose first answer is made good by a second request.

use anyhow::Result;
use evergrant_providers::sandbox::RotationMode;
use serde_json::Value;
use tonic::Code;

use super::sandbox::{connect, scene};
use crate::harness::scene::{PROVIDER, Scene};

/// The sandbox, with a second request of this type that redeems the refresh token of the first answer.
async fn two_step(grant_type: &str) -> Result<Scene> {
    let scene = scene().await?;
    let entry = scene.sandbox.entry(PROVIDER, RotationMode::Strict);
    let address = scene.sandbox.address();
    let then = format!(
        r#"
        [grants.authorization_code.then]
        url = "http://{address}/token"
        grant_type = "{grant_type}"
        parameters = {{ refresh_token = "{{refresh_token}}" }}
        "#
    );
    Ok(scene.provider(PROVIDER, entry + &then))
}

#[tokio::test]
async fn what_the_second_request_brought_is_stored_and_renewed() -> Result<()> {
    let scene = two_step("refresh_token").await?;
    let replica = scene.replica("replica").await?;
    let approved = connect(&replica, "approve").await?;
    assert!(approved.success, "{}", approved.stderr);
    let printed: Value = serde_json::from_str(&approved.stdout)?;
    assert_eq!(printed["credential"]["scopes"], serde_json::json!(["read"]));
    assert_eq!(printed["credential"]["refreshable"], true);
    assert_eq!(scene.sandbox.calls(), 2, "the code, and what it brought");

    let caller = replica.caller();
    let first = caller.token("c").await?;
    let second = caller.refused("c", first.generation).await?;
    assert_eq!(second.generation, first.generation + 1);
    assert_ne!(second.access_token, first.access_token);
    assert_eq!(scene.sandbox.calls(), 3);
    // The refresh token of the first answer was spent by the second request, and never used again.
    scene.sandbox.assert_one_call_a_token()
}

#[tokio::test]
async fn nothing_is_stored_if_the_second_request_fails_and_the_user_is_told_to_begin_again()
-> Result<()> {
    let scene = two_step("of_another_provider").await?;
    let replica = scene.replica("replica").await?;
    let failed = connect(&replica, "approve").await?;
    assert!(!failed.success);
    for part in [
        "in the second of two requests acme answered HTTP 400 at its grants.authorization_code.then.url",
        "the user has to consent again",
    ] {
        assert!(failed.stderr.contains(part), "{}", failed.stderr);
    }
    assert_eq!(scene.sandbox.calls(), 2, "a refusal is not tried again");
    let missing = replica
        .caller()
        .token("c")
        .await
        .expect_err("there is none");
    assert_eq!(missing.code(), Code::NotFound);
    Ok(())
}
