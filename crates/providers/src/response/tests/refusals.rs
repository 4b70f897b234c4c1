//! Answers without tokens.

use evergrant_core::grant::InvalidationReason;

use super::*;

const REVOKED: Verdict = Verdict::Grant(InvalidationReason::GrantRevoked);
const DENIED: Verdict = Verdict::Grant(InvalidationReason::AccessDenied);

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
            "with an empty text where the access token should be",
        ),
        (
            r#"{"access_token":7}"#,
            "with a number where the access token should be",
        ),
        ("{}", "without an access token"),
        ("[]", "with JSON that is no object"),
        ("", "without a body"),
        ("<html>hush</html>", "with a page of HTML in place of JSON"),
        ("hush", "with a body that is no JSON"),
    ] {
        let error = refused(&acme(""), 200, body);
        assert_eq!(error.verdict, Verdict::Protocol, "{body}");
        assert_eq!(error.delivery, Delivery::Answered, "{body}");
        assert_eq!(
            error.message,
            format!("acme answered HTTP 200 at its token_url {lack}")
        );
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

// A19 to A26, C51, W12
#[test]
fn the_codes_that_end_attempts_blame_the_grant_or_the_client_and_no_others_do() {
    let slack = builtin("slack");
    let said = |code: &str| {
        let body = format!("{{\"ok\":false,\"error\":{code}}}");
        refused(&slack, 200, &body).verdict
    };
    let table = [
        (r#""invalid_refresh_token""#, REVOKED),
        (r#""invalid_grant""#, REVOKED),
        (r#""access_denied""#, DENIED),
        (r#""bad_client_secret""#, Verdict::Client),
        (r#""invalid_client_id""#, Verdict::Client),
        (r#""invalid_client""#, Verdict::Client),
        (r#""bad_redirect_uri""#, Verdict::Client),
        (r#""ratelimited""#, Verdict::RateLimit),
        (r#""internal_error""#, Verdict::Transient),
        (r#""service_unavailable""#, Verdict::Transient),
        (r#""undefined""#, Verdict::Protocol),
        ("null", Verdict::Protocol),
        (r#""""#, Verdict::Protocol),
    ];
    for (code, verdict) in table {
        assert_eq!(said(code), verdict, "{code}");
    }
}

// C25, C51, W60
#[test]
fn a_code_is_compared_letter_by_letter_and_an_entry_may_name_more_of_them() {
    let naming = acme("[errors]\nrefresh_token_reused = \"grant\"");
    for body in [
        r#"{"error":"refresh_token_reused"}"#,
        r#"{"error":{"code":"refresh_token_reused","message":"already used"}}"#,
    ] {
        assert_eq!(refused(&naming, 401, body).verdict, REVOKED);
        assert_eq!(refused(&acme(""), 401, body).verdict, Verdict::Request);
    }
    for code in ["INVALID_GRANT", "invalid_grant_type", "not_invalid_grant"] {
        let body = format!("{{\"error\":\"{code}\"}}");
        assert_eq!(refused(&naming, 400, &body).verdict, Verdict::Request);
    }
}

// D12, W85, W86
#[test]
fn an_error_number_beside_http_200_is_no_token() {
    for (body, code) in [
        (
            r#"{"errcode":42001,"errmsg":"expired","access_token":""}"#,
            "42001",
        ),
        (r#"{"errcode":40014,"errmsg":"invalid"}"#, "40014"),
        (
            r#"{"code":99991663,"msg":"invalid","tenant_access_token":""}"#,
            "99991663",
        ),
    ] {
        let error = refused(&acme(""), 200, body);
        assert_eq!(error.code, code);
        assert_eq!(error.verdict, Verdict::Request, "{body}");
    }
}

// A79
#[test]
fn a_failure_rule_comes_before_a_token() {
    let slack = builtin("slack");
    let body = r#"{"ok":false,"error":"token_revoked","access_token":"x"}"#;
    let error = refused(&slack, 200, body);
    assert_eq!(error.verdict, REVOKED);
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
        "acme answered HTTP 400 at its token_url with invalid_grant: Token [removed] is gone"
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

#[test]
fn a_redirect_a_page_and_a_token_that_is_no_text_are_told_as_such() {
    let entry = acme("");
    for (status, body, message) in [
        (
            302,
            "",
            "acme answered HTTP 302 at its token_url, a redirect, which is not followed",
        ),
        (
            307,
            "<html>moved</html>",
            "acme answered HTTP 307 at its token_url, a redirect, which is not followed",
        ),
        (
            200,
            "<!doctype html><p>hello",
            "acme answered HTTP 200 at its token_url with a page of HTML in place of JSON",
        ),
        (
            403,
            "<html></html>",
            "acme answered HTTP 403 at its token_url with a page of HTML in place of JSON",
        ),
        (
            200,
            r#"{"access_token":17}"#,
            "acme answered HTTP 200 at its token_url with a number where the access token should be",
        ),
        (
            200,
            r#"{"access_token":{"a":1}}"#,
            "acme answered HTTP 200 at its token_url with an object where the access token should be",
        ),
        (
            200,
            r#"{"access_token":""}"#,
            "acme answered HTTP 200 at its token_url with an empty text where the access token should be",
        ),
    ] {
        let error = read_text(&entry, status, body).unwrap_err();
        assert_eq!(error.message, message);
        assert_eq!(error.verdict, Verdict::Protocol, "{message}");
    }
}
