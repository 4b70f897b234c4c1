//! What a deletion with `revoke_at_provider` leaves at the provider, and what it leaves here if it fails.

mod verb;

use std::time::Duration;

use anyhow::Result;
use evergrant_proto::v1::{Credential, TokenMaterial};
use evergrant_providers::sandbox::{
    Endpoint, Fault, FaultRule, Ledger, Outcome, Point, RotationMode,
};
use tonic::Code;

use crate::harness::background::background;
use crate::harness::caller::{credential, reason};
use crate::harness::oidc::{IssuedGrant, OidcOptions, OidcProvider};
use crate::harness::replica::Replica;
use crate::harness::scene::{CLIENT, PROVIDER, Scene};

/// A replica on SQLite whose provider is a certified server.
async fn with_certified_server() -> Result<(Scene, OidcProvider, Replica)> {
    let oidc = OidcProvider::start(OidcOptions::default()).await?;
    let scene = Scene::on_sqlite()
        .await?
        .provider(PROVIDER, oidc.catalogue_entry(PROVIDER));
    let config = scene
        .config()
        .client(CLIENT, PROVIDER, oidc.client_id(), oidc.client_secret());
    let replica = Replica::start(&config).await?;
    Ok((scene, oidc, replica))
}

fn material(grant: &IssuedGrant) -> TokenMaterial {
    TokenMaterial {
        access_token: grant.access_token.clone(),
        refresh_token: grant.refresh_token.clone(),
        ..TokenMaterial::default()
    }
}

#[tokio::test]
async fn a_certified_server_refuses_what_was_revoked_and_honours_what_was_only_deleted()
-> Result<()> {
    let (_scene, oidc, replica) = with_certified_server().await?;
    let caller = replica.caller();
    let (revoked, deleted) = (oidc.issue_grant().await?, oidc.issue_grant().await?);
    caller
        .store(credential("revoked"), material(&revoked))
        .await?;
    caller
        .store(credential("deleted"), material(&deleted))
        .await?;

    assert!(caller.delete("revoked", true).await?);
    assert!(!caller.delete("deleted", false).await?);
    for id in ["revoked", "deleted"] {
        let gone = caller.credential(id).await.expect_err("it is deleted");
        assert_eq!(reason(&gone).1, "CREDENTIAL_NOT_FOUND");
    }
    assert!(!oidc.is_active(&revoked.access_token).await?);
    let refused = oidc.refresh(&revoked.refresh_token).await?;
    assert_eq!(refused.expect_err("it is revoked").error, "invalid_grant");
    assert!(oidc.refresh(&deleted.refresh_token).await?.is_ok());
    let metrics = replica.metrics().await?;
    let labels = [("provider", PROVIDER), ("outcome", "revoked")];
    assert_eq!(metrics.sum("evergrant_revocations_total", &labels), 1.0);
    assert_eq!(metrics.sum("evergrant_revocations_total", &[]), 1.0);
    for secret in [&revoked.refresh_token, &revoked.access_token] {
        assert!(!replica.log().contains(secret.as_str()));
    }
    Ok(())
}

#[tokio::test]
async fn a_grant_lives_for_as_long_as_a_credential_uses_it() -> Result<()> {
    let (_scene, oidc, replica) = with_certified_server().await?;
    let caller = replica.caller();
    let grant = oidc.issue_grant().await?;
    for id in ["sales", "support"] {
        let shared = Credential {
            provider_account: "T1".to_owned(),
            ..credential(id)
        };
        caller.store(shared, material(&grant)).await?;
    }

    assert!(!caller.delete("sales", true).await?);
    assert!(oidc.is_active(&grant.access_token).await?);
    assert_eq!(oidc.ledger().await?.count("grant.revoked"), 0);
    let token = caller.token("support").await?.access_token;
    assert_eq!(token, grant.access_token);

    assert!(caller.delete("support", true).await?);
    assert!(oidc.refresh(&grant.refresh_token).await?.is_err());
    Ok(())
}

