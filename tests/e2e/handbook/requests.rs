//! Errors that a request alone brings about.

use anyhow::{Context, Result};
use evergrant_proto::v1::kill_service_client::KillServiceClient;
use evergrant_proto::v1::{
    BeginAuthorizationRequest, CompleteAuthorizationRequest, Credential, GetKillRequest,
    GetTokenRequest, InvalidateCredentialRequest, ReconnectCredentialRequest,
    UpdateCredentialRequest,
};
use evergrant_providers::sandbox::RotationMode;
use prost_types::FieldMask;
use toml::{Table, Value};
use tonic::Status;

use crate::harness::caller::{credential, fresh};
use crate::harness::replica::Replica;
use crate::harness::scene::{CLIENT, Scene};

/// `token-of-reporting`.
const REPORTING_SHA256: &str = "0f5a6100c849d70ab1db3143ff8c762d463f6c167cbe922658932a566c17cf6a";

pub async fn invalid_request() -> Result<Status> {
    let (_scene, replica) = stage().await?;
    refusal(replica.caller().ask(GetTokenRequest::default()).await)
}

pub async fn unauthenticated() -> Result<Status> {
    let (_scene, replica) = guarded().await?;
    refusal(replica.caller().token("c").await)
}

pub async fn permission_denied() -> Result<Status> {
    let (_scene, replica) = guarded().await?;
    let caller = replica.caller().with_token("token-of-reporting");
    refusal(caller.token("c").await)
}

pub async fn credential_not_found() -> Result<Status> {
    let (_scene, replica) = stage().await?;
    refusal(replica.caller().token("nobody").await)
}

pub async fn credential_exists() -> Result<Status> {
    let (scene, replica) = stage().await?;
    let grant = scene.fresh_credential(&replica, "c").await?;
    let again = replica.caller().store(credential("c"), fresh(&grant)).await;
    refusal(again)
}

pub async fn credential_invalidated() -> Result<Status> {
    let (scene, replica) = stage().await?;
    scene.fresh_credential(&replica, "c").await?;
    replica.caller().invalidate("c").await?;
    refusal(replica.caller().token("c").await)
}

pub async fn generation_conflict() -> Result<Status> {
    let (scene, replica) = stage().await?;
    scene.fresh_credential(&replica, "c").await?;
    let of_later = InvalidateCredentialRequest {
        credential_id: "c".to_owned(),
        generation: 7,
        ..InvalidateCredentialRequest::default()
    };
    refusal(replica.credentials().invalidate_credential(of_later).await)
}

pub async fn etag_mismatch() -> Result<Status> {
    let (scene, replica) = stage().await?;
    scene.fresh_credential(&replica, "c").await?;
    let read = replica.caller().credential("c").await?;
    let update = UpdateCredentialRequest {
        credential: Some(Credential {
            labels: [("team".to_owned(), "red".to_owned())].into(),
            ..read
        }),
        update_mask: Some(FieldMask {
            paths: vec!["labels".to_owned()],
        }),
    };
    let mut credentials = replica.credentials();
    credentials.update_credential(update.clone()).await?;
    refusal(credentials.update_credential(update).await)
}

pub async fn account_mismatch() -> Result<Status> {
    let (scene, replica) = stage().await?;
    let grant = scene.sandbox.grant(RotationMode::Strict)?;
    let of_ann = Credential {
        provider_account: "ann".to_owned(),
        ..credential("c")
    };
    replica.caller().store(of_ann, fresh(&grant)).await?;
    let as_bob = ReconnectCredentialRequest {
        credential_id: "c".to_owned(),
        material: Some(fresh(&grant)),
        provider_account: "bob".to_owned(),
        ..ReconnectCredentialRequest::default()
    };
    refusal(replica.credentials().reconnect_credential(as_bob).await)
}

pub async fn unknown_provider() -> Result<Status> {
    let nowhere = Credential {
        provider: "nobody-knows".to_owned(),
        client: String::new(),
        ..credential("c")
    };
    not_stored(nowhere).await
}

pub async fn unknown_client() -> Result<Status> {
    let of_nobody = Credential {
        client: "nobody-knows".to_owned(),
        ..credential("c")
    };
    not_stored(of_nobody).await
}

pub async fn integration_not_found() -> Result<Status> {
    let (_scene, replica) = stage().await?;
    refusal(replica.caller().integration("nobody").await)
}

pub async fn integration_exists() -> Result<Status> {
    let (scene, replica) = stage().await?;
    scene.fresh_credential(&replica, "c").await?;
    replica.caller().integrate("i", &["c"]).await?;
    refusal(replica.caller().integrate("i", &["c"]).await)
}

pub async fn kill_not_found() -> Result<Status> {
    let (_scene, replica) = stage().await?;
    let made_up = GetKillRequest {
        kill_id: "none".to_owned(),
    };
    let mut kills = KillServiceClient::new(replica.channel());
    refusal(kills.get_kill(made_up).await)
}

pub async fn authorization_state_invalid() -> Result<Status> {
    let (_scene, replica) = stage().await?;
    let made_up = CompleteAuthorizationRequest {
        state: "made-up".to_owned(),
        code: "code".to_owned(),
        ..CompleteAuthorizationRequest::default()
    };
    refusal(replica.credentials().complete_authorization(made_up).await)
}

pub async fn authorization_refused() -> Result<Status> {
    let scene = Scene::on_sqlite().await?;
    let home = vec!["http://127.0.0.1/home".to_owned()];
    let scene = scene.set(&format!("clients.{CLIENT}.redirect_uris"), home);
    let replica = scene.replica("replica").await?;
    let mut credentials = replica.credentials();
    let begin = BeginAuthorizationRequest {
        credential: Some(credential("c")),
        ..BeginAuthorizationRequest::default()
    };
    let begun = credentials.begin_authorization(begin).await?.into_inner();
    let denied = CompleteAuthorizationRequest {
        state: begun.state,
        error: "access_denied".to_owned(),
        ..CompleteAuthorizationRequest::default()
    };
    refusal(credentials.complete_authorization(denied).await)
}

/// A replica on SQLite that trusts everybody.
pub async fn stage() -> Result<(Scene, Replica)> {
    let scene = Scene::on_sqlite().await?;
    let replica = scene.replica("replica").await?;
    Ok((scene, replica))
}

/// How a request was refused.
pub fn refusal<T>(answer: Result<T, Status>) -> Result<Status> {
    answer.err().context("it was not refused")
}

/// A replica whose one caller may watch and do nothing else.
async fn guarded() -> Result<(Scene, Replica)> {
    let text = |text: &str| Value::from(text.to_owned());
    let mut reporting = Table::new();
    reporting.insert("name".to_owned(), text("reporting"));
    reporting.insert("token_sha256".to_owned(), text(REPORTING_SHA256));
    reporting.insert("tenants".to_owned(), vec![text("*")].into());
    reporting.insert("allow".to_owned(), vec![text("event.watch")].into());
    let scene = Scene::on_sqlite().await?;
    let scene = scene.set("callers", vec![Value::from(reporting)]);
    let replica = scene.replica("replica").await?;
    Ok((scene, replica))
}

async fn not_stored(credential: Credential) -> Result<Status> {
    let (scene, replica) = stage().await?;
    let grant = scene.sandbox.grant(RotationMode::Strict)?;
    refusal(replica.caller().store(credential, fresh(&grant)).await)
}
