//! Consents: the URL that a user is sent to, and the exchange of the code that comes back.

use std::collections::BTreeMap;
use std::time::Duration;

use evergrant_core::grant::InvalidationReason;
use evergrant_core::provider::{CallError, Delivery, Verdict};
use evergrant_providers::{CodeExchange, Consent, ConsentError, Consented};
use secrecy::ExposeSecret;

use crate::support::{Endpoint, NOW, Seen, acme, client, grant, providers, reply};

const BACK: &str = "https://us.example/back";

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(own).collect()
}

struct Question {
    scopes: Vec<String>,
    parameters: BTreeMap<String, String>,
    placeholders: BTreeMap<String, String>,
}

fn question(scopes: &[&str]) -> Question {
    Question {
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        parameters: BTreeMap::new(),
        placeholders: BTreeMap::new(),
    }
}

impl Question {
    /// The URL up to its query, and the query's parameters.
    fn ask(&self, entry: &str) -> Result<(String, BTreeMap<String, String>), ConsentError> {
        let key = key_of(entry);
        let providers = providers(entry, vec![client(key.provider.as_str(), "main", &["s"])]);
        let consent = Consent {
            client: &key,
            redirect_uri: BACK,
            state: "the-state",
            code_challenge: Some("the-challenge"),
            nonce: Some("the-nonce"),
            scopes: &self.scopes,
            parameters: &self.parameters,
            placeholders: &self.placeholders,
        };
        let mut url = providers.unwrap().authorization_url(&consent)?;
        let query = url.query_pairs().into_owned();
        let count = query.count();
        let query: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
        assert_eq!(query.len(), count, "no parameter stands there twice: {url}");
        url.set_query(None);
        Ok((url.to_string(), query))
    }
}

fn key_of(entry: &str) -> evergrant_core::ids::ClientKey {
    let name = entry.split('"').nth(1).unwrap();
    grant(name).facts.client
}

fn with_authorize(rest: &str) -> String {
    acme(
        "127.0.0.1:9",
        &format!("authorize_url = \"https://acme.example/authorize?v=2\"\n{rest}"),
    )
}

// RFC 6749 section 4.1.1, RFC 7636 section 4.3
#[test]
fn the_url_asks_as_the_rfc_has_it() {
    let (url, query) = question(&["a", "b c"]).ask(&with_authorize("")).unwrap();
    assert_eq!(url, "https://acme.example/authorize");
    let expected = map(&[
        ("v", "2"),
        ("response_type", "code"),
        ("client_id", "the-id"),
        ("redirect_uri", BACK),
        ("scope", "a b c"),
        ("state", "the-state"),
        ("nonce", "the-nonce"),
        ("code_challenge", "the-challenge"),
        ("code_challenge_method", "S256"),
    ]);
    assert_eq!(query, expected);
}

#[test]
fn the_entry_names_scopes_and_client_otherwise_and_may_refuse_pkce() {
    let entry = with_authorize(
        r#"
        [authorize]
        scope = "user_scope"
        scope_separator = ","
        pkce = false
        [authorize.parameters]
        prompt = "consent"
        hint = "{login_hint?}"
        [request.names]
        client_id = "client_key"
        "#,
    );
    let mut asked = question(&["a", "b"]);
    let (_, query) = asked.ask(&entry).unwrap();
    assert_eq!(query["user_scope"], "a,b");
    assert_eq!(query["client_key"], "the-id");
    assert_eq!(query["prompt"], "consent");
    for absent in [
        "client_id",
        "scope",
        "hint",
        "code_challenge",
        "code_challenge_method",
    ] {
        assert!(!query.contains_key(absent), "{absent}");
    }
    asked.parameters = map(&[
        ("prompt", "login"),
        ("client_key", "evil"),
        ("state", "evil"),
    ]);
    asked.placeholders = map(&[("login_hint", "ann"), ("client_id", "evil")]);
    let (_, query) = asked.ask(&entry).unwrap();
    assert_eq!(
        query["prompt"], "login",
        "the caller comes before the entry"
    );
    assert_eq!(query["hint"], "ann");
    assert_eq!(query["client_key"], "the-id", "and after the protocol");
    assert_eq!(query["state"], "the-state");
}