#[tokio::test]
async fn while_the_provider_is_down_nothing_is_deleted_unless_asked_without_revocation()
-> Result<()> {
    let (_scene, oidc, replica) = with_certified_server().await?;
    let caller = replica.caller();
    let grant = oidc.issue_grant().await?;
    caller.store(credential("c"), material(&grant)).await?;
    drop(oidc);

    let failed = caller.delete("c", true).await.expect_err("it is down");
    let unavailable = (Code::Unavailable, "PROVIDER_UNAVAILABLE".to_owned());
    assert_eq!(reason(&failed), unavailable);
    assert_eq!(caller.credential("c").await?.generation, 1);
    assert_eq!(caller.token("c").await?.access_token, grant.access_token);

    assert!(!caller.delete("c", false).await?);
    assert!(caller.credential("c").await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_client_that_may_not_revoke_may_still_refresh() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let replica = scene.replica("replica").await?;
    let grant = scene.expired_credential(&replica, "c").await?;
    let rejected = FaultRule {
        endpoint: Endpoint::Revoke,
        ..FaultRule::once(Fault::InvalidClient)
    };
    scene.sandbox.control().add_fault(rejected)?;

    let caller = replica.caller();
    let failed = caller.delete("c", true).await.expect_err("it is rejected");
    let rejected = (Code::FailedPrecondition, "CLIENT_REJECTED".to_owned());
    assert_eq!(reason(&failed), rejected);
    assert!(caller.token("c").await.is_ok());
    assert!(scene.sandbox.is_alive(&grant)?);
    assert!(caller.delete("c", true).await?);
    assert!(!scene.sandbox.is_alive(&grant)?);
    Ok(())
}

/// Sequence numbers of the answered refreshes and revocations.
fn decided(ledger: &Ledger, endpoint: Endpoint, outcome: Outcome) -> Vec<u64> {
    let entries = ledger.entries.iter();
    entries
        .filter(|entry| entry.endpoint == endpoint && entry.outcome == Some(outcome))
        .filter_map(|entry| entry.processed)
        .collect()
}

#[tokio::test]
async fn a_refresh_on_another_replica_ends_before_its_grant_is_revoked() -> Result<()> {
    for scene in [Scene::with_redis().await?, Scene::without_redis().await?] {
        let [one, two] = scene.replicas().await?;
        let (grant, gate) = scene
            .held_credential(&one, "c", RotationMode::Strict, Point::AfterProcessing)
            .await?;
        let asking = background({
            let caller = one.caller();
            async move { caller.token("c").await }
        });
        gate.arrival().await?;

        let hurried = Duration::from_millis(500);
        let late = two.caller().delete_within("c", hurried).await;
        assert!(late.is_err(), "the refresh is under way");
        assert_eq!(two.caller().credential("c").await?.generation, 1);
        let deleting = background({
            let caller = two.caller();
            async move { caller.delete("c", true).await }
        });
        gate.open();
        match deleting.await? {
            Ok(revoked) => assert!(revoked),
            // The hurried one went on for a moment after its caller had left, and came first.
            Err(gone) => assert_eq!(gone.code(), Code::NotFound),
        }
        match asking.await? {
            Ok(token) => assert_eq!(token.generation, 2),
            // The deletion did not wait for this answer, but for what it tells of.
            Err(gone) => assert_eq!(gone.code(), Code::NotFound),
        }

        assert!(!scene.sandbox.is_alive(&grant)?);
        let ledger = scene.sandbox.control().ledger();
        let issued = decided(&ledger, Endpoint::Token, Outcome::Issued);
        let revoked = decided(&ledger, Endpoint::Revoke, Outcome::Revoked);
        assert_eq!((issued.len(), revoked.len()), (1, 1));
        assert!(issued < revoked);
        scene.sandbox.assert_one_call_a_token()?;
    }
    Ok(())
}
