//! Whether it will be known who consents again.

use super::device::begin_device;
use super::*;

fn without_openid(allow_account_change: bool) -> Begin {
    Begin {
        scopes: vec!["drive".into()],
        allow_account_change,
        ..begin()
    }
}

fn told(error: &ConsentError) -> bool {
    let told = error.to_string();
    told.contains("scopes")
        && told.contains("must have openid: credential t1/c1 has a provider_account")
}

#[tokio::test]
async fn a_reconnect_that_would_not_learn_the_account_does_not_begin() {
    let scene = Scene::with(|facts| facts.only_openid_names = true).await;
    let begun = scene.consents.begin(without_openid(false)).await;
    let begun = begun.expect("nobody has connected before");
    let done = scene.consents.complete(code(&begun.state), None).await;
    done.result.unwrap();
    assert_eq!(scene.view().await.grant.account.as_deref(), Some("a1"));

    let refused = scene
        .consents
        .begin(without_openid(false))
        .await
        .unwrap_err();
    assert!(told(&refused), "{refused}");
    let on_device = BeginDevice {
        scopes: vec!["drive".into()],
        ..begin_device()
    };
    let refused = scene.consents.begin_device(on_device).await.unwrap_err();
    assert!(told(&refused), "{refused}");

    let with_openid = Begin {
        scopes: vec!["openid".into(), "drive".into()],
        ..begin()
    };
    for fine in [without_openid(true), with_openid] {
        scene.consents.begin(fine).await.unwrap();
    }
}

#[tokio::test]
async fn no_scope_is_asked_for_where_something_else_names_the_account() {
    let scene = Scene::new().await;
    for _ in 0..2 {
        let begun = scene.consents.begin(without_openid(false)).await.unwrap();
        let done = scene.consents.complete(code(&begun.state), None).await;
        done.result.unwrap();
    }
}
