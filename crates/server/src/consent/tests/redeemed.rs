//! A code that comes back is redeemed once, and becomes a credential.

use super::*;

#[tokio::test]
async fn a_consent_ends_with_a_credential_of_what_was_asked_and_granted() {
    let scene = Scene::new().await;
    let begun = scene
        .consents
        .begin(Begin {
            placeholders: BTreeMap::from([("shop".into(), "one".into())]),
            parameters: BTreeMap::from([("login_hint".into(), "u1".into())]),
            ..begin()
        })
        .await
        .unwrap();
    let url = Url::parse(&begun.url).unwrap();
    let query: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
    assert_eq!(query["state"], begun.state);
    assert_eq!(query["scope"], "read write");
    assert_eq!(query["login_hint"], "u1");
    assert_eq!(URL_SAFE_NO_PAD.decode(&begun.state).unwrap().len(), 32);
    let left = begun.expires_at.since(SystemClock.now());
    assert!(
        left > Duration::from_secs(590) && left <= LIFETIME,
        "{left:?}"
    );

    let ended = scene.consents.complete(code(&begun.state), None).await;
    let done = ended.result.unwrap();
    assert!(done.created);
    let view = scene.view().await;
    assert_eq!(view.credential.labels["team"], "x");
    assert_eq!(view.grant.account.as_deref(), Some("a1"));
    assert_eq!(
        view.grant.scopes,
        ["read", "write"],
        "none stated: those asked for"
    );
    let grant = scene.store.grant_of(&key("c1")).await.unwrap().unwrap();
    assert_eq!(grant.tokens.access_token.expose(), "at-a1");
    assert_eq!(grant.tokens.metadata["shop"], "one");
    assert_eq!(grant.tokens.metadata["team"], "T1");

    let redeemed = scene.authority.redeemed.lock().unwrap();
    let (code, pending, state) = &redeemed[0];
    assert_eq!((code.as_str(), state), ("code-1", &begun.state));
    let verifier = pending.code_verifier.as_ref().unwrap().expose_secret();
    assert_eq!(verifier.len(), 43, "RFC 7636 section 4.1");
    assert!(
        pending
            .nonce
            .as_ref()
            .is_some_and(|nonce| nonce.len() == 43)
    );
    assert_eq!(pending.redirect_uri, "https://app.example/callback");
}

#[tokio::test]
async fn scopes_are_stored_as_the_provider_states_them() {
    let scene = Scene::new().await;
    let mut fewer = granted("a1");
    fewer.issued.scopes = Some(vec!["read".into()]);
    scene.next_answer(Ok(fewer));
    scene.consent(begin()).await.unwrap();
    assert_eq!(scene.view().await.grant.scopes, ["read"]);
}

#[tokio::test]
async fn a_refused_code_and_a_failed_exchange_are_told_apart_and_never_tried_again() {
    let scene = Scene::new().await;
    for reason in [None, Some(FailureReason::ProviderUnavailable)] {
        scene.next_answer(Err(Denied {
            reason,
            code: "invalid_grant".into(),
            message: "no".into(),
        }));
        let error = scene.consent(begin()).await.unwrap_err();
        match reason {
            None => assert!(matches!(error, ConsentError::Refused { .. }), "{error:?}"),
            Some(_) => {
                assert!(matches!(error, ConsentError::Failed { .. }), "{error:?}");
                assert!(error.to_string().contains("the state is spent"));
            }
        }
    }
    assert_eq!(scene.redeemed(), 2, "one exchange each");
    assert_eq!(scene.store.credential(&key("c1")).await.unwrap(), None);
}

#[tokio::test]
async fn an_answer_of_another_issuer_is_refused_before_the_code_is_sent() {
    let scene = Scene::new().await;
    for (issuer, sent) in [
        ("https://evil.example", 0),
        ("https://acme.example", 1),
        ("", 2),
    ] {
        let begun = scene.consents.begin(begin()).await.unwrap();
        let answer = Answer {
            issuer: issuer.into(),
            ..code(&begun.state)
        };
        let ended = scene.consents.complete(answer, None).await;
        assert_eq!(ended.result.is_ok(), sent > 0, "{issuer}");
        assert_eq!(scene.redeemed(), sent);
    }
}

#[tokio::test]
async fn a_consent_is_completed_although_its_caller_leaves() {
    let scene = Scene::new().await;
    let begun = scene.consents.begin(begin()).await.unwrap();
    let mut left = Box::pin(scene.consents.complete(code(&begun.state), None));
    let polled =
        std::future::poll_fn(|context| std::task::Poll::Ready(left.as_mut().poll(context)));
    assert!(polled.await.is_pending());
    drop(left);
    let tasks = &scene.consents.parts.tasks;
    tasks.close();
    tasks.wait().await;
    assert_eq!(scene.redeemed(), 1);
    assert!(scene.store.credential(&key("c1")).await.unwrap().is_some());
}
