//! An exchange that is refused has its subject looked at.

use anyhow::Result;
use evergrant_proto::v1::GrantType;

use super::{at, minted, parameters};
use crate::harness::caller::reason;
use crate::harness::issuer::Issuer;
use crate::harness::scene::Scene;

// RFC 8693 section 2.2.2
#[tokio::test]
async fn an_exchange_that_is_answered_invalid_request_finds_a_revoked_subject() -> Result<()> {
    let issuer = Issuer::start().await?;
    let scene = at(Scene::on_sqlite().await?, &issuer);
    let replica = scene.replica("replica").await?;
    let caller = replica.caller();
    let grant = scene.expired_credential(&replica, "c").await?;
    let material = parameters(&[("subject_credential", "c")]);
    let kind = GrantType::TokenExchange;
    caller.store(minted("x", kind), material).await?;
    let subject = caller.token("c").await?;
    scene.sandbox.control().revoke_grant(&grant.family)?;
    issuer.refuse(&[(&subject.access_token, "invalid_request")]);

    let refusal = caller.token("x").await.expect_err("its subject is revoked");
    assert_eq!(reason(&refusal).1, "SUBJECT_INVALID");
    assert!(caller.credential("c").await?.invalidation.is_some());
    assert!(caller.credential("x").await?.invalidation.is_none());
    assert_eq!(issuer.requests().len(), 1);
    Ok(())
}
