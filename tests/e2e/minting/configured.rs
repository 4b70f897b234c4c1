//! A minted token ends with the configuration that it was minted with.

use anyhow::Result;
use evergrant_proto::v1::{GrantType, TokenMaterial};

use super::{CLIENT, at, minted, parameters, scoped};
use crate::harness::issuer::Issuer;
use crate::harness::replica::Replica;
use crate::harness::scene::Scene;

/// A fresh credential's own token and one of other scopes.
async fn both(replica: &Replica) -> Result<[String; 2]> {
    let caller = replica.caller();
    let own = caller.ask(scoped("m", &[])).await?;
    let other = caller.ask(scoped("m", &["read"])).await?;
    Ok([own.access_token, other.access_token])
}

// A51, W80
#[tokio::test]
async fn a_restart_with_another_client_mints_anew_and_any_other_does_not() -> Result<()> {
    let issuer = Issuer::start().await?;
    let mut scene = at(Scene::on_sqlite().await?, &issuer);
    let replica = scene.replica("first").await?;
    let credential = minted("m", GrantType::ClientCredentials);
    let caller = replica.caller();
    caller.store(credential, TokenMaterial::default()).await?;
    let mut known = both(&replica).await?;
    replica.kill().await?;

    let secret = format!("clients.{CLIENT}.client_secret");
    let id = format!("clients.{CLIENT}.client_id");
    let two = toml::Value::from(vec!["hush-client", "hush-next"]);
    let restarts = [
        (&secret, "hush-client".into(), false),
        (&secret, two, false),
        (&secret, "hush-next".into(), true),
        (&id, "another".into(), true),
        (&id, "another".into(), false),
    ];
    for (number, (key, value, mints)) in restarts.into_iter().enumerate() {
        scene = scene.set(key, value);
        let calls = issuer.requests().len();
        let replica = scene.replica(&format!("restart {number}")).await?;
        for _ in 0..2 {
            let tokens = both(&replica).await?;
            let kept = tokens.iter().filter(|token| known.contains(token)).count();
            assert_eq!(kept, if mints { 0 } else { 2 }, "{number}");
            assert_eq!(issuer.requests().len() - calls, if mints { 2 } else { 0 });
            if mints {
                known.clone_from(&tokens);
                assert_eq!(both(&replica).await?, tokens);
                break;
            }
        }
        replica.kill().await?;
    }
    let last = issuer.requests().pop().expect("it was called");
    assert_eq!(
        (&*last["client_id"], &*last["client_secret"]),
        ("another", "hush-next")
    );
    Ok(())
}

// W80
#[tokio::test]
async fn replicas_of_two_configurations_mint_once_each_and_agree_two_replicas() -> Result<()> {
    let issuer = Issuer::start().await?;
    let scene = at(Scene::with_redis().await?, &issuer);
    let old = scene.replica("old").await?;
    let credential = minted("m", GrantType::ClientCredentials);
    let means = parameters(&[("account_id", "hush-account")]);
    old.caller().store(credential, means).await?;
    let first = both(&old).await?;
    let scene = scene.set(&format!("clients.{CLIENT}.client_secret"), "hush-next");
    let new = scene.replica("new").await?;
    let second = both(&new).await?;
    assert!(second.iter().all(|token| !first.contains(token)));
    for _ in 0..3 {
        assert_eq!(both(&new).await?, second);
    }
    // It hears of what another replica stored.
    let calls = issuer.requests().len();
    let deadline = tokio::time::Instant::now() + crate::harness::scene::SOON;
    while both(&old).await? != second {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(both(&new).await?, second);
    assert_eq!((calls, issuer.requests().len()), (4, 4));
    Ok(())
}
