//! Errors that a provider brings about.

use std::time::Duration;

use anyhow::{Context, Result};
use evergrant_proto::v1::{Credential, GetTokenRequest, GrantType, TokenMaterial};
use evergrant_providers::sandbox::{DEFAULT_CLIENT_ID, Fault, FaultRule, Point};
use futures_util::future::join_all;
use tonic::{Request, Status};

use super::requests::{refusal, stage};
use crate::harness::caller::{Caller, reason, request};
use crate::harness::eventually::eventually;
use crate::harness::issuer::{ISSUER, Issuer};
use crate::harness::replica::Replica;
use crate::harness::scene::{SOON, Scene};
use crate::unusable::Changed;

/// Sets of scopes of one credential.
const SETS: usize = 64;
/// Enough of them for a brake.
const REFUSED: usize = 14;

pub async fn client_rejected() -> Result<Status> {
    let (scene, replica) = stage().await?;
    scene.fresh_credential(&replica, "c").await?;
    let control = scene.sandbox.control();
    control.set_client(DEFAULT_CLIENT_ID, &["another-secret".to_owned()]);
    refusal(replica.caller().refused("c", 1).await)
}

pub async fn provider_unavailable() -> Result<Status> {
    faulty(answer(503, "")).await
}

pub async fn provider_rate_limited() -> Result<Status> {
    let throttle = Fault::RateLimit {
        retry_after_seconds: Some(60),
        http_date: false,
    };
    faulty(throttle).await
}

pub async fn provider_protocol_error() -> Result<Status> {
    faulty(answer(200, "<html>welcome</html>")).await
}

pub async fn refresh_cooling_down() -> Result<Status> {
    let (scene, replica) = stage().await?;
    let grant = scene.fresh_credential(&replica, "c").await?;
    scene.sandbox.fail_always(&grant, answer(503, ""))?;
    refusal(replica.caller().refused("c", 1).await)?;
    refusal(replica.caller().refused("c", 1).await)
}

pub async fn refresh_in_progress() -> Result<Status> {
    let (scene, replica) = stage().await?;
    let grant = scene.fresh_credential(&replica, "c").await?;
    let hold = scene.sandbox.hold(&grant, Point::BeforeProcessing);
    let mut hurried = Request::new(GetTokenRequest {
        rejected: Some(evergrant_proto::v1::get_token_request::Rejected::RejectedGeneration(1)),
        ..request("c")
    });
    hurried.set_timeout(Duration::from_secs(2));
    let told = refusal(replica.tokens().get_token(hurried).await);
    hold.open();
    told
}

pub async fn grant_unusable() -> Result<Status> {
    let changed = Changed::begin().await?;
    let replica = changed.scene.replica("without").await?;
    refusal(replica.caller().refused("c", 1).await)
}

pub async fn subject_invalid() -> Result<Status> {
    let (_issuer, _scene, _replica, caller) = minting().await?;
    let of_nobody = minted("x", GrantType::TokenExchange);
    let material = TokenMaterial {
        parameters: [("subject_credential".to_owned(), "nobody".to_owned())].into(),
        ..TokenMaterial::default()
    };
    caller.store(of_nobody, material).await?;
    refusal(caller.token("x").await)
}

pub async fn scope_set_limit() -> Result<Status> {
    let (_issuer, _scene, _replica, caller) = minting().await?;
    let credential = minted("m", GrantType::ClientCredentials);
    caller.store(credential, TokenMaterial::default()).await?;
    let scoped = |number: usize| GetTokenRequest {
        scopes: vec![format!("scope-{number}")],
        ..request("m")
    };
    for answer in join_all((0..SETS).map(|number| caller.ask(scoped(number)))).await {
        answer?;
    }
    refusal(caller.ask(scoped(SETS)).await)
}

pub async fn client_braked() -> Result<Status> {
    let (scene, replica) = stage().await?;
    let refuse = Fault::FlakyInvalidGrant {
        probability: 1.0,
        seed: 1,
    };
    let control = scene.sandbox.control();
    control.add_fault(FaultRule::always(refuse))?;
    let ids: Vec<_> = (0..REFUSED).map(|number| format!("c-{number}")).collect();
    for id in &ids {
        scene.expired_credential(&replica, id).await?;
    }
    eventually("a grant to be held", SOON, async || {
        for id in &ids {
            let told = replica.caller().token(id).await.err()?;
            if reason(&told).1 == "CLIENT_BRAKED" {
                return Some(told);
            }
        }
        None
    })
    .await
}

/// How a refresh fails that meets `fault`.
async fn faulty(fault: Fault) -> Result<Status> {
    let (scene, replica) = stage().await?;
    let grant = scene.fresh_credential(&replica, "c").await?;
    scene.sandbox.fail_always(&grant, fault)?;
    refusal(replica.caller().refused("c", 1).await)
}

fn answer(status: u16, body: &str) -> Fault {
    Fault::Status {
        status,
        body: body.to_owned(),
        content_type: "text/html".to_owned(),
        at: Point::BeforeProcessing,
    }
}

/// A replica that mints tokens at an issuer.
async fn minting() -> Result<(Issuer, Scene, Replica, Caller)> {
    let issuer = Issuer::start().await.context("no issuer")?;
    let scene = Scene::on_sqlite().await?;
    let scene = scene
        .provider(ISSUER, issuer.entry())
        .set("clients.issuer-main.provider", ISSUER)
        .set("clients.issuer-main.client_id", "configured")
        .set("clients.issuer-main.client_secret", "hush-client");
    let replica = scene.replica("replica").await?;
    let caller = replica.caller();
    Ok((issuer, scene, replica, caller))
}

fn minted(id: &str, grant_type: GrantType) -> Credential {
    Credential {
        credential_id: id.to_owned(),
        provider: ISSUER.to_owned(),
        grant_type: grant_type.into(),
        ..Credential::default()
    }
}