#[test]
fn no_scope_parameter_is_sent_without_scopes_or_where_there_is_none() {
    let (_, query) = question(&[]).ask(&with_authorize("")).unwrap();
    assert!(!query.contains_key("scope"));
    let none = with_authorize("[authorize]\nscope = \"\"");
    let (_, query) = question(&["a"]).ask(&none).unwrap();
    assert!(!query.contains_key("scope") && !query.contains_key(""));
}

// W20
#[test]
fn a_consent_stays_within_the_allowed_hosts_and_its_errors_name_entry_and_field() {
    let entry = "name = \"salesforce\"\ntoken_url = \"https://login.salesforce.com/token\"\n\
                 authorize_url = \"https://{host}/authorize\"\nallowed_hosts = [\"*.salesforce.com\"]\nsources = [\"a test\"]";
    let mut asked = question(&[]);
    asked.placeholders = map(&[("host", "acme.my.salesforce.com")]);
    let (url, _) = asked.ask(entry).unwrap();
    assert_eq!(url, "https://acme.my.salesforce.com/authorize");
    asked.placeholders = map(&[("host", "evil.example")]);
    assert_eq!(
        asked.ask(entry).unwrap_err().to_string(),
        "catalogue entry salesforce: authorize_url leads to a host outside allowed_hosts (*.salesforce.com)"
    );
    assert_eq!(
        question(&[])
            .ask(&acme("127.0.0.1:9", ""))
            .unwrap_err()
            .to_string(),
        "catalogue entry acme: authorize_url is missing"
    );
    let lacking = with_authorize("[authorize.parameters]\nresource = \"{resource}\"");
    assert_eq!(
        question(&[]).ask(&lacking).unwrap_err().to_string(),
        "catalogue entry acme: authorize.parameters.resource placeholder {resource} has no value"
    );
}

async fn exchange(rest: &str, answer: &str) -> (Vec<Seen>, Result<Consented, CallError>) {
    let endpoint = Endpoint::answering([reply(200, answer)]).await;
    let providers = providers(
        &acme(&endpoint.authority, rest),
        vec![client("acme", "main", &["the-secret"])],
    );
    let key = grant("acme").facts.client;
    let code = CodeExchange {
        client: &key,
        code: "the-code",
        redirect_uri: BACK,
        code_verifier: Some("the-verifier"),
        state: "the-state",
        nonce: Some("the-nonce"),
        placeholders: &map(&[("shop", "acme-1"), ("team", "of the consent")]),
    };
    let timeout = Duration::from_secs(10);
    let outcome = providers.unwrap().exchange_code(&code, timeout).await;
    (endpoint.seen(), outcome)
}

// RFC 6749 section 4.1.3, RFC 7636 section 4.5
#[tokio::test]
async fn a_code_is_exchanged_with_redirect_uri_and_verifier() {
    let answer =
        r#"{"access_token":"a","refresh_token":"r","id_token":"e.y.j","sub":{"id":7},"team":"T1"}"#;
    let rest = "[response]\naccount = [\"/sub/id\"]\n[response.metadata]\nteam = \"/team\"";
    let (seen, outcome) = exchange(rest, answer).await;
    let expected = map(&[
        ("grant_type", "authorization_code"),
        ("code", "the-code"),
        ("redirect_uri", BACK),
        ("code_verifier", "the-verifier"),
        ("client_id", "the-id"),
        ("client_secret", "the-secret"),
    ]);
    assert_eq!(seen[0].fields(), expected);
    let consented = outcome.unwrap();
    assert_eq!(consented.issued.access_token.expose(), "a");
    assert_eq!(consented.issued.refresh_token.unwrap().expose(), "r");
    assert_eq!(consented.id_token.unwrap().expose_secret(), "e.y.j");
    assert_eq!(consented.account.as_deref(), Some("7"));
    let metadata = map(&[("shop", "acme-1"), ("team", "T1")]);
    assert_eq!(
        consented.issued.metadata, metadata,
        "the answer knows better"
    );
}

