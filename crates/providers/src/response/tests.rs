use std::time::Duration;

use bytes::Bytes;
use evergrant_core::provider::{CallError, Delivery, Issued, Verdict};

use super::refusal::LONGEST_RETRY_AFTER;
use super::*;
use crate::catalogue::{BUILTIN, Catalogue};

mod properties;
mod refusals;
mod skewed;

const SENT_AT: Timestamp = Timestamp::from_millis(1_700_000_000_000);

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

fn answer(status: u16, body: &str) -> Answer {
    Answer {
        status,
        content_type: String::new(),
        is_packed: false,
        retry_after: None,
        redirect_to: None,
        date: None,
        body: Ok(Bytes::copy_from_slice(body.as_bytes())),
    }
}

fn read_answer(entry: &Entry, answer: &Answer) -> Result<Issued, CallError> {
    read_noting(entry, answer, &Oddities::default())
}

fn context<'a>(entry: &'a Entry, oddities: &'a Oddities) -> Context<'a> {
    Context {
        entry,
        field: "token_url",
        facts: &entry.response,
        wanted: "an access token",
        sent_at: SENT_AT,
        now: SENT_AT.plus(Duration::from_secs(1)),
        secrets: &["old-refresh", "the-secret"],
        oddities,
    }
}

fn read_noting(entry: &Entry, answer: &Answer, oddities: &Oddities) -> Result<Issued, CallError> {
    let context = context(entry, oddities);
    read(context, answer)
        .map(|granted| Issued {
            expires_at: granted.issued.expires_at.or(granted.usual_end),
            ..granted.issued
        })
        .map_err(|refusal| refusal.error)
}

fn read_text(entry: &Entry, status: u16, body: &str) -> Result<Issued, CallError> {
    read_answer(entry, &answer(status, body))
}

fn issued(entry: &Entry, body: &str) -> Issued {
    read_text(entry, 200, body).unwrap()
}

fn refused(entry: &Entry, status: u16, body: &str) -> CallError {
    read_text(entry, status, body).unwrap_err()
}

fn after(seconds: u64) -> Option<Timestamp> {
    Some(SENT_AT.plus(Duration::from_secs(seconds)))
}

// A81, A85
#[test]
fn a_whole_answer_is_read() {
    let issued = issued(
        &acme("[response.metadata]\nteam = \"/team/id\"\nn = [\"/no\", \"/n\"]"),
        r#"{"access_token":"a","token_type":"bearer","expires_in":60,"refresh_token":"r",
            "refresh_token_expires_in":"120","scope":"x y","team":{"id":"T1"},"n":7}"#,
    );
    assert_eq!(issued.access_token.expose(), "a");
    assert_eq!(issued.token_type, "Bearer");
    assert_eq!(issued.expires_at, after(60));
    assert_eq!(issued.refresh_token.unwrap().expose(), "r");
    assert_eq!(issued.refresh_expires_at, after(120));
    assert_eq!(issued.scopes.unwrap(), ["x", "y"]);
    assert_eq!(issued.metadata["team"], "T1");
    assert_eq!(issued.metadata["n"], "7");
}

