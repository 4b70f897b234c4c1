//! `evergrant credential delete --revoke` says what became of the grant, why, and what is left to do.

use anyhow::{Context, Result, ensure};
use evergrant_proto::v1::{Credential, GrantType, TokenMaterial};
use evergrant_providers::sandbox::{
    DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, Endpoint, Fault, FaultRule, NewGrant, RotationMode,
};
use serde_json::{Value, json};

use crate::harness::caller::{credential, fresh};
use crate::harness::cli::{Ended, evergrant};
use crate::harness::issuer::{ISSUER, Issuer};
use crate::harness::replica::Replica;
use crate::harness::scene::Scene;

/// A provider whose catalogue entry has no `revoke_url`.
const MUTE: &str = "mute";

struct Stage {
    scene: Scene,
    replica: Replica,
    _issuer: Issuer,
}

impl Stage {
    async fn begin() -> Result<Self> {
        let (scene, issuer) = (Scene::on_sqlite().await?, Issuer::start().await?);
        let entry = scene.sandbox.entry(MUTE, RotationMode::Strict);
        let is_kept = |line: &&str| !line.contains("revoke_url");
        let mute: Vec<_> = entry.lines().filter(is_kept).collect();
        let scene = scene
            .provider(MUTE, mute.join("\n"))
            .set("clients.mute-main.provider", MUTE)
            .set("clients.mute-main.client_id", DEFAULT_CLIENT_ID)
            .set("clients.mute-main.client_secret", DEFAULT_CLIENT_SECRET)
            .provider(ISSUER, issuer.entry())
            .set("clients.issuer-main.provider", ISSUER)
            .set("clients.issuer-main.client_id", "configured")
            .set("clients.issuer-main.client_secret", "hush-client");
        Ok(Self {
            replica: scene.replica("replica").await?,
            scene,
            _issuer: issuer,
        })
    }

    /// `evergrant credential delete ID --revoke` with more words.
    async fn delete(&self, id: &str, more: &[&str]) -> Result<Ended> {
        let server = format!("http://{}", self.replica.grpc());
        let words = ["credential", "delete", id, "--revoke", "--server", &server];
        evergrant(&self.scene.config(), &[&words, more].concat()).await
    }

    /// What it prints after the name, once it is deleted.
    async fn revoked(&self, id: &str) -> Result<String> {
        let ended = self.delete(id, &[]).await?;
        ensure!(ended.code == Some(0), "{}", ended.stderr);
        let line = ended.stdout.lines().last().context("it prints something")?;
        let told = line.strip_prefix("revoked").context("it says so")?;
        Ok(told.trim().to_owned())
    }

    /// The same as JSON.
    async fn revoked_json(&self, id: &str) -> Result<Value> {
        let ended = self.delete(id, &["-o", "json"]).await?;
        ensure!(ended.code == Some(0), "{}", ended.stderr);
        Ok(serde_json::from_str(&ended.stdout)?)
    }

    /// Credentials that share a grant.
    async fn share(&self, ids: &[&str]) -> Result<NewGrant> {
        let grant = self.scene.sandbox.grant(RotationMode::Strict)?;
        for id in ids {
            let caller = self.replica.caller();
            caller.store(credential(id), fresh(&grant)).await?;
        }
        Ok(grant)
    }
}

#[tokio::test]
async fn what_the_provider_accepted_is_told_and_what_it_did_not_deletes_nothing() -> Result<()> {
    let stage = Stage::begin().await?;
    let grant = stage.share(&["c"]).await?;
    let down = FaultRule {
        endpoint: Endpoint::Revoke,
        ..FaultRule::once(Fault::DropBeforeProcessing)
    };
    stage.scene.sandbox.control().add_fault(down)?;

    let failed = stage.delete("c", &[]).await?;
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), ""));
    ensure!(
        failed.stderr.contains("nothing was deleted"),
        "{}",
        failed.stderr
    );

    let ended = stage.delete("c", &[]).await?;
    let confirmed = "deleted  c\nrevoked  yes, the provider accepted the revocation\n";
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), confirmed));
    ensure!(!stage.scene.sandbox.is_alive(&grant)?);
    Ok(())
}

#[tokio::test]
async fn who_shares_a_grant_is_named_until_the_last_ends_it() -> Result<()> {
    let stage = Stage::begin().await?;
    let grant = stage.share(&["sales", "support", "billing"]).await?;
    assert_eq!(
        stage.revoked_json("sales").await?,
        json!({
            "credential_id": "sales",
            "revoked_at_provider": false,
            "revocation_outcome": "REVOCATION_OUTCOME_GRANT_SHARED",
            "sharing_credential_ids": ["billing", "support"],
        })
    );
    assert_eq!(
        stage.revoked("support").await?,
        "no, credential billing uses the grant on: delete that with --revoke too, and the provider is told"
    );
    ensure!(stage.scene.sandbox.is_alive(&grant)?);
    assert_eq!(
        stage.revoked_json("billing").await?,
        json!({
            "credential_id": "billing",
            "revoked_at_provider": true,
            "revocation_outcome": "REVOCATION_OUTCOME_REVOKED",
            "sharing_credential_ids": [],
        })
    );
    ensure!(!stage.scene.sandbox.is_alive(&grant)?);
    Ok(())
}

#[tokio::test]
async fn a_provider_without_a_way_to_revoke_is_told_with_what_its_user_can_do() -> Result<()> {
    let stage = Stage::begin().await?;
    for id in ["m1", "m2"] {
        let mute = Credential {
            provider: MUTE.to_owned(),
            client: "mute-main".to_owned(),
            provider_account: id.to_owned(),
            ..credential(id)
        };
        let grant = stage.scene.sandbox.grant(RotationMode::Strict)?;
        stage.replica.caller().store(mute, fresh(&grant)).await?;
    }
    let told = stage.revoked("m1").await?;
    ensure!(
        told.starts_with("no, no way to revoke it at this provider is known"),
        "{told}"
    );
    ensure!(
        told.ends_with("removes the application from their account"),
        "{told}"
    );
    let told = stage.revoked_json("m2").await?;
    assert_eq!(
        told["revocation_outcome"],
        "REVOCATION_OUTCOME_NOT_SUPPORTED"
    );
    Ok(())
}

#[tokio::test]
async fn what_never_had_a_token_leaves_nothing_at_the_provider() -> Result<()> {
    let stage = Stage::begin().await?;
    for id in ["t1", "t2"] {
        let minted = Credential {
            credential_id: id.to_owned(),
            provider: ISSUER.to_owned(),
            grant_type: GrantType::ClientCredentials.into(),
            ..Credential::default()
        };
        let caller = stage.replica.caller();
        caller.store(minted, TokenMaterial::default()).await?;
    }
    assert_eq!(
        stage.revoked("t1").await?,
        "no, and nothing is left at the provider: no token was ever obtained"
    );
    let told = stage.revoked_json("t2").await?;
    assert_eq!(told["revocation_outcome"], "REVOCATION_OUTCOME_NO_TOKEN");
    Ok(())
}
