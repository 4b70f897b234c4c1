//! Minted tokens: client credentials, signed assertions, exchanged tokens.

use std::collections::BTreeMap;
use std::time::Duration;

use evergrant_core::grant::{Grant, GrantType};
use evergrant_core::provider::{CallError, Delivery, Issued, Providers, Verdict};
use evergrant_core::secret::{AccessToken, Parameter, SigningKey};
use evergrant_providers::OAuthClient;
use jsonwebtoken::Algorithm;
use serde_json::json;

use crate::keys::Keys;
use crate::support::{Endpoint, NOW, Seen, acme, client, grant, providers, reply};

const GOOD: &str = r#"{"access_token":"a","expires_in":60,"refresh_token":"r"}"#;
const SECONDS: i64 = NOW.as_millis() / 1_000;

fn minted(grant_type: GrantType, parameters: &[(&str, &str)], scopes: &[&str]) -> Grant {
    let mut grant = grant("acme");
    grant.facts.grant_type = grant_type;
    grant.tokens.refresh_token = None;
    let means = &mut grant.tokens.means;
    means.parameters = parameters
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Parameter::new((*value).to_owned())))
        .collect();
    means.scopes = scopes.iter().map(ToString::to_string).collect();
    grant
}

fn with_key(mut grant: Grant, key: &str) -> Grant {
    grant.tokens.means.signing_key = Some(SigningKey::new(key.to_owned()));
    grant
}

async fn mint_as(
    client: OAuthClient,
    rest: &str,
    grant: &Grant,
    answer: &str,
) -> (Vec<Seen>, Result<Issued, CallError>) {
    let endpoint = Endpoint::answering([reply(200, answer)]).await;
    let kinds = "grant_types = [\"client_credentials\", \"jwt_bearer\", \"token_exchange\"]\n";
    let entry = acme(&endpoint.authority, &format!("{kinds}{rest}"));
    let entry = if rest.contains("[assertion]") {
        entry
    } else {
        format!("{entry}\n[assertion]\nalgorithm = \"RS256\"\n")
    };
    let providers = providers(&entry, vec![client]).unwrap();
    let outcome = providers.refresh(grant, Duration::from_secs(10)).await;
    (endpoint.seen(), outcome)
}

async fn mint(rest: &str, grant: &Grant) -> (Seen, Issued) {
    let client = client("acme", "main", &["the-secret"]);
    let (mut seen, outcome) = mint_as(client, rest, grant, GOOD).await;
    assert_eq!(seen.len(), 1);
    (seen.remove(0), outcome.unwrap())
}

async fn refused(rest: &str, grant: &Grant) -> CallError {
    let client = client("acme", "main", &["the-secret"]);
    let (seen, outcome) = mint_as(client, rest, grant, GOOD).await;
    let error = outcome.unwrap_err();
    assert_eq!(seen.len(), 0, "{}", error.message);
    assert_eq!(error.verdict, Verdict::Request);
    assert_eq!(error.delivery, Delivery::NotSent);
    error
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(own).collect()
}

// RFC 6749 section 4.4.2
#[tokio::test]
async fn client_credentials_are_sent_with_the_scopes_that_the_grant_asks_for() {
    let grant = minted(GrantType::ClientCredentials, &[], &["b", "a"]);
    let (seen, issued) = mint("", &grant).await;
    let expected = map(&[
        ("grant_type", "client_credentials"),
        ("scope", "a b"),
        ("client_id", "the-id"),
        ("client_secret", "the-secret"),
    ]);
    assert_eq!(seen.fields(), expected);
    assert_eq!(issued.access_token.expose(), "a");
    assert_eq!(issued.refresh_token, None, "the means bring new tokens");
}

#[tokio::test]
async fn scopes_among_the_parameters_are_sent_where_nobody_asks_for_others() {
    let rest = "[grants.client_credentials.parameters]\nscope = \"all\"";
    for (asked, sent) in [(vec![], "scope=all"), (vec!["one"], "scope=one")] {
        let grant = minted(GrantType::ClientCredentials, &[], &asked);
        let (seen, _) = mint(rest, &grant).await;
        let scopes = seen
            .body
            .split('&')
            .filter(|pair| pair.starts_with("scope="));
        assert_eq!(scopes.collect::<Vec<_>>(), [sent]);
    }
}

