//! What a consent may ask for, and what is made for it.

use super::*;

#[tokio::test]
async fn without_pkce_or_openid_there_is_neither_verifier_nor_nonce() {
    let scene = Scene::with(|facts| (facts.pkce, facts.openid) = (false, false)).await;
    scene.consent(begin()).await.unwrap();
    let redeemed = scene.authority.redeemed.lock().unwrap();
    assert!(redeemed[0].1.code_verifier.is_none() && redeemed[0].1.nonce.is_none());
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_with_its_field() {
    let scene = Scene::new().await;
    let with = |change: &dyn Fn(&mut Begin)| {
        let mut ask = begin();
        change(&mut ask);
        ask
    };
    for (field, ask) in [
        (
            "redirect_uri",
            with(&|ask| ask.redirect_uri = "https://evil.example/".into()),
        ),
        ("scopes", with(&|ask| ask.scopes = vec!["a b".into()])),
        (
            "parameters",
            with(&|ask| ask.parameters = BTreeMap::from([("state".into(), "x".into())])),
        ),
        (
            "placeholders",
            with(&|ask| ask.placeholders = BTreeMap::from([("shop".into(), "a\nb".into())])),
        ),
        (
            "placeholders.shopp",
            with(&|ask| ask.placeholders = BTreeMap::from([("shopp".into(), "one".into())])),
        ),
        (
            "placeholders.shop: catalogue entry acme",
            with(&|ask| ask.placeholders = BTreeMap::from([("shop".into(), "closed".into())])),
        ),
        (
            "return_url",
            with(&|ask| ask.return_url = "https://app.example/done?x".into()),
        ),
    ] {
        let error = scene.consents.begin(ask).await.unwrap_err();
        assert!(
            error.to_string().starts_with(&format!("{field}: ")),
            "{error}"
        );
    }
    let stranger = Begin {
        client: client("stranger"),
        ..begin()
    };
    let error = scene.consents.begin(stranger).await.unwrap_err();
    assert!(matches!(error, ConsentError::Unknown(_)));

    let loopback = Begin {
        redirect_uri: "http://127.0.0.1:49152/callback".into(),
        return_url: "https://app.example/done".into(),
        ..begin()
    };
    let begun = scene.consents.begin(loopback).await.unwrap();
    let ended = scene.consents.complete(code(&begun.state), None).await;
    let back = ended.about.unwrap().return_url;
    assert_eq!(back.as_deref(), Some("https://app.example/done"));
    let redeemed = scene.authority.redeemed.lock().unwrap();
    assert_eq!(
        redeemed[0].1.redirect_uri,
        "http://127.0.0.1:49152/callback"
    );
}

#[tokio::test]
async fn a_client_without_redirect_uris_needs_one_to_be_registered() {
    let scene = Scene::with(|facts| facts.redirect_uris.clear()).await;
    let error = scene.consents.begin(begin()).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("client main has no redirect_uris"),
        "{error}"
    );
}
