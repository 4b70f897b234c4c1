use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use evergrant_core::clock::Timestamp;
use evergrant_core::ids::ClientName;

use super::*;
use crate::catalogue::{BUILTIN, Catalogue};
use crate::engine::OAuthClient;
use crate::request::{Inexpressible, TokenRequest};

fn entry(toml: &str) -> Entry {
    let mut catalogue = Catalogue::empty();
    let name = catalogue.add(toml, "test").unwrap();
    (**catalogue.get(&name).unwrap()).clone()
}

fn acme(rest: &str) -> Entry {
    entry(&format!(
        "name = \"acme\"\ntoken_url = \"https://acme.example/token\"\n\
         sources = [\"https://acme.example\"]\n{rest}"
    ))
}

fn builtin(name: &str) -> Entry {
    let file = format!("{name}.toml");
    entry(BUILTIN.iter().find(|(known, _)| *known == file).unwrap().1)
}

struct Case {
    metadata: BTreeMap<String, String>,
    parameters: BTreeMap<String, String>,
}

impl Case {
    fn new(metadata: &[(&str, &str)], parameters: &[(&str, &str)]) -> Self {
        let owned = |pairs: &[(&str, &str)]| {
            let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            pairs.iter().map(own).collect()
        };
        Self {
            metadata: owned(metadata),
            parameters: owned(parameters),
        }
    }

    fn refresh(&self, entry: &Entry) -> Result<TokenRequest, Inexpressible> {
        self.refresh_with("r&t", entry)
    }

    fn refresh_with(&self, token: &str, entry: &Entry) -> Result<TokenRequest, Inexpressible> {
        let values = vec![(Parameter::RefreshToken, token)];
        let mut ask = Ask::token(entry, TokenGrant::RefreshToken, values);
        ask.bearer = token;
        ask.placeholders.add_all(&self.metadata);
        let client = client(entry, self.parameters.clone());
        let now = Timestamp::from_millis(1_700_000_000_000);
        express(&client, &ask, "s:%é", |_| now)
    }
}

fn client(entry: &Entry, parameters: BTreeMap<String, String>) -> Client {
    let config = OAuthClient {
        name: ClientName::parse("main").unwrap(),
        provider: entry.name.clone(),
        client_id: "the id".to_owned(),
        client_secrets: vec!["s".into()],
        redirect_uris: vec!["https://us.example/back".to_owned()],
        parameters,
        private_key: None,
        key_id: None,
        alternates: Vec::new(),
        limits: evergrant_core::provider::Limits::default(),
    };
    Client::of(config, Arc::new(entry.clone()))
}

fn refreshed(entry: &Entry) -> TokenRequest {
    Case::new(&[], &[]).refresh(entry).unwrap()
}

fn header<'r>(request: &'r TokenRequest, name: &str) -> &'r str {
    request
        .headers
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

// A62
#[test]
fn the_default_is_a_form_with_id_and_secret() {
    let request = refreshed(&acme(""));
    assert_eq!(request.method, "POST");
    assert_eq!(request.url.as_str(), "https://acme.example/token");
    assert_eq!(
        request.body.as_deref(),
        Some(
            "grant_type=refresh_token&refresh_token=r%26t&client_id=the+id&client_secret=s%3A%25%C3%A9"
        )
    );
    assert_eq!(
        header(&request, "content-type"),
        "application/x-www-form-urlencoded"
    );
    assert_eq!(header(&request, "accept"), "application/json");
    assert!(header(&request, "user-agent").starts_with("evergrant/"));
    assert!(!request.headers.contains_key("authorization"));
    assert_eq!(request.headers["accept-encoding"], "identity");
}

// A53, W25
#[test]
fn basic_form_encodes_id_and_secret_first() {
    let request = refreshed(&acme("[request]\nclient_auth = \"basic\""));
    let expected = format!("Basic {}", BASE64.encode("the+id:s%3A%25%C3%A9"));
    assert_eq!(header(&request, "authorization"), expected);
    assert!(request.headers["authorization"].is_sensitive());
    assert_eq!(
        request.body.as_deref(),
        Some("grant_type=refresh_token&refresh_token=r%26t")
    );
}

