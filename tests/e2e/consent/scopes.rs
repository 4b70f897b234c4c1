//! Credentials of one account, each with the scopes of its own consent.

use anyhow::{Context, Result};
use evergrant_proto::v1::{BeginAuthorizationRequest, Credential, TokenMaterial};
use evergrant_providers::sandbox::RotationMode;
use futures_util::future::try_join_all;
use tonic::Code;

use super::{PROVIDER, Scene, complete};
use crate::harness::browser::Person;
use crate::harness::caller::{Caller, credential, fresh, reason};
use crate::harness::replica::Replica;
use crate::harness::scene::Scene as Sandbox;

const DRIVE: [&str; 3] = ["openid", "offline_access", "drive"];
const CALENDAR: [&str; 3] = ["openid", "offline_access", "calendar"];

/// Ada consents to `scopes` for this credential.
async fn connect(
    scene: &Scene,
    replica: &Replica,
    credential_id: &str,
    scopes: &[&str],
) -> Result<Credential> {
    let request = BeginAuthorizationRequest {
        credential: Some(Credential {
            credential_id: credential_id.to_owned(),
            provider: PROVIDER.to_owned(),
            ..Credential::default()
        }),
        scopes: scopes.iter().map(ToString::to_string).collect(),
        ..BeginAuthorizationRequest::default()
    };
    let begun = replica.credentials().begin_authorization(request).await?;
    let url = begun.into_inner().authorization_url;
    Person::named("ada").visits(&url).await?;
    let completed = complete(replica, &scene.application.brought()?).await?;
    completed.credential.context("there is a credential")
}

#[tokio::test]
async fn a_consent_with_other_scopes_takes_none_from_another_credential_of_the_account()
-> Result<()> {
    let scene = Scene::new().await?;
    let replica = scene.replica().await?;
    let caller = Caller::new(replica.channel());

    let drive = connect(&scene, &replica, "drive", &DRIVE).await?;
    let before = caller.token("drive").await?;
    let calendar = connect(&scene, &replica, "calendar", &CALENDAR).await?;
    for credential in [&drive, &calendar] {
        assert_eq!(credential.provider_account, "ada");
    }
    assert_ne!(calendar.grant_id, drive.grant_id);
    let after = caller.token("drive").await?;
    assert_eq!(after.access_token, before.access_token);
    assert_eq!(after.generation, before.generation);

    // Each is renewed by its own refresh token.
    for (name, scopes) in [("drive", DRIVE), ("calendar", CALENDAR)] {
        let old = caller.token(name).await?;
        let new = caller.refused(name, old.generation).await?;
        assert_eq!(new.generation, old.generation + 1);
        assert!(scene.oidc.is_active(&new.access_token).await?);
        assert_eq!(caller.credential(name).await?.scopes, scopes, "{name}");
    }
    assert_eq!(scene.oidc.ledger().await?.count("grant.error"), 0);

    // Who loses nothing shares.
    let all = ["openid", "offline_access", "drive", "mail"];
    let mail = connect(&scene, &replica, "mail", &all).await?;
    assert_eq!(mail.grant_id, drive.grant_id);
    assert_eq!(caller.credential("drive").await?.scopes, all);
    // And who comes back with less goes.
    let less = connect(&scene, &replica, "mail", &["openid", "offline_access"]).await?;
    assert_ne!(less.grant_id, drive.grant_id);
    assert!(less.generation > mail.generation);
    assert_eq!(caller.credential("drive").await?.scopes, all);
    let last = caller.token("drive").await?;
    caller.refused("drive", last.generation).await?;
    Ok(())
}

// A strict provider kills the family of a refresh token that comes twice.
#[tokio::test]
async fn a_refresh_token_that_is_brought_under_several_names_is_spent_once() -> Result<()> {
    let scene = Sandbox::on_sqlite().await?;
    let replica = scene.replica("replica").await?;
    let caller = replica.caller();
    let grant = scene.sandbox.grant(RotationMode::Strict)?;
    let of = |account: &str, id: &str| Credential {
        provider_account: account.to_owned(),
        ..credential(id)
    };
    let narrow = TokenMaterial {
        scopes: vec!["read".to_owned()],
        ..fresh(&grant)
    };
    caller.store(of("", "first"), fresh(&grant)).await?;
    caller.store(of("", "second"), narrow).await?;
    caller.store(of("ann", "third"), fresh(&grant)).await?;
    let refused = caller.store(of("bob", "fourth"), fresh(&grant)).await;
    let refused = refused.expect_err("it is ann's");
    let mismatch = (Code::FailedPrecondition, "ACCOUNT_MISMATCH".to_owned());
    assert_eq!(reason(&refused), mismatch);
    assert!(refused.message().contains("first"), "{}", refused.message());

    let ids = ["first", "second", "third"];
    let generation = caller.token("first").await?.generation;
    let renewed = try_join_all(ids.map(|id| caller.refused(id, generation))).await?;
    assert!(
        renewed
            .iter()
            .all(|new| new.access_token == renewed[0].access_token)
    );
    assert_eq!(scene.sandbox.calls(), 1);
    scene.sandbox.assert_one_call_a_token()?;
    let grants = try_join_all(ids.map(|id| caller.credential(id))).await?;
    assert!(
        grants
            .iter()
            .all(|known| known.grant_id == grants[0].grant_id)
    );
    Ok(())
}
