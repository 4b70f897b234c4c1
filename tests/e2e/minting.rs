//! Tokens without a user: minted once for all who ask, from means that nobody gets to see again.

mod configured;
mod exchange;
mod mistaken;
mod revoked;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use evergrant_proto::v1::watch_response::Event;
use evergrant_proto::v1::{Credential, GetTokenRequest, GrantType, TokenMaterial};
use futures_util::future::join_all;
use tonic::Code;

use crate::harness::caller::{reason, request};
use crate::harness::issuer::{ISSUER, Issuer};
use crate::harness::process::Process;
use crate::harness::scene::{SOON, Scene};
use crate::harness::watcher::{Watcher, everything};

const CLIENT: &str = "issuer-main";

/// Signs for nobody but these tests.
const SIGNING_KEY: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg64REIberVsXJY3QU\n\
PWOMeHNKnTFnKIKrTXwYT0yZNxyhRANCAAQDCkYtAWwOen+NXpsDEOiH4Jvto708\n\
JET8FPx6t4RzQ6AhOOAp8dg0LxZzL3A/jhXd/fyrR4qthX2cod/TqzTY\n\
-----END PRIVATE KEY-----\n\
";

/// Replicas of `scene` know the issuer.
fn at(scene: Scene, issuer: &Issuer) -> Scene {
    scene
        .provider(ISSUER, issuer.entry())
        .set(&format!("clients.{CLIENT}.provider"), ISSUER)
        .set(&format!("clients.{CLIENT}.client_id"), "configured")
        .set(&format!("clients.{CLIENT}.client_secret"), "hush-client")
}

fn minted(id: &str, grant_type: GrantType) -> Credential {
    Credential {
        credential_id: id.to_owned(),
        provider: ISSUER.to_owned(),
        grant_type: grant_type.into(),
        ..Credential::default()
    }
}

fn parameters(pairs: &[(&str, &str)]) -> TokenMaterial {
    let pairs = pairs.iter();
    TokenMaterial {
        parameters: pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..TokenMaterial::default()
    }
}

fn scoped(credential: &str, scopes: &[&str]) -> GetTokenRequest {
    GetTokenRequest {
        scopes: scopes.iter().map(ToString::to_string).collect(),
        ..request(credential)
    }
}

// D1, D2, A51
#[tokio::test]
async fn each_set_of_scopes_is_minted_once_for_all_who_ask_two_replicas() -> Result<()> {
    let issuer = Issuer::start().await?;
    let scene = at(Scene::with_redis().await?, &issuer);
    let [one, two] = scene.replicas().await?;
    let stored = one
        .caller()
        .store(
            minted("m", GrantType::ClientCredentials),
            parameters(&[("account_id", "hush-account")]),
        )
        .await?;
    assert!(stored.refreshable && stored.expires_at.is_none());
    assert!(!format!("{stored:?}").contains("hush"));
    assert_eq!(issuer.requests().len(), 0, "nobody has asked yet");

    let wanted = [
        scoped("m", &[]),
        scoped("m", &["read", "write"]),
        scoped("m", &["write", "read", "read"]),
        scoped("m", &["read"]),
    ];
    let callers = [one.caller(), two.caller()];
    let asked = (0..160).map(|n| callers[n % 2].ask(wanted[n / 2 % 4].clone()));
    let mut tokens: BTreeMap<Vec<String>, BTreeSet<String>> = BTreeMap::new();
    for answer in join_all(asked).await {
        let answer = answer?;
        let of_scopes = tokens.entry(answer.scopes).or_default();
        of_scopes.insert(answer.access_token);
    }
    assert_eq!(tokens.len(), 3);
    assert!(
        tokens.values().all(|tokens| tokens.len() == 1),
        "{tokens:?}"
    );
    let asked_for: BTreeSet<_> = issuer
        .requests()
        .into_iter()
        .map(|mut fields| fields.remove("scope").unwrap_or_default())
        .collect();
    assert_eq!(issuer.requests().len(), 3);
    assert_eq!(
        asked_for,
        ["", "read", "read write"].map(str::to_owned).into()
    );
    Ok(())
}

#[tokio::test]
async fn refused_means_are_told_once_and_new_ones_restore_the_credential() -> Result<()> {
    let issuer = Issuer::start().await?;
    let scene = at(Scene::with_redis().await?, &issuer);
    let [one, two] = scene.replicas().await?;
    let credential = minted("m", GrantType::ClientCredentials);
    one.caller()
        .store(credential, parameters(&[("client_secret", "old")]))
        .await?;
    two.caller().ask(scoped("m", &["read"])).await?;
    let watcher = Watcher::start(&two, everything()).await?;

    issuer.refuse(&[("old", "invalid_grant")]);
    let calls = issuer.requests().len();
    for replica in [&one, &two, &one] {
        for ask in [
            scoped("m", &["write"]),
            scoped("m", &["read"]),
            scoped("m", &[]),
        ] {
            let refusal = replica
                .caller()
                .ask(ask)
                .await
                .expect_err("the means are dead");
            let dead = (
                Code::FailedPrecondition,
                "CREDENTIAL_INVALIDATED".to_owned(),
            );
            assert_eq!(reason(&refusal), dead);
        }
    }
    assert_eq!(issuer.requests().len(), calls + 1);
    let wanted = |event: &Event| matches!(event, Event::CredentialInvalidated(_));
    watcher.wait_for("the end", SOON, wanted).await?;

    one.caller()
        .reconnect("m", parameters(&[("client_secret", "new")]), false)
        .await?;
    let wanted = |event: &Event| matches!(event, Event::CredentialRestored(_));
    watcher.wait_for("the recovery", SOON, wanted).await?;
    let answer = two.caller().ask(scoped("m", &["read"])).await?;
    assert!(answer.refreshed);
    let last = issuer.requests().pop().expect("it was called");
    assert_eq!(last["client_secret"], "new");
    Ok(())
}

