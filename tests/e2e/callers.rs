//! Who may call: rights are looked at before anything is done.

use anyhow::Result;
use evergrant_proto::v1::token_service_client::TokenServiceClient;
use evergrant_proto::v1::{
    CreateCredentialRequest, GetTokenRequest, GetTokenResponse, WatchRequest,
};
use evergrant_providers::sandbox::RotationMode;
use toml::{Table, Value};
use tonic::{Code, Request, Status};

use crate::harness::caller::{credential, fresh, request};
use crate::harness::replica::Replica;
use crate::harness::scene::Scene;

/// Has every right in every tenant.
const BILLING: &str = "token-of-billing";
const BILLING_SHA256: &str = "10c8cea379378004fa26935b852df648a9d2bd4ded1b609af0d13ec14fcd2723";
/// May watch, in the default tenant alone.
const REPORTING: &str = "token-of-reporting";
const REPORTING_SHA256: &str = "0f5a6100c849d70ab1db3143ff8c762d463f6c167cbe922658932a566c17cf6a";

// E7
#[tokio::test]
async fn a_caller_without_the_right_gets_no_token_and_causes_no_call() -> Result<()> {
    let scene = Scene::on_sqlite().await?.set(
        "callers",
        vec![
            rule(
                "billing",
                BILLING_SHA256,
                "*",
                &["token.get", "credential.write"],
            ),
            rule("reporting", REPORTING_SHA256, "default", &["event.watch"]),
        ],
    );
    let replica = scene.replica("replica").await?;
    // A token that is still good for a while, so that nobody renews it meanwhile and only a report would.
    let grant = scene.sandbox.grant(RotationMode::Strict)?;
    let create = CreateCredentialRequest {
        credential: Some(credential("c")),
        material: Some(fresh(&grant)),
    };
    replica
        .credentials()
        .create_credential(with(create, Some(BILLING)))
        .await?;

    for (token, code) in [
        (None, Code::Unauthenticated),
        (Some("token-of-nobody"), Code::Unauthenticated),
        (Some(REPORTING), Code::PermissionDenied),
    ] {
        let refusal = report(&replica, token).await.expect_err("it has no right");
        assert_eq!(refusal.code(), code, "{token:?}: {refusal:?}");
    }
    assert_eq!(scene.sandbox.calls_for(&grant), 0);

    let elsewhere = WatchRequest {
        tenant_id: "somebody-else".to_owned(),
        ..WatchRequest::default()
    };
    let refusal = replica
        .events()
        .watch(with(elsewhere, Some(REPORTING)))
        .await;
    let refusal = match refusal {
        Err(refusal) => refusal,
        Ok(stream) => stream
            .into_inner()
            .message()
            .await
            .expect_err("it has no right"),
    };
    assert_eq!(refusal.code(), Code::PermissionDenied);
    replica
        .events()
        .watch(with(WatchRequest::default(), Some(REPORTING)))
        .await?;

    assert_eq!(report(&replica, Some(BILLING)).await?.generation, 2);
    assert_eq!(scene.sandbox.calls_for(&grant), 1);
    Ok(())
}

#[tokio::test]
async fn without_callers_nothing_but_loopback_is_listened_on() -> Result<()> {
    let scene = Scene::on_sqlite().await?;
    let config = scene.config().set("server.listen", "0.0.0.0:0");
    let (code, log) = Replica::run_to_end(&config).await?;
    assert_eq!(code, Some(64), "{log}");
    assert!(log.contains("callers"), "{log}");
    Ok(())
}

/// Reports that the first token was refused, which costs a call to the provider.
async fn report(replica: &Replica, token: Option<&str>) -> Result<GetTokenResponse, Status> {
    use evergrant_proto::v1::get_token_request::Rejected;
    let report = GetTokenRequest {
        rejected: Some(Rejected::RejectedGeneration(1)),
        ..request("c")
    };
    let mut client = TokenServiceClient::new(replica.channel());
    client
        .get_token(with(report, token))
        .await
        .map(tonic::Response::into_inner)
}

fn with<T>(message: T, token: Option<&str>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().expect("it is plain text");
        request.metadata_mut().insert("authorization", value);
    }
    request
}

fn rule(name: &str, sha256: &str, tenant: &str, allow: &[&str]) -> Value {
    let list = |words: &[&str]| {
        words
            .iter()
            .map(|&word| Value::from(word))
            .collect::<Vec<_>>()
    };
    Value::Table(Table::from_iter([
        ("name".to_owned(), name.into()),
        ("token_sha256".to_owned(), sha256.into()),
        ("tenants".to_owned(), list(&[tenant]).into()),
        ("allow".to_owned(), list(allow).into()),
    ]))
}
