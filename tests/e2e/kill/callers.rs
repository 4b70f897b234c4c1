//! A caller is locked out, and a tenant's own admin kills its tenant alone.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use evergrant_proto::v1::kill_service_client::KillServiceClient;
use evergrant_proto::v1::kill_target::What;
use evergrant_proto::v1::{
    CredentialState, InvalidationReason, KillTarget, LiftKillRequest, ListKillsRequest,
    StartKillRequest, WatchRequest, WatchResponse,
};
use toml::{Table, Value};
use tonic::{Code, Request, Status, Streaming};

use crate::harness::eventually::eventually;
use crate::harness::replica::Replica;
use crate::harness::scene::{SOON, Scene};

/// Every replica looks twice a second.
const AT_ONCE: Duration = Duration::from_secs(3);

const OPERATOR: &str = "token-of-the-operator";
const BILLING: &str = "token-of-billing";
const ACME: &str = "token-of-the-admin-of-acme";

fn rule(name: &str, token: &str, tenant: &str, allow: &[&str]) -> Value {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
    let digest = digest.as_ref().iter();
    let digest: String = digest.map(|byte| format!("{byte:02x}")).collect();
    let list = |words: &[&str]| {
        words
            .iter()
            .map(|&word| word.into())
            .collect::<Vec<Value>>()
    };
    Value::Table(Table::from_iter([
        ("name".to_owned(), name.into()),
        ("token_sha256".to_owned(), digest.into()),
        ("tenants".to_owned(), list(&[tenant]).into()),
        ("allow".to_owned(), list(allow).into()),
    ]))
}

fn with_callers(scene: Scene) -> Scene {
    scene.set(
        "callers",
        vec![
            rule("operator", OPERATOR, "*", &["admin"]),
            rule("billing", BILLING, "*", &["token.get", "event.watch"]),
            rule("acme", ACME, "acme", &["admin"]),
        ],
    )
}

fn with<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {token}").parse();
    let value = value.expect("it is plain text");
    request.metadata_mut().insert("authorization", value);
    request
}

async fn start(replica: &Replica, token: &str, what: What) -> Result<(), Status> {
    let request = StartKillRequest {
        target: Some(KillTarget {
            what: Some(what),
            since: None,
        }),
        reason: "its host was taken over".to_owned(),
        revoke_at_provider: true,
    };
    let mut kills = KillServiceClient::new(replica.channel());
    kills.start_kill(with(request, token)).await.map(drop)
}

async fn code_of(replica: &Replica) -> Code {
    let asked = replica.caller().with_token(BILLING).token("c").await;
    asked.map_or_else(|status| status.code(), |_| Code::Ok)
}

/// How a stream ends.
async fn end_of(mut stream: Streaming<WatchResponse>) -> Option<Status> {
    loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => return None,
            Err(status) => return Some(status),
        }
    }
}

#[tokio::test]
async fn a_caller_is_locked_out_everywhere_until_it_is_lifted() -> Result<()> {
    let open = Scene::without_redis().await?;
    let before = open.replica("before").await?;
    open.fresh_credential(&before, "c").await?;
    open.fresh_credential(&before, "never-told").await?;
    drop(before);
    let scene = with_callers(open);
    let [one, two] = scene.replicas().await?;
    assert_eq!(
        (code_of(&one).await, code_of(&two).await),
        (Code::Ok, Code::Ok)
    );
    let watch = with(WatchRequest::default(), BILLING);
    let stream = two.events().watch(watch).await?.into_inner();

    start(&one, OPERATOR, What::Caller("billing".to_owned())).await?;
    assert_eq!(code_of(&one).await, Code::PermissionDenied);
    let refused = async || (code_of(&two).await == Code::PermissionDenied).then_some(());
    eventually("the other replica", AT_ONCE, refused).await?;
    let end = tokio::time::timeout(SOON, end_of(stream)).await?;
    let end = end.context("it ends with a status")?;
    assert_eq!(end.code(), Code::PermissionDenied, "{end:?}");

    let three = scene.replica("after").await?;
    assert_eq!(code_of(&three).await, Code::PermissionDenied);

    // What it was given is dead, and what it was not is untouched.
    let operator = three.caller().with_token(OPERATOR);
    let dead = async || {
        let told = operator.credential("c").await.ok()?;
        (told.state() == CredentialState::Invalidated).then_some(told)
    };
    let dead = eventually("the credential is dead", SOON, dead).await?;
    let death = dead.invalidation.context("it says why")?;
    assert_eq!(death.reason(), InvalidationReason::Killed);
    operator.token("never-told").await?;

    let lift = LiftKillRequest {
        caller: "billing".to_owned(),
    };
    let mut kills = KillServiceClient::new(three.channel());
    let lifted = kills.lift_kill(with(lift, OPERATOR)).await?.into_inner();
    assert_eq!(lifted.lifted, 1);
    for replica in [&one, &two, &three] {
        let back = async || {
            let code = code_of(replica).await;
            (code != Code::PermissionDenied).then_some(())
        };
        eventually("the caller is back", AT_ONCE, back).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_admin_of_one_tenant_kills_that_tenant_and_sees_no_other_kill() -> Result<()> {
    let scene = with_callers(Scene::on_sqlite().await?);
    let replica = scene.replica("replica").await?;
    for what in [
        What::TenantId("default".to_owned()),
        What::Provider("acme".to_owned()),
        What::Client("acme-main".to_owned()),
        What::Caller("billing".to_owned()),
    ] {
        for token in [ACME, BILLING] {
            let refused = start(&replica, token, what.clone()).await;
            let refused = refused.expect_err("it is not theirs");
            assert_eq!(refused.code(), Code::PermissionDenied);
        }
    }
    let itself = start(&replica, OPERATOR, What::Caller("operator".to_owned())).await;
    let itself = itself.expect_err("nobody would let it in again");
    assert_eq!(itself.code(), Code::InvalidArgument);

    start(&replica, OPERATOR, What::TenantId("default".to_owned())).await?;
    start(&replica, ACME, What::TenantId("acme".to_owned())).await?;
    let seen = async |token| {
        let mut kills = KillServiceClient::new(replica.channel());
        let listed = kills
            .list_kills(with(ListKillsRequest::default(), token))
            .await?;
        anyhow::Ok(listed.into_inner().kills.len())
    };
    assert_eq!((seen(OPERATOR).await?, seen(ACME).await?), (2, 1));
    ensure!(seen(BILLING).await.is_err());
    Ok(())
}
