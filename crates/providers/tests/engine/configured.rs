//! What of a client's configuration a minted token is bound to.

use std::sync::Arc;
use std::time::Duration;

use evergrant_core::clock::{Clock, Timestamp};
use evergrant_core::grant::GrantType;
use evergrant_core::provider::Providers as _;
use evergrant_providers::{Catalogue, HttpProviders, OAuthClient};

use crate::support::{Endpoint, NOW, acme, client, grant, providers, reply};

/// The time after every start so far.
struct Later;

impl Clock for Later {
    fn now(&self) -> Timestamp {
        NOW.plus(Duration::from_secs(1))
    }
}

// A51
#[tokio::test]
async fn a_token_is_of_the_secret_that_was_accepted_and_outdated_once_that_is_gone() {
    let replies = [
        reply(401, r#"{"error":"invalid_client"}"#),
        reply(200, r#"{"access_token":"a","expires_in":60}"#),
    ];
    let endpoint = Endpoint::answering(replies).await;
    let kinds = "grant_types = [\"client_credentials\"]";
    let entry = acme(&endpoint.authority, kinds);
    let first = client("acme", "main", &["refused", "accepted"]);
    let providers = providers(&entry, vec![first]).unwrap();
    let mut grant = grant("acme");
    grant.facts.grant_type = GrantType::ClientCredentials;
    grant.tokens.refresh_token = None;
    let issued = providers.refresh(&grant, Duration::from_secs(10)).await;
    grant.tokens.minted_by = issued.unwrap().minted_by;
    assert!(!providers.is_outdated(&grant));

    let later = |client: OAuthClient| {
        let mut catalogue = Catalogue::empty();
        catalogue.add(&entry, "test").unwrap();
        HttpProviders::new(Arc::new(catalogue), vec![client], Arc::new(Later)).unwrap()
    };
    for (secrets, is_outdated) in [
        (&["accepted"][..], false),
        (&["next", "accepted"], false),
        (&["refused"], true),
        (&["next"], true),
    ] {
        let later = later(client("acme", "main", secrets));
        assert_eq!(later.is_outdated(&grant), is_outdated, "{secrets:?}");
    }
    let other = OAuthClient {
        client_id: "another".to_owned(),
        ..client("acme", "main", &["accepted"])
    };
    assert!(later(other).is_outdated(&grant));
    grant.tokens.minted_by = None;
    assert!(!later(client("acme", "main", &["next"])).is_outdated(&grant));
}