#[tokio::test]
async fn a_clients_secret_that_a_credential_brought_holds_nobody_else_back() -> Result<()> {
    let issuer = Issuer::start().await?;
    let scene = at(Scene::on_sqlite().await?, &issuer);
    let replica = scene.replica("replica").await?;
    let caller = replica.caller();
    let own = parameters(&[("client_id", "own"), ("client_secret", "wrong")]);
    let kind = GrantType::ClientCredentials;
    caller.store(minted("own", kind), own).await?;
    caller.store(minted("m", kind), parameters(&[])).await?;
    issuer.refuse(&[("wrong", "invalid_client")]);

    for _ in 0..3 {
        let refusal = caller
            .token("own")
            .await
            .expect_err("its client is refused");
        let rejected = (Code::FailedPrecondition, "CLIENT_REJECTED".to_owned());
        assert_eq!(reason(&refusal), rejected);
        caller.token("m").await?;
    }
    assert_eq!(issuer.requests().len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_service_account_signs_and_its_key_outlives_a_restart() -> Result<()> {
    let issuer = Issuer::start().await?;
    let scene = at(Scene::on_sqlite().await?, &issuer);
    let replica = scene.replica("first").await?;
    let material = TokenMaterial {
        signing_key: SIGNING_KEY.to_owned(),
        scopes: vec!["files".to_owned()],
        ..parameters(&[("subject", "ann@example.com")])
    };
    let credential = minted("m", GrantType::JwtBearer);
    replica.caller().store(credential, material).await?;
    let first = replica.caller().token("m").await?;
    replica.kill().await?;

    let replica = scene.replica("second").await?;
    let again = replica.caller().token("m").await?;
    assert_eq!(again.access_token, first.access_token, "stored, not minted");
    let renewed = replica.caller().refused("m", again.generation).await?;
    assert_ne!(renewed.access_token, first.access_token);
    let requests = issuer.requests();
    assert_eq!(requests.len(), 2);
    for fields in requests {
        let grant_type = "urn:ietf:params:oauth:grant-type:jwt-bearer";
        assert_eq!(fields["grant_type"], grant_type);
        assert_eq!(fields["assertion"].split('.').count(), 3);
    }
    Ok(())
}

#[tokio::test]
async fn an_exchange_follows_its_subject_and_does_not_die_with_it() -> Result<()> {
    let issuer = Issuer::start().await?;
    let scene = at(Scene::on_sqlite().await?, &issuer);
    let replica = scene.replica("replica").await?;
    let caller = replica.caller();
    scene.expired_credential(&replica, "c").await?;
    let material = parameters(&[("subject_credential", "c")]);
    caller
        .store(minted("x", GrantType::TokenExchange), material)
        .await?;
    let exchanged = caller.token("x").await?;
    let subject = caller.token("c").await?;
    assert_eq!(issuer.requests()[0]["subject_token"], subject.access_token);
    assert_eq!(scene.sandbox.calls(), 1);

    caller.invalidate("c").await?;
    let still = caller.token("x").await?;
    assert_eq!(still.access_token, exchanged.access_token);
    let refusal = caller
        .refused("x", still.generation)
        .await
        .expect_err("no subject");
    let invalid = (Code::FailedPrecondition, "SUBJECT_INVALID".to_owned());
    assert_eq!(reason(&refusal), invalid);
    assert!(refusal.message().contains("default/c"), "{refusal}");
    let state = caller.credential("x").await?;
    assert!(state.invalidation.is_none());
    Ok(())
}

#[tokio::test]
async fn the_command_line_takes_means_from_files_and_asks_for_scopes() -> Result<()> {
    let issuer = Issuer::start().await?;
    let scene = at(Scene::on_sqlite().await?, &issuer);
    let replica = scene.replica("replica").await?;
    let folder = tempfile::tempdir()?;
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "hush-own\n")?;
    let file = format!("client_secret={}", secret.display());
    let evergrant = async |arguments: &[&str]| -> Result<String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evergrant"));
        command
            .args(arguments)
            .args(["--server", &format!("http://{}", replica.grpc())]);
        let mut process = Process::spawn(arguments[0], command)?;
        let status = process.end(Duration::from_secs(30)).await?;
        ensure!(status.success(), "{}", process.stderr());
        Ok(process.stdout())
    };
    let create = [
        "credential",
        "create",
        "m",
        "--provider",
        ISSUER,
        "--grant-type",
        "client-credentials",
        "--parameter-file",
        &file,
    ];
    let created = evergrant(&create).await?;
    assert!(created.contains("client_credentials"), "{created}");
    assert!(!created.contains("hush"), "{created}");
    let token = [
        "token", "get", "m", "--scope", "b", "--scope", "a", "--reveal",
    ];
    let token = evergrant(&token).await?;
    assert!(token.contains("minted-1"), "{token}");
    let fields = issuer.requests().remove(0);
    assert_eq!(
        (fields["scope"].as_str(), fields["client_secret"].as_str()),
        ("a b", "hush-own")
    );
    Ok(())
}