#[tokio::test]
async fn without_scopes_those_of_the_entry_are_asked_for_or_none() {
    let grant = minted(GrantType::ClientCredentials, &[], &[]);
    let (seen, _) = mint("", &grant).await;
    assert!(!seen.fields().contains_key("scope"));
    let defaults =
        "[grants.client_credentials]\nscope_separator = \",\"\ndefault_scopes = [\"x\", \"y\"]";
    let (seen, _) = mint(defaults, &grant).await;
    assert_eq!(seen.fields()["scope"], "x,y");
    let grant = minted(GrantType::ClientCredentials, &[], &["z"]);
    let (seen, _) = mint(defaults, &grant).await;
    assert_eq!(seen.fields()["scope"], "z");
}

// A51: WeCom, Zoom, Feishu: secrets of the grant itself, wherever they are to stand.
#[tokio::test]
async fn a_grant_may_bring_the_credentials_itself() {
    let rest = r#"
        [grants.client_credentials]
        method = "GET"
        client_auth = "none"
        omit = ["grant_type", "client_id"]
        required = ["corpid", "corpsecret"]
        parameters = { corpid = "{corpid}", corpsecret = "{corpsecret}", debug = "{debug?}" }
    "#;
    let own = [("corpid", "C1"), ("corpsecret", "hush&")];
    let (seen, _) = mint(rest, &minted(GrantType::ClientCredentials, &own, &[])).await;
    assert_eq!(seen.method, "GET");
    assert_eq!(seen.query, "corpid=C1&corpsecret=hush%26");

    let own = [("client_id", "own-id"), ("client_secret", "own-secret")];
    let grant = minted(GrantType::ClientCredentials, &own, &[]);
    let (seen, _) = mint("", &grant).await;
    assert_eq!(seen.fields()["client_id"], "own-id");
    assert_eq!(seen.fields()["client_secret"], "own-secret");
}

#[tokio::test]
async fn what_cannot_be_minted_is_refused_before_anything_is_sent_and_names_entry_and_field() {
    let required = "[grants.client_credentials]\nrequired = [\"account_id\"]";
    let error = refused(required, &minted(GrantType::ClientCredentials, &[], &[])).await;
    assert_eq!(
        error.message,
        "catalogue entry acme: grants.client_credentials.required names account_id, which the grant does not have"
    );
    let placeholder = "[grants.client_credentials.parameters]\nid = \"{account_id}\"";
    let error = refused(placeholder, &minted(GrantType::ClientCredentials, &[], &[])).await;
    assert_eq!(
        error.message,
        "catalogue entry acme: grants.client_credentials.parameters.id placeholder {account_id} has no value"
    );
    let error = refused("", &minted(GrantType::JwtBearer, &[], &[])).await;
    assert_eq!(
        error.message,
        "catalogue entry acme: assertion needs a private key, and there is none"
    );
    let error = refused("", &minted(GrantType::TokenExchange, &[], &[])).await;
    assert_eq!(
        error.message,
        "catalogue entry acme: there is no subject_token"
    );
    let bad_key = with_key(minted(GrantType::JwtBearer, &[], &[]), "hush-key");
    let error = refused("", &bad_key).await;
    assert_eq!(
        error.message,
        "catalogue entry acme: assertion needs a private key in PEM that fits RS256"
    );
    let grant = minted(GrantType::ClientCredentials, &[], &[]);
    let (seen, outcome) = mint_as(client("acme", "main", &[]), "", &grant, GOOD).await;
    assert_eq!(seen.len(), 0);
    assert_eq!(
        outcome.unwrap_err().message,
        "catalogue entry acme: request.client_auth needs a client_secret, and there is none"
    );
}

// A50
#[tokio::test]
async fn an_assertion_that_names_scopes_is_not_signed_without_any() {
    let claim = "[assertion.claims]\nscope = \"{scopes}\"";
    let grant = with_key(minted(GrantType::JwtBearer, &[], &[]), &Keys::rsa().private);
    let error = refused(claim, &grant).await;
    assert_eq!(
        error.message,
        "catalogue entry acme: assertion.claims.scope placeholder {scopes} has no value"
    );
}

#[tokio::test]
async fn an_entry_mints_only_what_it_says() {
    let providers = providers(
        &acme("127.0.0.1:9", ""),
        vec![client("acme", "main", &["s"])],
    );
    let grant = minted(GrantType::ClientCredentials, &[], &[]);
    let error = providers
        .unwrap()
        .refresh(&grant, Duration::from_secs(1))
        .await
        .unwrap_err();
    assert_eq!(
        error.message,
        "catalogue entry acme: grant_types has no client_credentials"
    );
    assert_eq!(error.delivery, Delivery::NotSent);
}

