use bytes::Bytes;
use evergrant_core::grant::InvalidationReason;

use super::*;
use crate::catalogue::{BUILTIN, Catalogue};

mod properties;

const SENT_AT: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn entry(toml: &str) -> Entry {
    let mut catalogue = Catalogue::empty();
    let name = catalogue.add(toml, "test").unwrap();
    (**catalogue.get(&name).unwrap()).clone()
}

fn acme(rest: &str) -> Entry {
    entry(&format!(
        "name = \"acme\"\ntoken_url = \"https://acme.example/token\"\n{rest}"
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
        retry_after: None,
        body: Ok(Bytes::copy_from_slice(body.as_bytes())),
    }
}

fn read_answer(entry: &Entry, answer: &Answer) -> Result<Issued, CallError> {
    let context = Context {
        entry,
        sent_at: SENT_AT,
        now: SENT_AT.plus(Duration::from_secs(1)),
        secrets: &["old-refresh", "the-secret"],
    };
    read(context, answer).map_err(|refusal| refusal.error)
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

// A84, A126, W19
#[test]
fn success_without_a_token_is_a_protocol_failure_that_shows_key_names_at_most() {
    for (body, lack) in [
        (
            r#"{"token":"hush","ok":true}"#,
            "without an access token, but with ok, token",
        ),
        (
            r#"{"access_token":""}"#,
            "without an access token, but with access_token",
        ),
        (
            r#"{"access_token":7}"#,
            "without an access token, but with access_token",
        ),
        ("{}", "without an access token"),
        ("[]", "with JSON that is no object"),
        ("", "without a body"),
        ("<html>hush</html>", "with a body that is no JSON"),
        ("hush", "with a body that is no JSON"),
    ] {
        let error = refused(&acme(""), 200, body);
        assert_eq!(error.verdict, Verdict::Protocol, "{body}");
        assert_eq!(error.delivery, Delivery::Answered, "{body}");
        assert_eq!(error.message, format!("acme answered HTTP 200 {lack}"));
    }
}

#[test]
fn success_that_ends_too_early_may_have_spent_the_refresh_token() {
    let error = refused(&acme(""), 200, r#"{"access_token":"a"#);
    assert_eq!(error.verdict, Verdict::Protocol);
    assert_eq!(error.delivery, Delivery::Unknown);
    let error = refused(&acme(""), 400, r#"{"error":"inv"#);
    assert_eq!(error.delivery, Delivery::Answered);
}

// A78, A79, A91, A131
#[test]
fn error_codes_stand_in_many_places() {
    for (body, code) in [
        (r#"{"error":"invalid_grant"}"#, "invalid_grant"),
        (
            r#"{"error":{"code":"refresh_token_reused","type":"x"}}"#,
            "refresh_token_reused",
        ),
        (r#"{"error":{"code":190,"type":"OAuthException"}}"#, "190"),
        (r#"{"error":{"type":"OAuthException"}}"#, "OAuthException"),
        (r#"{"ok":false,"error":"token_revoked"}"#, "token_revoked"),
        (
            r#"{"errcode":40001,"errmsg":"invalid credential"}"#,
            "40001",
        ),
        (r#"{"code":99991663,"msg":"token invalid"}"#, "99991663"),
        (r#"{"reason":"invalid_client_id"}"#, "invalid_client_id"),
        (
            r#"{"error":"invalid_client","reason":"Invalid client"}"#,
            "invalid_client",
        ),
        (
            "error=bad_verification_code&error_description=x",
            "bad_verification_code",
        ),
    ] {
        for status in [200, 400, 401] {
            assert_eq!(
                refused(&acme(""), status, body).code,
                code,
                "{status} {body}"
            );
        }
    }
}

#[test]
fn what_is_no_code_is_not_taken_for_one() {
    for body in [
        r#"{"error":""}"#,
        r#"{"error":null}"#,
        r#"{"error":"null"}"#,
        r#"{"error":"undefined"}"#,
        r#"{"error":"refresh token has already been used"}"#,
        r#"{"error":true}"#,
        r#"{"errcode":0,"errmsg":"ok"}"#,
        r#"{"code":0}"#,
        r#"{"error":"old-refresh"}"#,
    ] {
        let error = refused(&acme(""), 400, body);
        assert_eq!(error.code, "", "{body}");
        assert_eq!(error.verdict, Verdict::Protocol, "{body}");
    }
}

// A79
#[test]
fn a_failure_rule_comes_before_a_token() {
    let slack = builtin("slack");
    let body = r#"{"ok":false,"error":"token_revoked","access_token":"x"}"#;
    let error = refused(&slack, 200, body);
    assert_eq!(
        error.verdict,
        Verdict::Grant(InvalidationReason::GrantRevoked)
    );
    let wecom = acme("[response]\nfailure = { pointer = \"/errcode\", differs_from = 0 }");
    assert_eq!(refused(&wecom, 200, r#"{"errcode":42001}"#).code, "42001");
    assert!(read_text(&wecom, 200, r#"{"errcode":0,"access_token":"a"}"#).is_ok());
    assert!(read_text(&wecom, 200, r#"{"access_token":"a"}"#).is_ok());
}

// B36, W60
#[test]
fn a_failing_server_harms_no_grant_whatever_it_says() {
    for body in [
        "<html>upstream said: {\"error\":\"invalid_grant\"}</html>",
        r#"{"error":"invalid_grant"}"#,
        "",
    ] {
        for status in [500, 502, 503, 504, 408] {
            assert_eq!(refused(&acme(""), status, body).verdict, Verdict::Transient);
        }
    }
}

// W60
#[test]
fn prose_kills_nothing() {
    for body in [
        r#"{"error":"invalid_request","error_description":"invalid_grant"}"#,
        r#"{"message":"invalid_grant"}"#,
        "invalid_grant",
        "<p>invalid_grant</p>",
    ] {
        let error = refused(&acme(""), 400, body);
        assert!(!matches!(error.verdict, Verdict::Grant(_)), "{body}");
    }
}

// W19
#[test]
fn a_message_quotes_the_provider_without_secrets() {
    let body = r#"{"error":"invalid_grant","error_description":"Token old-refresh is gone."}"#;
    let error = refused(&acme(""), 400, body);
    assert_eq!(
        error.message,
        "acme answered HTTP 400 with invalid_grant: Token [removed] is gone"
    );
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    let ask = |status: u16, text: &str| {
        let mut answer = answer(status, "");
        answer.retry_after = Some(text.to_owned());
        read_answer(&acme(""), &answer).unwrap_err().retry_after
    };
    assert_eq!(ask(429, "30"), Some(Duration::from_secs(30)));
    // It is 22:13:21 when the answer is there.
    let date = "Tue, 14 Nov 2023 22:14:21 GMT";
    assert_eq!(ask(429, date), Some(Duration::from_secs(60)));
    assert_eq!(ask(503, "5"), Some(Duration::from_secs(5)));
    let past = "Tue, 14 Nov 2000 22:14:21 GMT";
    assert_eq!(ask(503, past), Some(Duration::ZERO));
    assert_eq!(ask(429, "99999999999"), Some(LONGEST_RETRY_AFTER));
    for nonsense in ["", "soon", "-1", "1.5"] {
        assert_eq!(ask(429, nonsense), None, "{nonsense}");
    }
    assert_eq!(ask(400, "30"), None);
}

#[test]
fn a_body_that_broke_off_is_judged_by_status_alone() {
    let broken = |status, fault: BodyFault| {
        let mut answer = answer(status, "");
        answer.body = Err(fault);
        read_answer(&acme(""), &answer).unwrap_err()
    };
    for (status, fault, verdict) in [
        (200, BodyFault::TooLarge, Verdict::Protocol),
        (400, BodyFault::TooLarge, Verdict::Protocol),
        (302, BodyFault::TooLarge, Verdict::Protocol),
        (503, BodyFault::TooLarge, Verdict::Transient),
        (429, BodyFault::TooLarge, Verdict::RateLimit),
        (200, BodyFault::Cut("reset".into()), Verdict::Transient),
        (400, BodyFault::Cut("reset".into()), Verdict::Transient),
        (302, BodyFault::Cut("reset".into()), Verdict::Protocol),
        (429, BodyFault::Cut("reset".into()), Verdict::RateLimit),
    ] {
        let error = broken(status, fault);
        assert_eq!(error.verdict, verdict, "{status}");
        assert_eq!(error.delivery, Delivery::Unknown, "{status}");
    }
}
