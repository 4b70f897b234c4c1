//! A minted credential is revoked with the tokens of all its sets of scopes.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use evergrant_proto::v1::{GrantType, TokenMaterial};

use super::{at, minted, scoped};
use crate::harness::caller::reason;
use crate::harness::issuer::{ISSUER, Issuer};
use crate::harness::replica::{Replica, verb};
use crate::harness::scene::Scene;

const SETS: [&[&str]; 3] = [&[], &["read"], &["read", "write"]];

/// A credential of which a token of each of [`SETS`] was handed out, and these.
async fn handed_out(replica: &Replica, id: &str) -> Result<BTreeSet<String>> {
    let credential = minted(id, GrantType::ClientCredentials);
    let caller = replica.caller();
    caller.store(credential, TokenMaterial::default()).await?;
    let mut tokens = BTreeSet::new();
    for scopes in SETS {
        tokens.insert(caller.ask(scoped(id, scopes)).await?.access_token);
    }
    Ok(tokens)
}

#[tokio::test]
async fn a_deletion_takes_back_every_set_of_scopes_and_goes_on_after_a_failure() -> Result<()> {
    let issuer = Issuer::start().await?;
    let scene = at(Scene::on_sqlite().await?, &issuer);
    let replica = scene.replica("replica").await?;
    let caller = replica.caller();
    let tokens = handed_out(&replica, "m").await?;

    issuer.refuse(&[("minted-2", "temporarily_unavailable")]);
    let failed = caller.delete("m", true).await.expect_err("it fails");
    assert_eq!(reason(&failed).1, "PROVIDER_UNAVAILABLE");
    ensure!(failed.message().contains("left to revoke"), "{failed:?}");
    assert_eq!(caller.credential("m").await?.credential_id, "m");
    ensure!(!issuer.revoked().contains(&"minted-2".to_owned()));

    issuer.refuse(&[]);
    ensure!(caller.delete("m", true).await?);
    let revoked = issuer.revoked();
    assert_eq!(revoked.len(), 3, "each once: {revoked:?}");
    assert_eq!(
        revoked.last().map(String::as_str),
        Some("minted-1"),
        "its own"
    );
    assert_eq!(revoked.into_iter().collect::<BTreeSet<_>>(), tokens);
    let gone = caller.credential("m").await.expect_err("it is deleted");
    assert_eq!(reason(&gone).1, "CREDENTIAL_NOT_FOUND");
    Ok(())
}

#[tokio::test]
async fn a_kill_takes_back_every_set_of_scopes() -> Result<()> {
    let issuer = Issuer::start().await?;
    let scene = at(Scene::on_sqlite().await?, &issuer);
    let replica = scene.replica("replica").await?;
    let tokens = handed_out(&replica, "m").await?;
    let server = format!("http://{}", replica.grpc());
    let words = [
        "kill",
        "--provider",
        ISSUER,
        "--server",
        &server,
        "-o",
        "json",
    ];
    let dry_run = verb(&[&words[..], &["--dry-run"]].concat()).await?;
    let told: serde_json::Value = serde_json::from_str(&dry_run)?;
    assert_eq!(
        (&told["grants"], &told["credentials"]),
        (&1.into(), &1.into())
    );
    let killed = verb(&[&words[..], &["--reason", "the key leaked", "--yes"]].concat()).await?;
    let told: serde_json::Value = serde_json::from_str(&killed)?;
    assert_eq!((&told["grants"], &told["revoked"]), (&1.into(), &1.into()));
    let revoked = issuer.revoked();
    assert_eq!(revoked.len(), 3, "each once: {revoked:?}");
    assert_eq!(revoked.into_iter().collect::<BTreeSet<_>>(), tokens);
    for scopes in SETS {
        let refused = replica.caller().ask(scoped("m", scopes)).await;
        assert_eq!(
            reason(&refused.expect_err("it is dead")).1,
            "CREDENTIAL_INVALIDATED"
        );
    }
    Ok(())
}