// RFC 7523 sections 2.1 and 3
#[tokio::test]
async fn an_assertion_is_signed_with_the_key_of_the_grant() {
    let rest = r#"
        [grants.jwt_bearer]
        client_auth = "none"
        omit = ["client_id"]
        [assertion]
        algorithm = "ALG"
        issuer = "{client_email}"
        subject = "{subject?}"
        audience = "https://acme.example/token"
        key_id = "{private_key_id?}"
        lifetime = "1h"
        [assertion.claims]
        scope = "{scopes?}"
        jti = "{jti}"
    "#;
    for algorithm in [
        Algorithm::RS256,
        Algorithm::PS256,
        Algorithm::ES256,
        Algorithm::ES384,
    ] {
        let keys = match algorithm {
            Algorithm::RS256 | Algorithm::PS256 => Keys::rsa(),
            _ => &Keys::elliptic(algorithm),
        };
        let file = json!({
            "type": "service_account", "private_key": keys.private, "private_key_id": "k1",
            "client_email": "robot@acme.example", "client_id": "7",
        });
        let grant = minted(GrantType::JwtBearer, &[], &["s1", "s2"]);
        let rest = rest.replace("ALG", &format!("{algorithm:?}"));
        let (seen, _) = mint(&rest, &with_key(grant, &file.to_string())).await;
        let fields = seen.fields();
        let names: Vec<&str> = fields.keys().map(String::as_str).collect();
        assert_eq!(names, ["assertion", "grant_type"]);
        assert_eq!(
            fields["grant_type"],
            "urn:ietf:params:oauth:grant-type:jwt-bearer"
        );
        let (header, mut claims) = keys.verify(algorithm, &fields["assertion"]);
        assert_eq!(header.kid.as_deref(), Some("k1"));
        assert!(claims.remove("jti").unwrap().as_str().unwrap().len() > 20);
        let expected = json!({
            "iss": "robot@acme.example", "aud": "https://acme.example/token", "scope": "s1 s2",
            "iat": SECONDS, "exp": SECONDS + 3600,
        });
        assert_eq!(json!(claims), expected, "{algorithm:?}");
    }
}

#[tokio::test]
async fn an_assertion_may_be_signed_with_the_key_of_the_client_and_speak_for_a_subject() {
    let keys = Keys::rsa();
    let mut client = client("acme", "main", &[]);
    client.private_key = Some(keys.private.clone().into());
    client.key_id = Some("k2".to_owned());
    let grant = minted(
        GrantType::JwtBearer,
        &[("subject", "ann@acme.example")],
        &[],
    );
    let rest = "[grants.jwt_bearer]\nclient_auth = \"none\"\n[assertion]\nalgorithm = \"RS256\"\n";
    let (seen, outcome) = mint_as(client, rest, &grant, GOOD).await;
    outcome.unwrap();
    let (header, claims) = keys.verify(Algorithm::RS256, &seen[0].fields()["assertion"]);
    assert_eq!(header.kid.as_deref(), Some("k2"));
    assert_eq!(claims["iss"], "the-id");
    assert_eq!(claims["sub"], "ann@acme.example");
    assert!(claims["aud"].as_str().unwrap().ends_with("/token"));
    assert!(!claims.contains_key("jti"));
}

// RFC 7523 section 2.2
#[tokio::test]
async fn a_client_may_prove_itself_with_a_signature() {
    let keys = Keys::elliptic(Algorithm::ES256);
    let mut client = client("acme", "main", &[]);
    client.private_key = Some(keys.private.clone().into());
    client.key_id = Some("k3".to_owned());
    let rest =
        "[request]\nclient_auth = \"private_key_jwt\"\n[client_assertion]\nalgorithm = \"ES256\"";
    let mut assertions = Vec::new();
    for _ in 0..2 {
        let grant = minted(GrantType::ClientCredentials, &[], &[]);
        let (seen, outcome) = mint_as(client.clone(), rest, &grant, GOOD).await;
        outcome.unwrap();
        let mut fields = seen[0].fields();
        assertions.push(fields.remove("client_assertion").unwrap());
        let expected = map(&[
            ("grant_type", "client_credentials"),
            ("client_id", "the-id"),
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ),
        ]);
        assert_eq!(fields, expected);
    }
    let [one, other] = [0, 1].map(|index| keys.verify(Algorithm::ES256, &assertions[index]));
    assert_eq!(one.0.kid.as_deref(), Some("k3"));
    assert_eq!(one.1["iss"], "the-id");
    assert_eq!(one.1["sub"], "the-id");
    assert!(
        one.1["aud"]
            .as_str()
            .unwrap()
            .starts_with("http://127.0.0.1:")
    );
    assert_eq!(one.1["exp"], SECONDS + 180);
    assert_ne!(one.1["jti"], other.1["jti"], "no two are alike");
}

