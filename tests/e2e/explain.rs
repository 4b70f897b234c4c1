//! `evergrant explain` says why a credential is dead, slow or not refreshed.

use anyhow::{Context, Result, ensure};
use evergrant_proto::v1::ExplainCredentialResponse as Explanation;
use evergrant_proto::v1::{Credential, ExplainCredentialRequest, GrantType, TokenMaterial};
use evergrant_providers::sandbox::{Fault, FaultRule, Point, RotationMode};
use serde_json::Value;
use tonic::{Code, Request};

use crate::harness::background::background;
use crate::harness::caller::{credential, fresh, reason};
use crate::harness::eventually::eventually;
use crate::harness::issuer::{ISSUER, Issuer};
use crate::harness::replica::{Replica, verb};
use crate::harness::scene::{SOON, Scene};

/// What the service says of a credential, once `wanted` holds: attempts are written a moment after they end.
async fn explained_with(
    replica: &Replica,
    id: &str,
    wanted: impl Fn(&Explanation) -> bool,
) -> Result<Explanation> {
    let explanation = async || {
        replica
            .caller()
            .explanation(id)
            .await
            .ok()
            .filter(|told| wanted(told))
    };
    eventually("an explanation", SOON, explanation).await
}

/// What `evergrant WORDS` prints.
async fn said(replica: &Replica, words: &[&str]) -> Result<String> {
    let server = format!("http://{}", replica.grpc());
    verb(&[words, &["--server", &server]].concat()).await
}

/// The grant that a credential uses, as a line of the log names it.
async fn grant_of(replica: &Replica, id: &str) -> Result<String> {
    let shown = said(replica, &["credential", "get", id, "-o", "json"]).await?;
    let shown: Value = serde_json::from_str(&shown)?;
    let grant = shown["grant_id"].as_str().context("it names its grant")?;
    Ok(grant.to_owned())
}

#[tokio::test]
async fn a_death_is_explained_by_the_attempt_that_found_it() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let replica = scene.replica("replica").await?;
    let grant = scene.fresh_credential(&replica, "c").await?;
    let caller = replica.caller();
    caller.integrate("crm", &["c"]).await?;
    scene.sandbox.control().revoke_grant(&grant.family)?;
    let dead = caller.refused("c", 1).await.expect_err("it is revoked");
    assert_eq!(reason(&dead).1, "CREDENTIAL_INVALIDATED");

    let told = explained_with(&replica, "c", |told| !told.attempts.is_empty()).await?;
    let attempt = &told.attempts[0];
    assert_eq!(attempt.outcome, "INVALIDATED");
    assert_eq!((attempt.http_status, attempt.calls), (400, 1));
    assert_eq!(attempt.provider_error, "invalid_grant");
    assert_eq!(
        (attempt.generation_before, attempt.generation_after),
        (1, 0)
    );
    assert_eq!(told.reason, "CREDENTIAL_INVALIDATED");
    assert_eq!(told.next_refresh_at, None);
    assert_eq!(told.events[0].r#type, "CREDENTIAL_INVALIDATED");

    let name = grant_of(&replica, "c").await?;
    ensure!(replica.log().contains(&name), "the log names the grant");
    let by_credential = said(&replica, &["explain", "c"]).await?;
    let by_grant = said(&replica, &["explain", "--grant", &name]).await?;
    assert_eq!(by_credential, by_grant);
    let (first, rest) = by_credential.split_once('\n').context("several lines")?;
    ensure!(first.starts_with("dead since "), "{first}");
    ensure!(
        first.contains("the provider refused it (invalid_grant) on the attempt of "),
        "{first}"
    );
    ensure!(first.contains(&format!("by replica {}", attempt.replica)));
    ensure!(first.ends_with("; the user must connect again"), "{first}");
    let said_of = |name: &str| {
        let mut lines = rest.lines().filter_map(|line| line.split_once("  "));
        lines.find_map(|(field, value)| (field == name).then(|| value.trim().to_owned()))
    };
    assert_eq!(said_of("refreshable").as_deref(), Some("no, it is dead"));
    assert_eq!((said_of("refresh ends"), said_of("ends")), (None, None));
    for part in ["docs/handbook.md#grant_revoked", &name, "crm", "HTTP 400"] {
        ensure!(rest.contains(part), "{part} is missing in:\n{rest}");
    }
    let json = said(&replica, &["explain", "c", "-o", "json"]).await?;
    for secret in [grant.access_token.expose(), grant.refresh_token.expose()] {
        ensure!(!json.contains(secret) && !by_credential.contains(secret));
    }
    Ok(())
}

#[tokio::test]
async fn a_refresh_under_way_is_explained_by_who_makes_it() -> Result<()> {
    let scene = Scene::with_redis().await?;
    let [one, two] = scene.replicas().await?;
    let (_grant, gate) = scene
        .held_credential(&one, "c", RotationMode::Strict, Point::BeforeProcessing)
        .await?;
    let asking = background({
        let caller = one.caller();
        async move { caller.token("c").await }
    });
    gate.arrival().await?;

    let told = two.caller().explanation("c").await?;
    let lease = told.lease.clone().context("somebody holds the lease")?;
    let lock = told.lock.clone().context("somebody leads")?;
    let (one_port, two_port) = (one.grpc().port(), two.grpc().port());
    let is_a_replica = |name: &str| {
        name.ends_with(&format!(":{one_port}")) || name.ends_with(&format!(":{two_port}"))
    };
    ensure!(is_a_replica(&lease.replica), "{lease:?}");
    assert_eq!(lease.replica, lock.replica);
    let summary = format!("being refreshed by replica {}", lease.replica);
    ensure!(told.summary.starts_with(&summary), "{}", told.summary);
    ensure!(!told.refresh_token_in_doubt);

    gate.open();
    assert_eq!(asking.await??.generation, 2);
    let told = explained_with(&two, "c", |told| !told.attempts.is_empty()).await?;
    ensure!(
        told.summary.starts_with("works: generation 2 "),
        "{}",
        told.summary
    );
    assert_eq!((told.lease, told.lock), (None, None));
    assert_eq!(told.attempts[0].outcome, "REFRESHED");
    assert_eq!(told.attempts[0].replica, lease.replica);
    ensure!(told.next_refresh_at.is_some());
    Ok(())
}