#[tokio::test]
async fn an_exchange_has_facts_of_its_own() {
    let rest = r#"
        [authorize]
        pkce = false
        [grants.authorization_code]
        body = "json"
        client_auth = "basic"
        names = { code = "auth_code" }
        omit = ["redirect_uri"]
        [grants.authorization_code.parameters]
        shop = "{shop}"
        [grants.authorization_code.response]
        access_token = ["/authed_user/access_token"]
    "#;
    let answer = r#"{"authed_user":{"access_token":"u"},"access_token":"bot"}"#;
    let (seen, outcome) = exchange(rest, answer).await;
    let expected = map(&[
        ("grant_type", "authorization_code"),
        ("auth_code", "the-code"),
        ("shop", "acme-1"),
    ]);
    assert_eq!(seen[0].fields(), expected);
    assert_eq!(outcome.unwrap().issued.access_token.expose(), "u");
}

#[tokio::test]
async fn the_state_is_repeated_beside_the_code_where_the_entry_says_so() {
    let rest = r#"
        [placeholders]
        state = "ca"
        [grants.authorization_code]
        url = "{own}/{state}"
        parameters = { state = "{state}" }
        headers = { x-state = "{state}" }
    "#;
    let endpoint = Endpoint::answering([reply(
        400,
        r#"{"error":"invalid_grant","error_description":"the-state is odd"}"#,
    )])
    .await;
    let rest = rest.replace("{own}", &format!("http://{}", endpoint.authority));
    let entry = acme(&endpoint.authority, &rest);
    let main = client("acme", "main", &["the-secret"]);
    let providers = providers(&entry, vec![main]).unwrap();
    let key = grant("acme").facts.client;
    let code = CodeExchange {
        client: &key,
        code: "the-code",
        redirect_uri: BACK,
        code_verifier: None,
        state: "the-state",
        nonce: None,
        placeholders: &map(&[("state", "tx")]),
    };
    assert_eq!(
        providers.check_consent(&key, BACK, &map(&[("state", "tx")])),
        Ok(())
    );
    let refused = providers.exchange_code(&code, Duration::from_secs(10));
    let refused = refused.await.unwrap_err();
    let [seen] = endpoint.seen().try_into().unwrap_or_else(|_| panic!());
    assert_eq!(seen.path, "/tx", "a URL has what the consent brings");
    assert_eq!(seen.fields()["state"], "the-state");
    assert_eq!(seen.header("x-state"), Some("the-state"));
    assert!(
        refused.message.ends_with("[removed] is odd"),
        "{}",
        refused.message
    );
}

#[tokio::test]
async fn tokens_of_a_consent_end_when_those_of_the_provider_do() {
    let answer = r#"{"access_token":"a","refresh_token":"r"}"#;
    let rest = "[lifetime]\naccess_token = \"2h\"\nrefresh_token_idle = \"30d\"";
    let (_, outcome) = exchange(rest, answer).await;
    let issued = outcome.unwrap().issued;
    assert_eq!(
        issued.expires_at,
        Some(NOW.plus(Duration::from_secs(7_200)))
    );
    let idle = Duration::from_secs(30 * 86_400);
    assert_eq!(issued.refresh_expires_at, Some(NOW.plus(idle)));
}

#[tokio::test]
async fn a_refused_code_is_told_without_it() {
    let answer =
        r#"{"error":"invalid_grant","error_description":"the-code or the-verifier is bad"}"#;
    let (_, outcome) = exchange("", answer).await;
    let error = outcome.unwrap_err();
    assert_eq!(
        error.verdict,
        Verdict::Grant(InvalidationReason::GrantRevoked)
    );
    assert_eq!(error.delivery, Delivery::Answered);
    assert!(
        error.message.ends_with("[removed] or [removed] is bad"),
        "{}",
        error.message
    );
}
