//! The server's own callback.

use anyhow::Result;
use evergrant_proto::v1::BeginAuthorizationRequest;

use super::{Scene, begin};
use crate::harness::browser::Person;
use crate::harness::caller::Caller;
use crate::harness::http;

#[tokio::test]
async fn the_server_completes_the_consent_and_shows_a_page() -> Result<()> {
    let mut scene = Scene::new().await?;
    scene.config = scene
        .config
        .set("authorization.callback_listen", "127.0.0.1:0");
    let replica = scene.replica().await?;
    let caller = Caller::new(replica.channel());
    let here = BeginAuthorizationRequest {
        redirect_uri: replica.callback_url()?,
        ..BeginAuthorizationRequest::default()
    };

    let begun = begin(&replica, here.clone()).await?;
    let sight = Person::who_refuses("ada")
        .visits(&begun.authorization_url)
        .await?;
    assert!(sight.text.contains("Not connected"), "{sight:?}");
    assert!(sight.text.contains("access_denied"), "{sight:?}");
    assert!(caller.credential("c").await.is_err());

    let begun = begin(&replica, here).await?;
    let sight = Person::named("ada")
        .visits(&begun.authorization_url)
        .await?;
    assert!(sight.url.starts_with(&replica.callback_url()?), "{sight:?}");
    assert!(
        sight.text.contains("You can close this window"),
        "{sight:?}"
    );
    let token = caller.token("c").await?;
    assert!(scene.oidc.is_active(&token.access_token).await?);

    let again = http::client().get(&sight.url).send().await?;
    assert_eq!(again.status().as_u16(), 400);
    assert!(again.text().await?.contains("used before"));
    assert_eq!(caller.token("c").await?.access_token, token.access_token);

    // What is to end at an application of its own does not end here.
    let elsewhere = BeginAuthorizationRequest {
        redirect_uri: scene.application.redirect_uri(),
        ..BeginAuthorizationRequest::default()
    };
    let begun = begin(&replica, elsewhere).await?;
    let stray = format!("{}?state={}&code=x", replica.callback_url()?, begun.state);
    let stray = http::client().get(&stray).send().await?;
    assert_eq!(stray.status().as_u16(), 400);
    assert!(stray.text().await?.contains("an address of its own"));
    Ok(())
}

#[tokio::test]
async fn a_browser_is_sent_on_to_an_address_of_the_configuration_alone() -> Result<()> {
    let mut scene = Scene::new().await?;
    let done = scene.application.redirect_uri();
    scene.config = scene
        .config
        .set("authorization.callback_listen", "127.0.0.1:0")
        .set("authorization.return_urls", vec![done.clone()]);
    let replica = scene.replica().await?;
    let back_to = |return_url: &str| -> Result<BeginAuthorizationRequest> {
        Ok(BeginAuthorizationRequest {
            redirect_uri: replica.callback_url()?,
            return_url: return_url.to_owned(),
            ..BeginAuthorizationRequest::default()
        })
    };

    let evil = begin(&replica, back_to("https://evil.example/")?).await;
    let evil = evil.expect_err("it is no address of the configuration");
    assert!(evil.message().starts_with("return_url: "), "{evil}");

    let begun = begin(&replica, back_to(&done)?).await?;
    let sight = Person::named("ada")
        .visits(&begun.authorization_url)
        .await?;
    assert_eq!(sight.url, format!("{done}?credential_id=c&outcome=created"));
    assert_eq!(sight.text, "back at the application");
    Ok(())
}
