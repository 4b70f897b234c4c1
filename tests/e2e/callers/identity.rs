//! Callers are who their certificates and tokens say.

use std::time::Duration;

use anyhow::Result;
use evergrant_proto::v1::WatchRequest;
use evergrant_proto::v1::event_service_client::EventServiceClient;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::{AUDIENCE, Stage, ask, code_of, jwt, rule, san, with};
use crate::harness::caller::reason;
use crate::harness::eventually::eventually;
use crate::harness::jwt_issuer::{JwtIssuer, SigningKey};
use crate::harness::scene::{SOON, Scene};

const API: &str = "spiffe://example.org/ns/shop/sa/api";
const SUBJECT: &str = "system:serviceaccount:shop:api";

#[tokio::test]
async fn a_spiffe_id_names_a_caller_and_nobody_else_is_served() -> Result<()> {
    let stage = Stage::new(vec![san("api", API, &["token.get"])]).await?;
    let replica = stage.scene.replica("replica").await?;

    let api = stage.clients.issue(&[API])?;
    let channel = stage.channel(&replica, Some(&api)).await?;
    assert_eq!(
        code_of(ask(&channel, None).await),
        Code::NotFound,
        "it may ask"
    );
    let other = stage
        .clients
        .issue(&["spiffe://example.org/ns/shop/sa/web"])?;
    let channel = stage.channel(&replica, Some(&other)).await?;
    assert_eq!(code_of(ask(&channel, None).await), Code::Unauthenticated);
    // Nor does a token help that nobody has, however good the certificate.
    let channel = stage.channel(&replica, Some(&api)).await?;
    let refused = ask(&channel, Some("token-of-nobody")).await;
    assert_eq!(code_of(refused), Code::Unauthenticated);

    let foreign = crate::harness::authority::Authority::new("another authority")?;
    let foreign = foreign.issue(&[API])?;
    for shown in [None, Some(&foreign)] {
        // Who was refused learns it with its first request in TLS 1.3.
        if let Ok(channel) = stage.channel(&replica, shown).await {
            let refused = ask(&channel, None).await.expect_err("it is not served");
            assert_eq!(
                reason(&refused).1,
                "",
                "the transport refuses it: {refused:?}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_stream_ends_when_its_certificate_does() -> Result<()> {
    let stage = Stage::new(vec![san("api", API, &["event.watch"])]).await?;
    let replica = stage.scene.replica("replica").await?;
    let brief = stage.clients.issue_for(Duration::from_secs(5), &[API])?;
    let channel = stage.channel(&replica, Some(&brief)).await?;
    let mut client = EventServiceClient::new(channel);
    let request = WatchRequest {
        skip_snapshot: true,
        ..WatchRequest::default()
    };
    let mut stream = client.watch(request).await?.into_inner();
    stream.message().await?;
    let end = async {
        loop {
            if let Err(end) = stream.message().await {
                return end;
            }
        }
    };
    let end = tokio::time::timeout(SOON, end).await?;
    assert_eq!(
        reason(&end),
        (Code::Unauthenticated, "UNAUTHENTICATED".to_owned())
    );
    assert!(end.message().contains("certificate has expired"), "{end:?}");
    Ok(())
}

#[tokio::test]
async fn a_service_account_is_known_by_its_token_while_its_issuer_changes_keys() -> Result<()> {
    let (old, new) = (SigningKey::new("old")?, SigningKey::new("new")?);
    let issuer = JwtIssuer::start(&[&old]).await?;
    let scene = Scene::on_sqlite().await?;
    let scene = scene.set(
        "callers",
        vec![jwt("api", &issuer, SUBJECT, &["token.get"])],
    );
    let replica = scene.replica("replica").await?;
    let channel = replica.channel();
    let token = |key: &SigningKey, subject: &str, audience: &str, seconds| {
        issuer.token(key, subject, audience, seconds)
    };

    let good = token(&old, SUBJECT, AUDIENCE, 600)?;
    assert_eq!(code_of(ask(&channel, Some(&good)).await), Code::NotFound);
    for bad in [
        token(&old, SUBJECT, AUDIENCE, -60)?,
        token(&old, SUBJECT, "someone-else", 600)?,
        token(&old, "system:serviceaccount:shop:web", AUDIENCE, 600)?,
        token(&SigningKey::new("old")?, SUBJECT, AUDIENCE, 600)?,
    ] {
        let refusal = ask(&channel, Some(&bad)).await.expect_err("it is refused");
        assert_eq!(refusal.code(), Code::Unauthenticated, "{refusal:?}");
        for part in bad.split('.') {
            assert!(!refusal.message().contains(part));
            assert!(!replica.log().contains(part));
        }
    }

    // A key that is not known yet while the issuer is away: nothing is known of its tokens, and the old ones pass.
    issuer.has_now(&[&old, &new])?;
    issuer.set_away(true);
    let next = token(&new, SUBJECT, AUDIENCE, 600)?;
    let passing = eventually("the keys to be fetched in vain", 2 * SOON, async || {
        let refusal = ask(&channel, Some(&next)).await.expect_err("it is unknown");
        (refusal.code() == Code::Unavailable).then_some(refusal)
    });
    let passing = passing.await?;
    assert_eq!(reason(&passing).1, "ISSUER_UNAVAILABLE");
    assert!(passing.get_details_retry_info().is_some());
    let another = token(&old, SUBJECT, AUDIENCE, 601)?;
    assert_eq!(code_of(ask(&channel, Some(&another)).await), Code::NotFound);

    issuer.set_away(false);
    eventually("the new key to be known", SOON, async || {
        (code_of(ask(&channel, Some(&next)).await) == Code::NotFound).then_some(())
    })
    .await
}

#[tokio::test]
async fn reading_what_is_known_of_a_credential_is_not_getting_its_token() -> Result<()> {
    let rules = vec![
        rule("reader", "credential.read", "*", &["credential.read"]),
        rule("getter", "token.get", "*", &["token.get"]),
        rule("root", "admin", "*", &["admin"]),
    ];
    let scene = Scene::on_sqlite().await?.set("callers", rules);
    let replica = scene.replica("replica").await?;
    let get = async |token: &str| {
        use evergrant_proto::v1::GetCredentialRequest;
        let request = GetCredentialRequest {
            credential_id: "c".to_owned(),
            ..GetCredentialRequest::default()
        };
        code_of(
            replica
                .credentials()
                .get_credential(with(request, Some(token)))
                .await,
        )
    };
    let channel = replica.channel();
    assert_eq!(get("credential.read").await, Code::NotFound);
    assert_eq!(
        code_of(ask(&channel, Some("credential.read")).await),
        Code::PermissionDenied
    );
    assert_eq!(get("token.get").await, Code::PermissionDenied);
    assert_eq!(
        code_of(ask(&channel, Some("token.get")).await),
        Code::NotFound
    );
    Ok(())
}
