//! Whose clock an assertion is signed by: a provider refuses one of its future, and one that is over by its own clock.

use std::sync::Arc;
use std::time::Duration;

use evergrant_core::grant::{Grant, GrantType};
use evergrant_core::ids::ClientName;
use evergrant_core::provider::Providers as _;
use evergrant_core::secret::SigningKey;
use evergrant_providers::{Catalogue, HttpProviders};
use jsonwebtoken::Algorithm;

use crate::keys::Keys;
use crate::support::{Endpoint, Fixed, NOW, Reply, acme, client, grant, reply};

const GOOD: &str = r#"{"access_token":"a","expires_in":60}"#;
const SECONDS: i64 = NOW.as_millis() / 1_000;
const TEN_MINUTES_BEHIND: &str = "Tue, 14 Nov 2023 22:03:20 GMT";
const LIKE_OURS: &str = "Tue, 14 Nov 2023 22:13:20 GMT";

/// The providers `acme` and `other`, each at an endpoint of its own and with a client of its name.
struct Scene {
    keys: &'static Keys,
    providers: HttpProviders,
    endpoints: [Endpoint; 2],
}

impl Scene {
    async fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        let endpoints = [
            Endpoint::answering(replies).await,
            Endpoint::answering([reply(200, GOOD)]).await,
        ];
        let rest = "grant_types = [\"jwt_bearer\"]\n[assertion]\nalgorithm = \"RS256\"\n";
        let [one, other] = endpoints
            .each_ref()
            .map(|endpoint| acme(&endpoint.authority, rest));
        let mut catalogue = Catalogue::empty();
        catalogue.add(&one, "test").unwrap();
        let other = other.replace("name = \"acme\"", "name = \"other\"");
        catalogue.add(&other, "test").unwrap();
        let clients = ["acme", "other"].map(|name| client(name, name, &["secret"]));
        let providers = HttpProviders::new(Arc::new(catalogue), clients.into(), Arc::new(Fixed));
        Self {
            keys: Keys::rsa(),
            providers: providers.unwrap(),
            endpoints,
        }
    }

    fn grant(&self, provider: &str) -> Grant {
        let mut grant = grant(provider);
        grant.facts.client.client = ClientName::parse(provider).unwrap();
        grant.facts.grant_type = GrantType::JwtBearer;
        grant.tokens.refresh_token = None;
        grant.tokens.means.signing_key = Some(SigningKey::new(self.keys.private.clone()));
        grant
    }

    /// By which time the next assertion is signed, in seconds from ours.
    async fn signed_at(&self, provider: &str) -> i64 {
        let grant = self.grant(provider);
        let minted = self.providers.refresh(&grant, Duration::from_secs(10));
        let _whatever_comes_of_it = minted.await;
        let endpoint = &self.endpoints[usize::from(provider == "other")];
        let seen = endpoint.seen().pop().unwrap();
        let assertion = &seen.fields()["assertion"];
        let (_, claims) = self.keys.verify(Algorithm::RS256, assertion);
        claims["iat"].as_i64().unwrap() - SECONDS
    }
}

#[tokio::test]
async fn assertions_are_signed_by_the_clock_that_the_provider_showed_last() {
    let dates = [TEN_MINUTES_BEHIND, LIKE_OURS, LIKE_OURS];
    let scene = Scene::new(dates.map(|date| reply(200, GOOD).with("date", date))).await;
    for signed_at in [0, -600, 0] {
        assert_eq!(scene.signed_at("acme").await, signed_at);
    }
}

#[tokio::test]
async fn a_clock_is_that_of_its_host_alone() {
    let behind = || reply(200, GOOD).with("date", TEN_MINUTES_BEHIND);
    let scene = Scene::new([behind(), behind()]).await;
    assert_eq!(scene.signed_at("acme").await, 0);
    assert_eq!(scene.signed_at("other").await, 0);
    assert_eq!(scene.signed_at("acme").await, -600);
}

#[tokio::test]
async fn what_stands_before_a_provider_does_not_tell_its_time() {
    let proxy = reply(503, "{}").with("date", TEN_MINUTES_BEHIND);
    let scene = Scene::new([proxy, reply(200, GOOD)]).await;
    assert_eq!(scene.signed_at("acme").await, 0);
    assert_eq!(scene.signed_at("acme").await, 0);
}
