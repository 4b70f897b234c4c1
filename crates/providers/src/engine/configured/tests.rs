use std::collections::{BTreeMap, BTreeSet};

use evergrant_core::ids::{ClientName, ProviderName};
use evergrant_core::provider::Limits;
use evergrant_core::secret::{Parameter, SigningKey};

use super::*;
use crate::catalogue::Catalogue;
use crate::engine::OAuthClient;

const ENTRY: &str = r#"
name = "acme"
token_url = "https://{region}.acme.example/token"
sources = ["a test"]
grant_types = ["client_credentials"]
allowed_hosts = ["*.acme.example"]
[placeholders]
region = "eu"
"#;

fn config() -> OAuthClient {
    OAuthClient {
        name: ClientName::parse("main").unwrap(),
        provider: ProviderName::parse("acme").unwrap(),
        client_id: "id".into(),
        client_secrets: vec!["one".into()],
        private_key: Some("key".into()),
        key_id: Some("key id".into()),
        redirect_uris: Vec::new(),
        parameters: BTreeMap::from([("tenant".into(), "t".into())]),
        alternates: Vec::new(),
        limits: Limits::default(),
    }
}

fn of(entry: &str, config: OAuthClient, means: &Means, secret: &str) -> [u8; 32] {
    let mut catalogue = Catalogue::empty();
    let name = catalogue.add(entry, "test").unwrap();
    let client = Client::of(config, catalogue.get(&name).unwrap().clone());
    *fingerprint(&client, TokenGrant::ClientCredentials, means, secret).expose()
}

fn usual(config: OAuthClient) -> [u8; 32] {
    of(ENTRY, config, &Means::default(), "one")
}

#[test]
fn whatever_the_operator_changes_of_what_mints_changes_the_fingerprint() {
    let parameters = |value: &str| BTreeMap::from([("tenant".to_owned(), value.to_owned())]);
    let none = Means::default();
    let all = [
        usual(config()),
        of(ENTRY, config(), &none, "two"),
        of(&ENTRY.replace("/token", "/other"), config(), &none, "one"),
        of(&ENTRY.replace("\"eu\"", "\"us\""), config(), &none, "one"),
        usual(OAuthClient {
            client_id: "other".into(),
            ..config()
        }),
        usual(OAuthClient {
            client_id: "ido".into(),
            ..config()
        }),
        usual(OAuthClient {
            private_key: Some("other".into()),
            ..config()
        }),
        usual(OAuthClient {
            private_key: None,
            ..config()
        }),
        usual(OAuthClient {
            key_id: None,
            ..config()
        }),
        usual(OAuthClient {
            parameters: parameters("other"),
            ..config()
        }),
        usual(OAuthClient {
            parameters: BTreeMap::new(),
            ..config()
        }),
    ];
    let different: BTreeSet<_> = all.iter().collect();
    assert_eq!(different.len(), all.len());
}

#[test]
fn what_no_request_is_made_of_leaves_it_alone() {
    let same = [
        config(),
        OAuthClient {
            client_secrets: vec!["new".into(), "one".into()],
            ..config()
        },
        OAuthClient {
            redirect_uris: vec!["https://app.example".into()],
            ..config()
        },
        OAuthClient {
            limits: Limits {
                per_minute: Some(7),
                ..Limits::default()
            },
            ..config()
        },
    ];
    for config in same {
        assert_eq!(usual(config), usual(self::config()));
    }
}

#[test]
fn what_a_grant_brings_itself_is_not_looked_for_in_the_configuration() {
    let parameter = |value: &str| Parameter::new(value.to_owned());
    let brought = Means {
        parameters: BTreeMap::from([
            ("client_id".to_owned(), parameter("own")),
            ("client_secret".to_owned(), parameter("own")),
        ]),
        signing_key: Some(SigningKey::new("own".to_owned())),
        ..Means::default()
    };
    let changed = OAuthClient {
        client_id: "other".into(),
        private_key: Some("other".into()),
        key_id: None,
        ..config()
    };
    let before = of(ENTRY, config(), &brought, "one");
    assert_eq!(of(ENTRY, changed, &brought, "two"), before);
    assert_ne!(usual(config()), before);
}
