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
    let scene = Scene::with(|facts| facts.names_account = false).await;
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

fn of_shop(shop: &str, allow_account_change: bool) -> Begin {
    Begin {
        placeholders: BTreeMap::from([("shop".into(), shop.into())]),
        allow_account_change,
        ..begin()
    }
}

// A shop whose provider names nobody is known by its address alone.
#[tokio::test]
async fn another_shop_is_another_account_where_nothing_names_it() {
    let scene = Scene::with(|facts| {
        facts.openid = false;
        facts.names_account = false;
    })
    .await;
    let connect = async |begin| {
        scene.next_answer(Ok(Granted {
            account: None,
            ..granted("a1")
        }));
        scene.consent(begin).await
    };
    connect(of_shop("one", false)).await.unwrap();
    connect(of_shop("one", false)).await.unwrap();
    connect(begin()).await.expect("the shop of before is meant");
    let refused = scene.consents.begin(of_shop("two", false)).await;
    let refused = refused.unwrap_err().to_string();
    assert!(
        refused.contains("placeholders.shop: is not that of credential t1/c1"),
        "{refused}"
    );
    connect(of_shop("two", true)).await.unwrap();
    connect(of_shop("two", false)).await.unwrap();

    let scene = Scene::new().await;
    for shop in ["one", "two"] {
        let done = scene.consent(of_shop(shop, false)).await;
        done.expect("its account says that it is the same");
    }
}
