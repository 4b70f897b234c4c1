use std::sync::Arc;

use evergrant_core::ids::{ClientName, ProviderName};
use serde_json::json;

use super::*;
use crate::jwks::sample::{Fixed, Issuer, NOW, Signer};
use crate::{Catalogue, OAuthClient};

/// `issuer` and `account` as the entry has them.
fn providers(jwks_url: &str, issuer: &str, account: &str) -> HttpProviders {
    let entry = format!(
        r#"name = "acme"
token_url = "https://{{tenant}}.acme.example/token"
authorize_url = "https://acme.example/authorize?client={{client_id}}"
allowed_hosts = ["*.acme.example"]
sources = ["https://acme.example"]
[authorize]
scope = "user_scope"
pkce = false
[authorize.parameters]
org = "{{org}}"
[openid]
issuer = "{issuer}"
jwks_url = "{jwks_url}"
account = "{account}"
"#
    );
    let mut catalogue = Catalogue::empty();
    catalogue.add(&entry, "test").unwrap();
    providers_of(catalogue, &client().provider)
}

/// With one client of that provider.
fn providers_of(catalogue: Catalogue, provider: &ProviderName) -> HttpProviders {
    let client = OAuthClient {
        name: ClientName::parse("main").unwrap(),
        provider: provider.clone(),
        client_id: "client-1".into(),
        client_secrets: vec!["hush".into()],
        private_key: None,
        key_id: None,
        redirect_uris: vec!["https://app.example/callback".into()],
        parameters: BTreeMap::from([("tenant".into(), "one".into())]),
        alternates: Vec::new(),
        limits: Default::default(),
    };
    HttpProviders::new(Arc::new(catalogue), vec![client], Arc::new(Fixed)).unwrap()
}

fn client() -> ClientKey {
    ClientKey {
        provider: ProviderName::parse("acme").unwrap(),
        client: ClientName::parse("main").unwrap(),
    }
}

async fn verify(
    providers: &HttpProviders,
    token: String,
    nonce: Option<&str>,
) -> Result<String, IdTokenError> {
    verify_of(providers, &client().provider, token, nonce).await
}

async fn verify_of(
    providers: &HttpProviders,
    provider: &ProviderName,
    token: String,
    nonce: Option<&str>,
) -> Result<String, IdTokenError> {
    let key_sets = KeySets::new(Arc::new(Fixed)).unwrap();
    let client = ClientKey {
        provider: provider.clone(),
        ..client()
    };
    let id_token = IdToken {
        token: &token.into(),
        client: &client,
        nonce,
        placeholders: &BTreeMap::new(),
    };
    providers.verify_id_token(&key_sets, id_token).await
}

fn not_believed(error: VerifyError) -> Result<String, IdTokenError> {
    let provider = client().provider;
    Err(IdTokenError::Verify { provider, error })
}

