//! What a deletion with `revoke_at_provider` leaves at the provider, and what it leaves here if it fails.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use evergrant_proto::v1::{Credential, TokenMaterial};
use evergrant_providers::sandbox::{
    Endpoint, Fault, FaultRule, Ledger, Outcome, Point, RotationMode,
};
use serde_json::{Value, json};
use tonic::Code;

use crate::harness::background::background;
use crate::harness::caller::{credential, fresh, reason};
use crate::harness::oidc::{IssuedGrant, OidcOptions, OidcProvider};
use crate::harness::process::Process;
use crate::harness::replica::Replica;
use crate::harness::scene::{CLIENT, PROVIDER, SOON, Scene};

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
        assert!(deleting.await??);
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

/// `evergrant credential delete` with more arguments: exit code, standard output and standard error.
async fn delete_verb(replica: &Replica, more: &[&str]) -> Result<(Option<i32>, String, String)> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evergrant"));
    let server = format!("http://{}", replica.grpc());
    command
        .args(["credential", "delete", "--server", &server])
        .args(more);
    let mut process = Process::spawn("credential delete", command)?;
    let status = process.end(SOON).await?;
    Ok((status.code(), process.stdout(), process.stderr()))
}

#[tokio::test]
async fn the_verb_says_in_its_last_line_what_became_of_the_grant() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let replica = scene.replica("replica").await?;
    let grant = scene.fresh_credential(&replica, "c").await?;
    let caller = replica.caller();
    let shared = Credential {
        provider_account: "T1".to_owned(),
        ..credential("other")
    };
    let first = scene.sandbox.grant(RotationMode::Strict)?;
    caller.store(shared.clone(), fresh(&first)).await?;
    let second = Credential {
        credential_id: "another".to_owned(),
        ..shared
    };
    caller.store(second, fresh(&first)).await?;
    let down = FaultRule {
        endpoint: Endpoint::Revoke,
        ..FaultRule::once(Fault::DropBeforeProcessing)
    };
    scene.sandbox.control().add_fault(down)?;

    let (code, out, notes) = delete_verb(&replica, &["c", "--revoke"]).await?;
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(notes.contains("nothing was deleted"), "{notes}");

    let (code, out, _) = delete_verb(&replica, &["c", "--revoke"]).await?;
    let confirmed = "deleted  c\nrevoked  yes, the provider accepted the revocation";
    assert_eq!((code, out.as_str()), (Some(0), confirmed));
    assert!(!scene.sandbox.is_alive(&grant)?);

    let (_, out, _) = delete_verb(&replica, &["other", "--revoke"]).await?;
    let last = out.lines().last().context("it prints something")?;
    assert!(last.starts_with("revoked  no, "), "{out}");
    assert!(scene.sandbox.is_alive(&first)?);

    let (_, out, _) = delete_verb(&replica, &["another", "--revoke", "-o", "json"]).await?;
    let answer: Value = serde_json::from_str(&out)?;
    let expected = json!({ "credential_id": "another", "revoked_at_provider": true });
    assert_eq!(answer, expected);
    Ok(())
}
