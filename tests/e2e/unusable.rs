//! What no request could be made of is refused when it is brought, and told as what a person must mend when it comes to be.

use anyhow::{Context, Result};
use evergrant_proto::v1::{CredentialState, TokenMaterial};
use evergrant_providers::sandbox::RotationMode;
use tonic::Code;
use tonic_types::StatusExt;

use crate::harness::caller::{credential, expired, reason};
use crate::harness::replica::Replica;
use crate::harness::replica::config::ReplicaConfig;
use crate::harness::scene::{CLIENT, PROVIDER, Scene};

/// The sandbox as a provider that wants to know of which shop each request is.
fn at_shops(scene: Scene) -> Scene {
    let entry = scene.sandbox.entry(PROVIDER, RotationMode::Strict);
    scene.provider(
        PROVIDER,
        format!("{entry}\n[request.parameters]\nshop = \"{{shop}}\"\n"),
    )
}

/// A fresh credential `c`, which needs a parameter of its client that the configuration of [`Self::scene`] does not have.
pub struct Changed {
    pub scene: Scene,
    /// The configuration that has it.
    whole: ReplicaConfig,
}

impl Changed {
    pub async fn begin() -> Result<Self> {
        let scene = at_shops(Scene::on_sqlite().await?);
        let parameter = format!("clients.{CLIENT}.parameters.shop");
        let whole = scene.config().set(&parameter, "seven");
        let replica = Replica::start(&whole.clone().named("whole")).await?;
        scene.fresh_credential(&replica, "c").await?;
        replica.kill().await?;
        Ok(Self { scene, whole })
    }
}

#[tokio::test]
async fn a_grant_without_the_value_of_a_placeholder_is_refused_and_named() -> Result<()> {
    let scene = at_shops(Scene::on_sqlite().await?);
    let replica = scene.replica("replica").await?;
    let caller = replica.caller();
    let grant = scene.sandbox.grant(RotationMode::Strict)?;

    let refusal = caller
        .store(credential("c"), expired(&grant))
        .await
        .expect_err("nothing says of which shop it is");
    let invalid = (Code::InvalidArgument, "INVALID_REQUEST".to_owned());
    assert_eq!(reason(&refusal), invalid);
    let details = refusal.get_details_bad_request().context("a field")?;
    assert_eq!(details.field_violations[0].field, "material.metadata.shop");
    assert!(
        refusal.message().contains(
            "catalogue entry acme: request.parameters.shop placeholder {shop} has no value"
        ),
        "{refusal}"
    );

    let of_a_shop = TokenMaterial {
        metadata: [("shop".to_owned(), "seven".to_owned())].into(),
        ..expired(&grant)
    };
    caller.store(credential("c"), of_a_shop).await?;
    assert!(caller.token("c").await?.generation > 1);
    Ok(())
}

#[tokio::test]
async fn a_configuration_that_lost_what_a_grant_needs_is_told_as_such_and_harms_nothing()
-> Result<()> {
    let Changed { scene, whole } = Changed::begin().await?;
    let calls = scene.sandbox.calls();

    let replica = scene.replica("without").await?;
    for _ in 0..3 {
        let refusal = replica
            .caller()
            .refused("c", 1)
            .await
            .expect_err("no request can be made");
        let unusable = (Code::FailedPrecondition, "GRANT_UNUSABLE".to_owned());
        assert_eq!(reason(&refusal), unusable, "{refusal}");
        assert!(refusal.message().contains("{shop}"), "{refusal}");
        assert!(refusal.get_details_retry_info().is_none());
    }
    let stored = replica.caller().credential("c").await?;
    assert_eq!(stored.state(), CredentialState::Active);
    assert_eq!(scene.sandbox.calls(), calls, "nothing was sent");
    replica.kill().await?;

    let replica = Replica::start(&whole.named("mended")).await?;
    assert_eq!(replica.caller().refused("c", 1).await?.generation, 2);
    Ok(())
}