fn claims() -> Value {
    json!({
        "iss": "https://acme.example", "aud": "client-1", "exp": NOW + 60, "nonce": "n1",
        "sub": "u1", "team": 7, "azp": "client-1"
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

#[tokio::test]
async fn the_account_is_the_claim_that_the_entry_names() {
    let signer = Signer::ed("k");
    let keys = Issuer::with(&[signer.public()]).await;
    for (claim, account) in [("sub", "u1"), ("team", "7")] {
        let providers = providers(&keys.url, "https://acme.example", claim);
        let found = verify(&providers, signer.sign(&claims()), Some("n1")).await;
        assert_eq!(found.as_deref(), Ok(account));
        let without = signer.sign(&with(claim, Value::Null));
        let missing = verify(&providers, without, Some("n1")).await;
        assert_eq!(missing, not_believed(VerifyError::Form));
    }
}

/// The example of the handbook that builds on `salesforce`.
fn salesforce_acme() -> &'static str {
    let page = include_str!("../../../../../docs/catalogue.md");
    let mut examples = page.split("```toml\n").skip(1);
    let example = examples.find(|text| text.contains("base = \"salesforce\""));
    example.and_then(|text| text.split("```").next()).unwrap()
}

#[tokio::test]
async fn an_organisation_of_salesforce_can_have_an_entry_that_verifies_its_users() {
    let example = salesforce_acme();
    let own_keys = "https://{host}/id/keys";
    let mut catalogue = Catalogue::builtin();
    catalogue.add(example, "docs/catalogue.md").unwrap();
    let provider = ProviderName::parse("salesforce-acme").unwrap();
    let entry = catalogue.get(&provider).unwrap();
    let keys_url = &entry.openid.as_ref().unwrap().jwks_url;
    let host = |name: &str| entry.placeholders.get(name).map(String::as_str);
    assert_eq!(
        keys_url.fill(host, &entry.allowed_hosts).unwrap().as_str(),
        "https://acme.my.salesforce.com/id/keys"
    );

    let signer = Signer::ed("k");
    let keys = Issuer::with(&[signer.public()]).await;
    let mut catalogue = Catalogue::builtin();
    let here = example.replace(own_keys, &keys.url);
    catalogue.add(&here, "docs/catalogue.md").unwrap();
    let providers = providers_of(catalogue, &provider);
    let with_issuer = |issuer: &str| signer.sign(&with("iss", json!(issuer)));
    let user = with_issuer("https://acme.my.salesforce.com");
    let user = verify_of(&providers, &provider, user, Some("n1")).await;
    assert_eq!(user.as_deref(), Ok("u1"));
    for other in [
        "https://login.salesforce.com",
        "https://evil.my.salesforce.com",
    ] {
        let user = verify_of(&providers, &provider, with_issuer(other), Some("n1")).await;
        assert!(
            matches!(
                user,
                Err(IdTokenError::Verify {
                    error: VerifyError::Claim { name: "iss", .. },
                    ..
                })
            ),
            "{other}"
        );
    }
}

#[tokio::test]
async fn a_token_of_another_consent_client_or_issuer_is_not_believed() {
    let signer = Signer::ed("k");
    let keys = Issuer::with(&[signer.public()]).await;
    let providers = providers(&keys.url, "https://acme.example", "sub");
    for (name, value) in [
        ("nonce", json!("n2")),
        ("nonce", Value::Null),
        ("aud", json!("client-2")),
        ("azp", json!("client-2")),
        ("iss", json!("https://evil.example")),
        ("exp", json!(NOW - 60)),
    ] {
        let refused = verify(
            &providers,
            signer.sign(&with(name, value.clone())),
            Some("n1"),
        )
        .await;
        let Err(IdTokenError::Verify {
            error: VerifyError::Claim { name: told, .. },
            ..
        }) = refused
        else {
            panic!("{name} = {value}: {refused:?}");
        };
        assert_eq!(told, name);
    }
    let forged = Signer::ed("k").sign(&claims());
    let refused = verify(&providers, forged, Some("n1")).await;
    assert_eq!(refused, not_believed(VerifyError::Signature));
}

#[tokio::test]
async fn keys_that_cannot_be_had_are_told_with_entry_key_and_host() {
    let signer = Signer::ed("k");
    let keys = Issuer::with(&[]).await;
    *keys.document.lock().unwrap() = json!("away");
    let providers = providers(&keys.url, "https://acme.example", "sub");
    let refused = verify(&providers, signer.sign(&claims()), Some("n1")).await;
    let host = crate::client::host(&keys.url.parse().unwrap());
    assert_eq!(
        refused.unwrap_err().to_string(),
        format!(
            "the id_token of acme cannot be believed: openid.jwks_url: the issuer's key set cannot be fetched: \
             {host} answered no key set"
        )
    );
}

#[tokio::test]
async fn an_issuer_is_made_of_what_is_known_and_then_of_claims() {
    let signer = Signer::ed("k");
    let keys = Issuer::with(&[signer.public()]).await;
    let providers = providers(&keys.url, "https://acme.example/{tenant}/{tid}", "sub");
    let token = |iss: &str| {
        let mut claims = with("tid", json!("t-9"));
        claims["tenant"] = json!("two");
        claims["iss"] = json!(iss);
        signer.sign(&claims)
    };
    let good = verify(
        &providers,
        token("https://acme.example/one/t-9"),
        Some("n1"),
    )
    .await;
    assert_eq!(good.as_deref(), Ok("u1"));
    let bad = verify(
        &providers,
        token("https://acme.example/two/t-9"),
        Some("n1"),
    )
    .await;
    assert!(
        bad.is_err(),
        "a claim cannot replace what the configuration says"
    );
}

#[test]
fn the_facts_of_a_consent_are_those_of_client_and_entry() {
    let providers = providers("https://acme.example/jwks", "https://acme.example", "sub");
    let mut facts = providers.consent_facts(&client()).unwrap();
    let known = std::mem::take(&mut facts.known_placeholders);
    for name in &facts.placeholders {
        assert!(known.contains(name), "{name}");
    }
    for name in ["client_id", "jti", "key_id", "token_url"] {
        assert!(!known.contains(&name.to_owned()), "nobody gives {name}");
    }
    assert_eq!(
        facts,
        ConsentFacts {
            redirect_uris: vec!["https://app.example/callback".into()],
            pkce: false,
            openid: true,
            names_account: false,
            issuer: Some("https://acme.example".into()),
            scope_parameter: "user_scope".into(),
            placeholders: vec!["org".into(), "tenant".into()],
            address_placeholders: vec!["tenant".into()],
            known_placeholders: Vec::new(),
        }
    );
    let stranger = ClientKey {
        client: ClientName::parse("other").unwrap(),
        ..client()
    };
    assert!(providers.consent_facts(&stranger).is_err());
}
