//! What no request could be made of is told before one is needed.

use std::collections::BTreeMap;

use evergrant_core::grant::{GrantType, Means, TokenSet};
use evergrant_core::secret::{Parameter, SigningKey};
use evergrant_providers::OAuthClient;
use evergrant_providers::engine::{Lack, Unusable};
use jsonwebtoken::Algorithm;

use crate::keys::Keys;
use crate::support::{client, grant, providers};

fn entry(rest: &str) -> String {
    format!(
        "name = \"acme\"\ntoken_url = \"https://{{shop}}.acme.example/token\"\n\
         allowed_hosts = [\"*.acme.example\"]\nsources = [\"a test\"]\n{rest}"
    )
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(own).collect()
}

fn check(
    entry: &str,
    client: OAuthClient,
    grant_type: GrantType,
    tokens: &TokenSet,
) -> Result<(), Unusable> {
    let key = grant("acme").facts.client;
    let providers = providers(entry, vec![client]).unwrap();
    providers.check_grant(&key, grant_type, tokens)
}

fn placeholder(name: &str) -> Lack {
    Lack::Placeholder(name.to_owned())
}

#[test]
fn a_grant_without_the_value_of_a_placeholder_is_unusable() {
    let consented = |metadata: &[(&str, &str)]| {
        let mut tokens = grant("acme").tokens;
        tokens.metadata = map(metadata);
        let main = client("acme", "main", &["s"]);
        check(&entry(""), main, GrantType::AuthorizationCode, &tokens)
    };
    let error = consented(&[]).unwrap_err();
    assert_eq!(error.lack, placeholder("shop"));
    assert_eq!(
        error.to_string(),
        "catalogue entry acme: token_url placeholder {shop} has no value"
    );
    for odd in ["", "a/b", "shop.acme.example@evil.example", "x:1@"] {
        let error = consented(&[("shop", odd)]).unwrap_err();
        assert_eq!(error.lack, placeholder("shop"), "{odd}");
    }
    assert_eq!(consented(&[("shop", "seven")]), Ok(()));
}

#[test]
fn a_host_outside_the_allow_list_is_unusable_and_its_placeholder_named() {
    let text = entry("").replace("{shop}.acme.example", "{host}");
    let mut tokens = grant("acme").tokens;
    tokens.metadata = map(&[("host", "evil.example")]);
    let main = client("acme", "main", &["s"]);
    let error = check(&text, main, GrantType::AuthorizationCode, &tokens).unwrap_err();
    assert_eq!(error.lack, placeholder("host"));
    assert!(!error.to_string().contains("evil"), "{error}");
}

#[test]
fn what_is_never_renewed_needs_no_request() {
    let main = || client("acme", "main", &["s"]);
    let mut tokens = grant("acme").tokens;
    assert_eq!(
        check(&entry(""), main(), GrantType::Static, &tokens),
        Ok(())
    );
    let fixed = entry("renewable = false\n");
    assert_eq!(
        check(&fixed, main(), GrantType::AuthorizationCode, &tokens),
        Ok(())
    );
    tokens.refresh_token = None;
    assert_eq!(
        check(&entry(""), main(), GrantType::AuthorizationCode, &tokens),
        Ok(())
    );
    let itself = entry("[renewal]\nself_renewing = true\n");
    let error = check(&itself, main(), GrantType::AuthorizationCode, &tokens).unwrap_err();
    assert_eq!(error.lack, placeholder("shop"));
}

fn means(parameters: &[(&str, &str)]) -> Means {
    let parameters = parameters.iter();
    Means {
        parameters: parameters
            .map(|(name, value)| ((*name).to_owned(), Parameter::new((*value).to_owned())))
            .collect(),
        ..Means::default()
    }
}

#[test]
fn an_assertion_without_a_key_that_signs_it_is_unusable() {
    let text = entry("grant_types = [\"jwt_bearer\"]\n[assertion]\nsubject = \"{subject}\"\n")
        .replace("{shop}.", "");
    let text = text.replace("allowed_hosts", "# allowed_hosts");
    let mut means = means(&[("subject", "a")]);
    let checked = |means: &Means, of_client: Option<&str>| {
        let mut client = client("acme", "main", &["s"]);
        client.private_key = of_client.map(Into::into);
        let tokens = TokenSet::to_mint(means.clone());
        check(&text, client, GrantType::JwtBearer, &tokens)
    };
    assert_eq!(checked(&means, None).unwrap_err().lack, Lack::SigningKey);
    assert_eq!(checked(&means, Some(&Keys::rsa().private)), Ok(()));
    let elliptic = Keys::elliptic(Algorithm::ES256);
    for odd in ["-----BEGIN PRIVATE KEY-----\nhush", &elliptic.private] {
        means.signing_key = Some(SigningKey::new(odd.to_owned()));
        let error = checked(&means, None).unwrap_err();
        assert_eq!(error.lack, Lack::SigningKey);
        assert!(!error.to_string().contains("hush"), "{error}");
    }
    means.signing_key = Some(SigningKey::new(Keys::rsa().private.clone()));
    assert_eq!(checked(&means, None), Ok(()));
    means.parameters.clear();
    let error = checked(&means, None).unwrap_err();
    assert_eq!(error.lack, placeholder("subject"));
}

#[test]
fn client_credentials_without_a_secret_are_unusable_and_their_own_one_is_enough() {
    let text = entry("grant_types = [\"client_credentials\", \"token_exchange\"]\n");
    let checked = |grant_type, parameters: &[(&str, &str)]| {
        let tokens = TokenSet::to_mint(means(parameters));
        check(&text, client("acme", "main", &[]), grant_type, &tokens)
    };
    let bare = checked(GrantType::ClientCredentials, &[("shop", "seven")]);
    assert_eq!(bare.unwrap_err().lack, Lack::ClientSecret);
    for grant_type in [GrantType::ClientCredentials, GrantType::TokenExchange] {
        let own = [("shop", "seven"), ("client_secret", "mine")];
        assert_eq!(checked(grant_type, &own), Ok(()));
    }
}

#[test]
fn a_consent_whose_code_could_not_be_redeemed_is_unusable_and_so_is_one_on_no_device() {
    let key = grant("acme").facts.client;
    let made = |text: &str| providers(text, vec![client("acme", "main", &["s"])]).unwrap();
    let back = "https://us.example/back";
    let text = entry("authorize_url = \"https://acme.example/authorize\"\n");
    let error = made(&text)
        .check_consent(&key, back, &map(&[]))
        .unwrap_err();
    assert_eq!(error.lack, placeholder("shop"));
    let sound = made(&text).check_consent(&key, back, &map(&[("shop", "seven")]));
    assert_eq!(sound, Ok(()));

    let device = made(&text).check_device(&key, &map(&[("shop", "seven")]));
    assert_eq!(
        device.unwrap_err().to_string(),
        "catalogue entry acme: device_url is missing, so users cannot consent on another device"
    );
    let text =
        entry("grant_types = [\"device_code\"]\ndevice_url = \"https://acme.example/device\"\n");
    let error = made(&text).check_device(&key, &map(&[])).unwrap_err();
    assert_eq!(error.lack, placeholder("shop"));
    let sound = made(&text).check_device(&key, &map(&[("shop", "seven")]));
    assert_eq!(sound, Ok(()));
}
