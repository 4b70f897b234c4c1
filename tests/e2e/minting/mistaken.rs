//! Means with a mistake in a name: the token would be another one than was meant.

use anyhow::{Result, ensure};
use evergrant_proto::v1::GrantType;
use tonic::Code;

use super::{at, minted, parameters};
use crate::harness::caller::reason;
use crate::harness::issuer::{ISSUER, Issuer};
use crate::harness::scene::Scene;

#[tokio::test]
async fn a_parameter_that_the_provider_does_not_know_is_refused_and_nothing_is_stored() -> Result<()>
{
    let issuer = Issuer::start().await?;
    let scene = at(Scene::on_sqlite().await?, &issuer);
    let replica = scene.replica("replica").await?;
    let caller = replica.caller();
    let mistaken = parameters(&[("client_idd", "of-tenant")]);
    let refusal = caller
        .store(minted("m", GrantType::ClientCredentials), mistaken)
        .await
        .expect_err("nothing has such a parameter");
    let invalid = (Code::InvalidArgument, "INVALID_REQUEST".to_owned());
    assert_eq!(reason(&refusal), invalid);
    let why = format!("material.parameters.client_idd: is no parameter of provider {ISSUER}");
    ensure!(refusal.message().starts_with(&why), "{refusal}");
    ensure!(caller.credential("m").await.is_err(), "it is not there");
    Ok(())
}