// RFC 8693 section 2.1
#[tokio::test]
async fn a_token_is_exchanged_for_another() {
    let mut grant = minted(
        GrantType::TokenExchange,
        &[("audience", "https://api.example")],
        &["read"],
    );
    grant.tokens.means.subject_token = Some(AccessToken::new("the-subjects-token".to_owned()));
    let rest = "[grants.token_exchange.parameters]\naudience = \"{audience?}\"";
    let (seen, _) = mint(rest, &grant).await;
    let expected = map(&[
        (
            "grant_type",
            "urn:ietf:params:oauth:grant-type:token-exchange",
        ),
        ("subject_token", "the-subjects-token"),
        (
            "subject_token_type",
            "urn:ietf:params:oauth:token-type:access_token",
        ),
        ("scope", "read"),
        ("audience", "https://api.example"),
        ("client_id", "the-id"),
        ("client_secret", "the-secret"),
    ]);
    assert_eq!(seen.fields(), expected);
}

// W19, A125
#[tokio::test]
async fn no_message_shows_what_a_grant_brought() {
    let own = [("corpsecret", "hush-hush"), ("n", "1")];
    let grant = minted(GrantType::ClientCredentials, &own, &[]);
    let answer = r#"{"error":"invalid_client","error_description":"1: hush-hush is no secret"}"#;
    let client = client("acme", "main", &["the-secret"]);
    let (_, outcome) = mint_as(client, "", &grant, answer).await;
    let error = outcome.unwrap_err();
    assert_eq!(error.verdict, Verdict::Client);
    assert!(
        error.message.ends_with("1: [removed] is no secret"),
        "{}",
        error.message
    );
}

// Feishu, WeCom: success and failure alike are HTTP 200, and expiry has its own name.
#[tokio::test]
async fn a_grant_type_has_answers_of_its_own() {
    let rest = r#"
        [response]
        failure = { pointer = "/code", differs_from = 0 }
        [grants.client_credentials.response]
        access_token = ["/tenant_access_token"]
        [errors]
        10003 = "client"
    "#;
    let grant = minted(GrantType::ClientCredentials, &[], &[]);
    let asked = || client("acme", "main", &["the-secret"]);
    let good = r#"{"code":0,"msg":"ok","tenant_access_token":"t-1","expire":7140}"#;
    let (_, outcome) = mint_as(asked(), rest, &grant, good).await;
    let issued = outcome.unwrap();
    assert_eq!(issued.access_token.expose(), "t-1");
    assert_eq!(issued.expires_at, Some(NOW.plus(Duration::from_secs(7140))));
    let bad = r#"{"code":10003,"msg":"invalid app_id","tenant_access_token":"t-1"}"#;
    let (_, outcome) = mint_as(asked(), rest, &grant, bad).await;
    assert_eq!(outcome.unwrap_err().verdict, Verdict::Client);
}

#[tokio::test]
async fn tokens_of_one_grant_type_may_live_for_a_time_of_their_own() {
    let rest = "[lifetime]\naccess_token = \"2h\"\n[grants.jwt_bearer]\nclient_auth = \"body\"\n";
    let own = "[grants.client_credentials.response]\naccess_token_lifetime = \"10m\"";
    for (rest, lives) in [(rest.to_owned(), 7_200), (format!("{rest}{own}"), 600)] {
        let grant = minted(GrantType::ClientCredentials, &[], &[]);
        let asked = client("acme", "main", &["the-secret"]);
        let silent = r#"{"access_token":"new-access"}"#;
        let (_, outcome) = mint_as(asked, &rest, &grant, silent).await;
        let end = NOW.plus(Duration::from_secs(lives));
        assert_eq!(outcome.unwrap().expires_at, Some(end), "{rest}");
    }
}
