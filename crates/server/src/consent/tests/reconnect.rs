//! A consent for a credential that is there.

use super::*;

#[tokio::test]
async fn a_second_consent_reconnects_and_keeps_the_placeholders() {
    let scene = Scene::new().await;
    let first = Begin {
        placeholders: BTreeMap::from([("shop".into(), "one".into())]),
        ..begin()
    };
    scene.consent(first).await.unwrap();
    let done = scene.consent(begin()).await.unwrap();
    assert!(!done.created);
    assert_eq!(
        scene.view().await.grant.generation,
        Generation::FIRST.next()
    );
    let redeemed = scene.authority.redeemed.lock().unwrap();
    assert_eq!(redeemed[1].1.placeholders["shop"], "one");
    assert_eq!(
        redeemed[1].1.placeholders.len(),
        1,
        "facts of the answer are none"
    );
}

#[tokio::test]
async fn another_account_is_refused_unless_allowed_and_its_tokens_are_kept_aside() {
    let scene = Scene::new().await;
    scene.consent(begin()).await.unwrap();
    scene.next_answer(Ok(granted("a2")));
    let refused = scene.consent(begin()).await;
    assert_eq!(refused, Err(ConsentError::AccountMismatch(key("c1"))));
    let grant = scene.store.grant_of(&key("c1")).await.unwrap().unwrap();
    assert_eq!(grant.tokens.access_token.expose(), "at-a1");
    assert_eq!(grant.facts.generation, Generation::FIRST);
    assert_eq!(scene.orphans().await, 1);
    let revoked_with_it = scene.store.orphans_of(&grant.facts).await.unwrap();
    assert_eq!(revoked_with_it, [], "they are another consent's");

    scene.next_answer(Ok(granted("a2")));
    let allowed = Begin {
        allow_account_change: true,
        ..begin()
    };
    scene.consent(allowed).await.unwrap();
    assert_eq!(scene.view().await.grant.account.as_deref(), Some("a2"));
    assert_eq!(scene.orphans().await, 1);
}

#[tokio::test]
async fn tokens_of_one_client_never_reach_a_grant_of_another() {
    let scene = Scene::new().await;
    let other = Begin {
        client: client("other"),
        ..begin()
    };
    let late = scene.consents.begin(other.clone()).await.unwrap();
    scene.consent(begin()).await.unwrap();

    let error = scene.consents.begin(other).await.unwrap_err();
    assert!(
        error.to_string().starts_with("credential.client: "),
        "{error}"
    );
    let ended = scene.consents.complete(code(&late.state), None).await;
    assert_eq!(ended.result, Err(ConsentError::Exists(key("c1"))));
    assert_eq!(scene.view().await.grant.generation, Generation::FIRST);
}
