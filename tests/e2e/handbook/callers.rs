//! Errors that depend on who asks.

use anyhow::Result;
use tonic::Status;

use super::requests::refusal;
use crate::callers::{AUDIENCE, ask, jwt, rated};
use crate::harness::jwt_issuer::{JwtIssuer, SigningKey};
use crate::harness::scene::Scene;

pub async fn caller_rate_limited() -> Result<Status> {
    let scene = Scene::on_sqlite().await?;
    let scene = scene.set("callers", vec![rated("busy", 1, 1)]);
    let replica = scene.replica("replica").await?;
    let channel = replica.channel();
    let mut refused = ask(&channel, Some("busy")).await;
    // As often as a caller of one request a second may not ask, however slow this machine is.
    for _ in 0..50 {
        if matches!(&refused, Err(status) if status.code() == tonic::Code::ResourceExhausted) {
            break;
        }
        refused = ask(&channel, Some("busy")).await;
    }
    refusal(refused)
}

pub async fn issuer_unavailable() -> Result<Status> {
    let key = SigningKey::new("k")?;
    let issuer = JwtIssuer::start(&[&key]).await?;
    issuer.set_away(true);
    let scene = Scene::on_sqlite().await?;
    let scene = scene.set("callers", vec![jwt("api", &issuer, "api", &["token.get"])]);
    let replica = scene.replica("replica").await?;
    let token = issuer.token(&key, "api", AUDIENCE, 600)?;
    refusal(ask(&replica.channel(), Some(&token)).await)
}
