//! A state is good once, for its own tenant, and nobody guesses it.

use super::*;

#[tokio::test]
async fn a_state_is_good_once_and_only_for_its_tenant() {
    let scene = Scene::new().await;
    let begun = scene.consents.begin(begin()).await.unwrap();
    let stranger = Some(vec![TenantId::parse("t2").unwrap()]);
    for (state, tenants) in [
        (begun.state.as_str(), stranger),
        ("unknown", None),
        ("", None),
    ] {
        let ended = scene.consents.complete(code(state), tenants).await;
        assert_eq!(ended.result, Err(ConsentError::StateInvalid));
        assert_eq!(ended.about, None);
    }
    assert_eq!(scene.redeemed(), 0);
    let own = Some(vec![TenantId::parse("t1").unwrap()]);
    let ended = scene.consents.complete(code(&begun.state), own).await;
    assert!(ended.result.is_ok());
    let again = scene.consents.complete(code(&begun.state), None).await;
    assert_eq!(again.result, Err(ConsentError::StateInvalid));
    assert_eq!(scene.redeemed(), 1);
}

#[tokio::test]
async fn who_guesses_states_takes_no_turn_of_the_writer() {
    let scene = Scene::new().await;
    let database = scene.database().await;
    database
        .execute_unprepared("BEGIN IMMEDIATE")
        .await
        .unwrap();
    let guessed = scene.consents.complete(code("guess"), None);
    let ended = timeout(Duration::from_secs(20), guessed).await.unwrap();
    assert_eq!(ended.result, Err(ConsentError::StateInvalid));
    database.execute_unprepared("ROLLBACK").await.unwrap();
}

#[tokio::test]
async fn a_refusal_of_the_user_changes_nothing_and_spends_the_state() {
    let scene = Scene::new().await;
    let begun = scene.consents.begin(begin()).await.unwrap();
    let no = Answer {
        outcome: Outcome::Refused {
            error: "access_denied".into(),
            description: "the user said no\n".into(),
        },
        ..code(&begun.state)
    };
    let ended = scene.consents.complete(no, None).await;
    let message = "the provider refused: access_denied: the user said no";
    assert_eq!(ended.result.unwrap_err().to_string(), message);
    assert_eq!(ended.about.unwrap().key, key("c1"));
    assert_eq!(scene.redeemed(), 0);
    assert_eq!(scene.store.credential(&key("c1")).await.unwrap(), None);
    let again = scene.consents.complete(code(&begun.state), None).await;
    assert_eq!(again.result, Err(ConsentError::StateInvalid));
}