#[test]
fn basic_raw_takes_id_and_secret_as_they_are() {
    let request = refreshed(&acme("[request]\nclient_auth = \"basic_raw\""));
    let expected = format!("Basic {}", BASE64.encode("the id:s:%é"));
    assert_eq!(header(&request, "authorization"), expected);
}

// A53 to A61, A75: where the client proves itself in the header, the body holds nothing of it.
#[test]
fn basic_sends_no_client_in_the_body_whatever_its_format() {
    for (auth, format) in [
        ("basic", "form"),
        ("basic", "json"),
        ("basic_raw", "form"),
        ("basic_raw", "json"),
    ] {
        let toml = format!("[request]\nclient_auth = \"{auth}\"\nbody = \"{format}\"");
        let request = refreshed(&acme(&toml));
        let body = request.body.as_deref().unwrap();
        let fields: BTreeMap<String, String> = match format {
            "json" => serde_json::from_str(body).unwrap(),
            _ => serde_urlencoded::from_str(body).unwrap(),
        };
        let expected = [("grant_type", "refresh_token"), ("refresh_token", "r&t")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(fields, expected.into(), "{auth} {format}");
        assert!(header(&request, "authorization").starts_with("Basic "));
    }
}

// C115, C116
#[test]
fn a_public_client_sends_its_id_alone() {
    let request = refreshed(&acme("[request]\nclient_auth = \"none\"\nbody = \"json\""));
    let body: serde_json::Value = serde_json::from_str(&request.body.unwrap()).unwrap();
    let expected = serde_json::json!({
        "grant_type": "refresh_token", "refresh_token": "r&t", "client_id": "the id"
    });
    assert_eq!(body, expected);
}

// A87
#[test]
fn the_refresh_token_may_be_the_bearer_token() {
    let request = refreshed(&acme("[request]\nclient_auth = \"bearer_refresh_token\""));
    assert_eq!(header(&request, "authorization"), "Bearer r&t");
    assert_eq!(
        request.body.as_deref(),
        Some("grant_type=refresh_token&client_id=the+id")
    );
}

#[test]
fn a_refresh_token_that_fits_no_header_is_refused_and_not_sent_without_it() {
    let entry = acme("[request]\nclient_auth = \"bearer_refresh_token\"");
    for token in ["r\nt", "r\rt", "r\0t", "r\u{7f}t"] {
        let refused = Case::new(&[], &[]).refresh_with(token, &entry).err();
        assert_eq!(refused, Some(Inexpressible::Authorization), "{token:?}");
    }
}

// A86
#[test]
fn parameters_may_have_other_names() {
    let request = refreshed(&acme("[request]\nnames = { client_id = \"client_key\" }"));
    let body = request.body.unwrap();
    assert!(body.contains("client_key=the+id") && !body.contains("client_id"));
}

// A89
#[test]
fn a_get_request_puts_everything_into_the_query() {
    let request = refreshed(&entry(
        r#"
        name = "instagram"
        token_url = "https://graph.instagram.com/refresh_access_token?v=1"
        sources = ["https://acme.example"]
        [request]
        method = "GET"
        client_auth = "none"
        names = { refresh_token = "access_token" }
        omit = ["client_id"]
        [grants.refresh_token]
        grant_type = "ig_refresh_token"
        "#,
    ));
    assert_eq!(request.method, "GET");
    assert_eq!(
        request.url.as_str(),
        "https://graph.instagram.com/refresh_access_token?v=1&grant_type=ig_refresh_token&access_token=r%26t"
    );
    assert_eq!(request.body, None);
}

// A76, A94, C116
#[test]
fn headers_and_parameters_may_hold_placeholders() {
    let entry = acme(
        r#"
        [request.headers]
        User-Agent = "web:{client_id}:v1 (by {contact})"
        [request.parameters]
        scope = "openid profile"
        return_to = "{redirect_uri}"
        "#,
    );
    let case = Case::new(&[], &[("contact", "ops")]);
    let request = case.refresh(&entry).unwrap();
    assert_eq!(header(&request, "user-agent"), "web:the id:v1 (by ops)");
    let body = request.body.unwrap();
    assert!(body.ends_with("&return_to=https%3A%2F%2Fus.example%2Fback&scope=openid+profile"));
}

#[test]
fn metadata_comes_before_the_clients_parameters_and_both_before_the_entry() {
    let entry = builtin("microsoft");
    let url = |case: Case| case.refresh(&entry).unwrap().url.path().to_owned();
    assert_eq!(url(Case::new(&[], &[])), "/common/oauth2/v2.0/token");
    let own = Case::new(&[], &[("tenant", "acme")]);
    assert_eq!(url(own), "/acme/oauth2/v2.0/token");
    let grants = Case::new(&[("tenant", "corp")], &[("tenant", "acme")]);
    assert_eq!(url(grants), "/corp/oauth2/v2.0/token");
}

#[test]
fn metadata_cannot_replace_the_client_id() {
    let entry = acme("[request.parameters]\nwho = \"{client_id}\"");
    let case = Case::new(&[("client_id", "other")], &[]);
    assert!(
        case.refresh(&entry)
            .unwrap()
            .body
            .unwrap()
            .ends_with("&who=the+id")
    );
}

#[test]
fn a_refresh_may_have_an_endpoint_of_its_own() {
    let entry = acme("refresh_url = \"https://acme.example/refresh\"");
    assert_eq!(refreshed(&entry).url.path(), "/refresh");
}

// W20
#[test]
fn a_host_outside_the_allow_list_is_an_error_that_names_the_field_and_not_the_value() {
    let case = Case::new(&[("host", "evil.example")], &[]);
    let error = case.refresh(&builtin("salesforce")).err().unwrap();
    assert_eq!(
        error.to_string(),
        "token_url leads to a host outside allowed_hosts (*.salesforce.com)"
    );
}

#[test]
fn a_missing_value_is_an_error_that_names_the_placeholder() {
    let entry = acme("[request.parameters]\naccount = \"{account}\"");
    let error = Case::new(&[], &[]).refresh(&entry).err().unwrap();
    assert_eq!(
        error.to_string(),
        "request.parameters.account placeholder {account} has no value"
    );
}

#[test]
fn a_value_cannot_smuggle_in_a_header() {
    let entry = acme("[request.headers]\nX-Who = \"{who}\"");
    let case = Case::new(&[("who", "me\r\nX-Admin: 1")], &[]);
    let error = case.refresh(&entry).err().unwrap();
    assert_eq!(
        error.to_string(),
        "request.headers.X-Who the value of placeholder {who} does not fit there"
    );
}

#[test]
fn what_is_optional_is_left_out_without_a_value() {
    let entry = acme(
        r#"
        [request.headers]
        X-Org = "org {org?}"
        [request.parameters]
        hint = "{hint?}"
        scope = "{scopes?}"
        "#,
    );
    let without = refreshed(&entry);
    assert!(!without.headers.contains_key("x-org"));
    let body = without.body.unwrap();
    assert!(!body.contains("hint") && !body.contains("scope"), "{body}");
    let with = Case::new(&[("hint", "h"), ("org", "o1")], &[]).refresh(&entry);
    let with = with.unwrap();
    assert_eq!(header(&with, "x-org"), "org o1");
    assert!(with.body.unwrap().contains("&hint=h"));
}

#[test]
fn scopes_are_joined_as_the_grant_type_has_it() {
    let entry = acme(
        "[grants.refresh_token]\nscope_separator = \",\"\nparameters = { scope = \"{scopes?}\" }",
    );
    let mut ask = Ask::token(&entry, TokenGrant::RefreshToken, Vec::new());
    let scopes = ["a".to_owned(), "b".to_owned()];
    ask.scopes = &scopes;
    let client = client(&entry, BTreeMap::new());
    let now = Timestamp::from_millis(0);
    let request = express(&client, &ask, "s", |_| now).unwrap();
    assert!(request.body.unwrap().ends_with("&scope=a%2Cb"));
}

#[test]
fn a_request_is_guarded_where_a_credential_names_the_host() {
    let open = "name = \"acme\"\ntoken_url = \"https://{host}/t\"\nsources = [\"a test\"]\nallowed_hosts = [\"*.acme.example\"]";
    let case = Case::new(&[("host", "a.acme.example")], &[]);
    assert!(case.refresh(&entry(open)).unwrap().guarded);
    assert!(!refreshed(&acme("")).guarded);
    assert!(!refreshed(&acme("refresh_url = \"https://acme.example/{client_id}\"")).guarded);
}