#[tokio::test]
async fn a_passing_failure_is_explained_with_the_time_of_the_next_attempt() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let replica = scene.replica("replica").await?;
    let down = Fault::Status {
        status: 503,
        body: String::new(),
        content_type: "text/html".to_owned(),
        at: Point::BeforeProcessing,
    };
    scene.sandbox.control().add_fault(FaultRule::always(down))?;
    scene.expired_credential(&replica, "c").await?;
    assert!(replica.caller().token("c").await.is_err());

    let told = explained_with(&replica, "c", |told| !told.attempts.is_empty()).await?;
    assert_eq!(told.reason, "PROVIDER_UNAVAILABLE");
    assert_eq!(told.attempts[0].outcome, "PROVIDER_UNAVAILABLE");
    assert_eq!(told.attempts[0].http_status, 503);
    ensure!(told.next_refresh_at.is_some());
    ensure!(told.summary.contains("HTTP 503"), "{}", told.summary);
    Ok(())
}

// ADR 0071
#[tokio::test]
async fn an_account_that_refuses_the_client_is_explained_by_who_must_act() -> Result<()> {
    let issuer = Issuer::start().await?;
    let scene = Scene::on_sqlite()
        .await?
        .provider(ISSUER, issuer.entry())
        .set("clients.issuer-main.provider", ISSUER)
        .set("clients.issuer-main.client_id", "configured")
        .set("clients.issuer-main.client_secret", "hush-client");
    let replica = scene.replica("replica").await?;
    let caller = replica.caller();
    issuer.refuse(&[("closed", "unauthorized_client")]);
    for account in ["closed", "open"] {
        let minted = Credential {
            credential_id: account.to_owned(),
            provider: ISSUER.to_owned(),
            grant_type: GrantType::ClientCredentials.into(),
            ..Credential::default()
        };
        let means = TokenMaterial {
            parameters: [("account_id".to_owned(), account.to_owned())].into(),
            ..TokenMaterial::default()
        };
        caller.store(minted, means).await?;
    }
    let refused = caller.token("closed").await.expect_err("it is refused");
    assert_eq!(reason(&refused).1, "CLIENT_REJECTED");
    assert!(caller.token("open").await.is_ok(), "the client is accepted");

    let told = explained_with(&replica, "closed", |told| !told.attempts.is_empty()).await?;
    assert_eq!(told.reason, "CLIENT_REJECTED");
    assert_eq!(told.handbook, "docs/handbook.md#client_rejected");
    let summary = &told.summary;
    for part in [
        "refuses client issuer/issuer-main for this credential alone, once",
        "unauthorized_client",
        "an administrator of its account at the provider must allow the application",
        "it is tried again by itself",
    ] {
        ensure!(summary.contains(part), "{part} is missing in: {summary}");
    }
    let said = said(&replica, &["explain", "closed"]).await?;
    ensure!(said.starts_with(summary.as_str()), "{said}");
    Ok(())
}

const SUPPORT: &str = "token-of-support";
const SUPPORT_SHA256: &str = "668d4794ef939c611cd3d3c4ac50f7e2d8ce8d9f573b3e4f108d686077987290";

#[tokio::test]
async fn a_grant_of_another_tenant_is_none() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let replica = scene.replica("replica").await?;
    let grant = scene.sandbox.grant(RotationMode::Strict)?;
    let stored = replica
        .caller()
        .store(credential("c"), fresh(&grant))
        .await?;
    // Until it is gone it holds the file.
    replica.kill().await?;
    let mut rule = toml::Table::new();
    rule.insert("name".to_owned(), "support".into());
    rule.insert("token_sha256".to_owned(), SUPPORT_SHA256.into());
    rule.insert("tenants".to_owned(), vec!["somebody-else"].into());
    rule.insert("allow".to_owned(), vec!["credential.read"].into());
    let scene = scene.set("callers", vec![rule]);
    let replica = scene.replica("replica").await?;
    let ask = async |request| {
        let mut request = Request::new(request);
        let bearer = format!("Bearer {SUPPORT}").parse()?;
        request.metadata_mut().insert("authorization", bearer);
        anyhow::Ok(replica.credentials().explain_credential(request).await)
    };
    let by_grant = ExplainCredentialRequest {
        grant_id: stored.grant_id,
        ..ExplainCredentialRequest::default()
    };
    let refused = ask(by_grant).await?.expect_err("it is another tenant's");
    let none = (Code::NotFound, "CREDENTIAL_NOT_FOUND".to_owned());
    assert_eq!(reason(&refused), none);
    let by_name = ExplainCredentialRequest {
        credential_id: "c".to_owned(),
        ..ExplainCredentialRequest::default()
    };
    let refused = ask(by_name).await?.expect_err("it is another tenant's");
    assert_eq!(refused.code(), Code::PermissionDenied);
    Ok(())
}
