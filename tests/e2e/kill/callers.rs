//! A caller is locked out, and a tenant's own admin kills its tenant alone.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use evergrant_proto::v1::audit_service_client::AuditServiceClient;
use evergrant_proto::v1::kill_service_client::KillServiceClient;
use evergrant_proto::v1::kill_target::What;
use evergrant_proto::v1::{
    AuditRecord, Credential, CredentialState, InvalidationReason, Kill, KillTarget,
    LiftKillRequest, ListAuditRecordsRequest, ListKillsRequest, StartKillRequest, WatchRequest,
    WatchResponse,
};
use evergrant_providers::sandbox::RotationMode;
use prost_types::Timestamp;
use serde_json::Value as Json;
use toml::{Table, Value};
use tonic::{Code, Request, Status, Streaming};

use crate::harness::caller::{credential, fresh};
use crate::harness::cli::{Ended, evergrant};
use crate::harness::eventually::eventually;
use crate::harness::replica::Replica;
use crate::harness::scene::{SOON, Scene};

/// Every replica looks twice a second.
pub(super) const AT_ONCE: Duration = Duration::from_secs(3);

pub(super) const OPERATOR: &str = "token-of-the-operator";
pub(super) const BILLING: &str = "token-of-billing";
pub(super) const ACME: &str = "token-of-the-admin-of-acme";

pub(super) fn rule(name: &str, token: &str, tenant: &str, allow: &[&str]) -> Value {
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

pub(super) fn with_callers(scene: Scene) -> Scene {
    scene.set(
        "callers",
        vec![
            rule("operator", OPERATOR, "*", &["admin"]),
            rule("billing", BILLING, "*", &["token.get", "event.watch"]),
            rule("acme", ACME, "acme", &["admin"]),
        ],
    )
}

pub(super) fn with<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {token}").parse();
    let value = value.expect("it is plain text");
    request.metadata_mut().insert("authorization", value);
    request
}

pub(super) async fn start(replica: &Replica, token: &str, what: What) -> Result<Kill, Status> {
    start_since(replica, token, what, None).await
}

pub(super) async fn start_since(
    replica: &Replica,
    token: &str,
    what: What,
    since: Option<Timestamp>,
) -> Result<Kill, Status> {
    let request = StartKillRequest {
        target: Some(KillTarget {
            what: Some(what),
            since,
        }),
        reason: "its host was taken over".to_owned(),
        revoke_at_provider: true,
    };
    let mut kills = KillServiceClient::new(replica.channel());
    let begun = kills.start_kill(with(request, token)).await?;
    Ok(begun.into_inner().kill.expect("it has begun"))
}

/// `evergrant kill WORDS` of the operator.
pub(super) async fn operator(scene: &Scene, replica: &Replica, words: &[&str]) -> Result<Ended> {
    let server = format!("http://{}", replica.grpc());
    let whom = ["--server", &server, "--auth-token", OPERATOR];
    evergrant(&scene.config(), &[&["kill"], words, &whom].concat()).await
}

/// The records of an action of a caller, once there are any.
pub(super) async fn on_record(
    replica: &Replica,
    caller: &str,
    action: &str,
) -> Result<Vec<AuditRecord>> {
    let request = ListAuditRecordsRequest {
        tenant_id: "*".to_owned(),
        caller: caller.to_owned(),
        action: action.to_owned(),
        ..ListAuditRecordsRequest::default()
    };
    eventually("a record", SOON, async || {
        let mut audit = AuditServiceClient::new(replica.channel());
        let listed = audit.list_audit_records(with(request.clone(), OPERATOR));
        let records = listed.await.ok()?.into_inner().records;
        (!records.is_empty()).then_some(records)
    })
    .await
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

    let begun = start(&one, OPERATOR, What::Caller("billing".to_owned())).await?;
    assert_eq!(code_of(&one).await, Code::PermissionDenied);
    let refused = async || (code_of(&two).await == Code::PermissionDenied).then_some(());
    eventually("the other replica", AT_ONCE, refused).await?;
    let end = tokio::time::timeout(SOON, end_of(stream)).await?;
    let end = end.context("it ends with a status")?;
    assert_eq!(end.code(), Code::PermissionDenied, "{end:?}");
    let ended = on_record(&two, "billing", "WatchEnded").await?;
    assert_eq!(ended[0].outcome, "PERMISSION_DENIED");
    let ordered = on_record(&one, "operator", "StartKill").await?;
    let what = format!("kill {} of caller billing", begun.kill_id);
    assert_eq!(ordered[0].detail, what);

    let three = scene.replica("after").await?;
    assert_eq!(code_of(&three).await, Code::PermissionDenied);

    // What it was given is dead, and what it was not is untouched.
    let trusted = three.caller().with_token(OPERATOR);
    let dead = async || {
        let told = trusted.credential("c").await.ok()?;
        (told.state() == CredentialState::Invalidated).then_some(told)
    };
    let dead = eventually("the credential is dead", SOON, dead).await?;
    let death = dead.invalidation.context("it says why")?;
    assert_eq!(death.reason(), InvalidationReason::Killed);
    trusted.token("never-told").await?;

    // Who is locked out is listed, and nobody else is lifted.
    let locked_out = async || {
        let words = ["list", "--locked-out", "-o", "json"];
        let listed: Json = serde_json::from_str(&operator(&scene, &three, &words).await?.stdout)?;
        anyhow::Ok(listed["kills"].as_array().cloned().unwrap_or_default())
    };
    let listed = locked_out().await?;
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(listed[0]["target"]["name"], "billing");
    assert_eq!(listed[0]["kill_id"], begun.kill_id.as_str());
    assert_eq!(listed[0]["locks_out"], true);
    ensure!(listed[0]["begun_at"].is_string(), "since when");
    let slip = operator(&scene, &three, &["lift", "biling"]).await?;
    assert_eq!(slip.code, Some(1), "{slip:?}");
    ensure!(
        slip.stderr.contains("caller biling is not locked out"),
        "{slip:?}"
    );
    assert_eq!(code_of(&three).await, Code::PermissionDenied);

    let lift = LiftKillRequest {
        caller: "billing".to_owned(),
    };
    let mut kills = KillServiceClient::new(three.channel());
    let lifted = kills.lift_kill(with(lift, OPERATOR)).await?.into_inner();
    assert_eq!(lifted.lifted, 1);
    assert_eq!(locked_out().await?, Vec::<Json>::new());
    let lifts = on_record(&three, "operator", "LiftKill").await?;
    ensure!(
        lifts.iter().any(|lift| lift.detail == "caller billing"),
        "{lifts:?}"
    );
    let slip = "caller biling, who was not locked out";
    ensure!(lifts.iter().any(|lift| lift.detail == slip), "{lifts:?}");
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
    let open = Scene::on_sqlite().await?;
    let before = open.replica("before").await?;
    open.fresh_credential(&before, "c").await?;
    let grant = open.sandbox.grant(RotationMode::Strict)?;
    let of_acme = Credential {
        tenant_id: "acme".to_owned(),
        ..credential("c")
    };
    before.caller().store(of_acme, fresh(&grant)).await?;
    before.kill().await?;
    let scene = with_callers(open);
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