// A83, W16, W27
#[test]
fn without_a_new_refresh_token_the_old_one_stays_and_grows_no_younger() {
    let entry = acme("[lifetime]\nrefresh_token = \"90d\"");
    for body in [
        r#"{"access_token":"a"}"#,
        r#"{"access_token":"a","refresh_token":null}"#,
        r#"{"access_token":"a","refresh_token":""}"#,
    ] {
        let issued = issued(&entry, body);
        assert_eq!(issued.refresh_token, None);
        assert_eq!(issued.refresh_expires_at, None);
    }
    let renewed = issued(&entry, r#"{"access_token":"a","refresh_token":"r"}"#);
    assert_eq!(renewed.refresh_expires_at, after(90 * 86_400));
}

// A84, A92, W17
#[test]
fn an_expiry_that_cannot_be_is_what_the_catalogue_knows_or_unknown() {
    let silent = acme("");
    let knowing = acme("[lifetime]\naccess_token = \"1h\"");
    for expiry in [
        "0", "-1", "\"0\"", "\"-1\"", "NaN", "\"NaN\"", "1e999", "1e12", "null", "\"x\"",
    ] {
        let body = format!("{{\"access_token\":\"a\",\"expires_in\":{expiry}}}");
        assert_eq!(issued(&silent, &body).expires_at, None, "{expiry}");
        assert_eq!(issued(&knowing, &body).expires_at, after(3600), "{expiry}");
    }
    let body = r#"{"access_token":"a"}"#;
    assert_eq!(issued(&silent, body).expires_at, None);
    assert_eq!(issued(&knowing, body).expires_at, after(3600));
}

// D3, W84, W88
#[test]
fn a_stated_lifetime_is_taken_as_it_is() {
    let knowing = acme("[lifetime]\naccess_token = \"2h\"");
    for seconds in [1, 30, 200, 6_900, 31_536_000] {
        let body = format!("{{\"access_token\":\"a\",\"expires_in\":{seconds}}}");
        assert_eq!(issued(&knowing, &body).expires_at, after(seconds));
    }
}

// A85, C115
#[test]
fn an_expiry_may_bear_many_names() {
    for (name, value) in [
        ("expires_in", "60"),
        ("expiresIn", "60.0"),
        ("expireIn", "\"60\""),
        ("expire", "6e1"),
        ("expires_at", "1700000060"),
        ("expires_on", "\"1700000060\""),
        ("expires_at", "1700000060000"),
        ("expiresAt", "\"2023-11-14T22:14:20Z\""),
    ] {
        let body = format!("{{\"access_token\":\"a\",\"{name}\":{value}}}");
        assert_eq!(issued(&acme(""), &body).expires_at, after(60), "{name}");
    }
    let long = issued(&acme(""), r#"{"access_token":"a","expires_in":31536000}"#);
    assert_eq!(long.expires_at, after(31_536_000));
}

#[test]
fn tokens_may_bear_other_names() {
    let camel = issued(
        &acme(""),
        r#"{"accessToken":"a","refreshToken":"r","tokenType":"Bearer"}"#,
    );
    assert_eq!(camel.access_token.expose(), "a");
    assert_eq!(camel.refresh_token.unwrap().expose(), "r");
    let feishu = acme("[response]\naccess_token = [\"/data/tenant_access_token\"]");
    let nested = issued(&feishu, r#"{"data":{"tenant_access_token":"t"}}"#);
    assert_eq!(nested.access_token.expose(), "t");
}

#[test]
fn a_form_encoded_answer_is_read_like_json() {
    let issued = issued(
        &acme(""),
        "access_token=a&expires_in=60&scope=repo%2Cgist&token_type=bearer",
    );
    assert_eq!(issued.access_token.expose(), "a");
    assert_eq!(issued.expires_at, after(60));
    assert_eq!(issued.scopes.unwrap(), ["repo", "gist"]);
    let error = refused(&acme(""), 400, "error=invalid_grant&error_description=gone");
    assert_eq!(error.code, "invalid_grant");
}

// A85
#[test]
fn scopes_may_be_separated_in_many_ways() {
    for scope in [
        r#""a b""#,
        r#""a,b""#,
        r#""a, b""#,
        r#"["a","b"]"#,
        r#"" a  b ""#,
    ] {
        let body = format!("{{\"access_token\":\"t\",\"scopes\":{scope}}}");
        assert_eq!(
            issued(&acme(""), &body).scopes.unwrap(),
            ["a", "b"],
            "{scope}"
        );
    }
    assert_eq!(issued(&acme(""), r#"{"access_token":"t"}"#).scopes, None);
}

// A90
#[test]
fn odd_fields_beside_a_good_token_are_left_out() {
    let issued = issued(
        &acme(""),
        r#"{"access_token":"a","refresh_token":{"x":1},"token_type":7,"scope":9,"expires_in":[]}"#,
    );
    assert_eq!(issued.access_token.expose(), "a");
    assert_eq!(issued.refresh_token, None);
    assert_eq!(issued.token_type, "Bearer");
    assert_eq!(issued.scopes, None);
}

#[test]
fn what_is_left_out_of_an_answer_is_told_with_its_field() {
    let entry = acme("");
    for (odd, fields) in [
        (r#""expires_in":-1"#, vec!["response.expires_in"]),
        (r#""expires_in":0"#, vec!["response.expires_in"]),
        (r#""expires_in":1e300"#, vec!["response.expires_in"]),
        (r#""expires_at":"yesterday""#, vec!["response.expires_at"]),
        (r#""refresh_token":17"#, vec!["response.refresh_token"]),
        (r#""refresh_token":"""#, vec![]),
        (r#""refresh_token":null,"expires_in":60"#, vec![]),
        (r#""expires_in":-1,"expires_at":1800000000"#, vec![]),
    ] {
        let oddities = Oddities::default();
        let body = format!(r#"{{"access_token":"a",{odd}}}"#);
        read_noting(&entry, &answer(200, &body), &oddities).unwrap();
        let told = oddities.told();
        let told: Vec<&str> = told.iter().map(|(_, field, _)| *field).collect();
        assert_eq!(told, fields, "{odd}");
    }
}

#[test]
fn an_account_may_be_joined_of_several_values_and_depend_on_another() {
    let entry = acme(
        r#"
        [response]
        account = [{ join = ["/team"], with = "/bot" }, { join = ["/team", "/user/id"] }, "/org"]
        "#,
    );
    for (fields, account) in [
        (r#""team":"T1","user":{"id":7},"bot":"B1""#, Some("T1")),
        (r#""team":"T1","user":{"id":7}"#, Some("T1:7")),
        (r#""team":"T1","user":{"id":7},"bot":null"#, Some("T1:7")),
        (r#""team":"T1","user":{"id":7},"bot":"""#, Some("T1:7")),
        (r#""team":"T1","org":"O1""#, Some("O1")),
        (r#""team":"T1""#, None),
    ] {
        let answer = answer(200, &format!(r#"{{"access_token":"a",{fields}}}"#));
        let oddities = Oddities::default();
        let granted = read(context(&entry, &oddities), &answer).unwrap();
        assert_eq!(granted.account.as_deref(), account, "{fields}");
    }
}
