//! Identity tokens that nobody should believe, and one that is believed in spite of all.

use anyhow::{Context, Result};
use serde_json::Value;
use tonic::Code;

use super::{Scene, complete};
use crate::harness::application::Stranger;
use crate::harness::browser::Person;
use crate::harness::caller::{Caller, reason};
use crate::harness::oidc::Elsewhere;

/// `{"alg":"none"}` and `{"sub":"ada"}`, without a signature.
const UNSIGNED: &str = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ.";

fn with_id_token(answer: &str, change: impl FnOnce(&str) -> String) -> String {
    let mut answer: Value = serde_json::from_str(answer).unwrap_or_default();
    let changed = answer["id_token"].as_str().map(change);
    answer["id_token"] = changed.into();
    answer.to_string()
}

/// Another letter somewhere in the claims.
fn tampered(answer: &str) -> String {
    with_id_token(answer, |token| {
        let claims = token.find('.').map_or(0, |dot| dot + 20);
        let letter = if token[claims..].starts_with('A') {
            "B"
        } else {
            "A"
        };
        format!("{}{letter}{}", &token[..claims], &token[claims + 1..])
    })
}

fn unsigned(answer: &str) -> String {
    with_id_token(answer, |_| UNSIGNED.to_owned())
}

fn unchanged(answer: &str) -> String {
    answer.to_owned()
}

/// What completing says when `change` stands between us and the token endpoint, and the keys are a stranger's.
async fn refusal(change: fn(&str) -> String, own_keys: bool) -> Result<((Code, String), String)> {
    let scene = Scene::new().await?;
    let stranger = Stranger::before(scene.oidc.token_url(), change).await?;
    let elsewhere = Elsewhere {
        token_url: stranger.token_url(),
        jwks_url: match own_keys {
            true => scene.oidc.token_url().replace("/token", "/jwks"),
            false => stranger.jwks_url(),
        },
    };
    let scene = scene.elsewhere(elsewhere);
    let replica = scene.replica().await?;
    let brought = scene.send(&replica, Person::named("ada")).await?;
    let told = complete(&replica, &brought).await;
    let told = told.err().context("it is not believed")?;
    let missing = Caller::new(replica.channel()).credential("c").await;
    assert_eq!(
        missing.expect_err("nothing was stored").code(),
        Code::NotFound
    );
    Ok((reason(&told), told.message().to_owned()))
}

#[tokio::test]
async fn a_tampered_id_token_stores_nothing() -> Result<()> {
    let protocol_error = (Code::Unavailable, "PROVIDER_PROTOCOL_ERROR".to_owned());
    for (change, own_keys, why) in [
        (
            tampered as fn(&str) -> String,
            true,
            "its signature is wrong",
        ),
        (unsigned, true, "no token with an asymmetric signature"),
        (unchanged, false, "a key that its issuer does not have"),
    ] {
        let (told, message) = refusal(change, own_keys).await?;
        assert_eq!(told, protocol_error, "{why}");
        assert!(message.contains(why), "{message}");
        assert!(message.contains("the state is spent"), "{message}");
    }
    Ok(())
}

/// A code is good once, so that keys which are away for a moment must not cost the user another consent.
#[tokio::test]
async fn keys_that_come_late_verify_all_the_same() -> Result<()> {
    let scene = Scene::new().await?;
    let stranger = Stranger::before(scene.oidc.token_url(), unchanged).await?;
    let scene = scene.elsewhere(Elsewhere {
        token_url: stranger.token_url(),
        jwks_url: stranger.late_jwks_url(),
    });
    let replica = scene.replica().await?;
    let brought = scene.send(&replica, Person::named("ada")).await?;
    let done = complete(&replica, &brought).await?;
    let credential = done.credential.context("it is stored")?;
    assert_eq!(credential.provider_account, "ada");
    Ok(())
}
