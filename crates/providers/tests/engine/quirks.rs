//! What each built-in entry makes of its provider's answers.

use std::time::Duration;

use evergrant_core::clock::Timestamp;
use evergrant_core::grant::{GrantType, InvalidationReason};
use evergrant_core::provider::{CallError, Delivery, Issued, Verdict};

use crate::support::{Endpoint, NOW, Reply, grant, moved, refresh, reply};

const REVOKED: Verdict = Verdict::Grant(InvalidationReason::GrantRevoked);
const DENIED: Verdict = Verdict::Grant(InvalidationReason::AccessDenied);
const NOT_REFRESHABLE: Verdict = Verdict::Grant(InvalidationReason::NotRefreshable);

async fn ask(name: &str, reply: Reply) -> Result<Issued, CallError> {
    let endpoint = Endpoint::answering([reply]).await;
    let mut grant = grant(name);
    let host = endpoint.authority.clone();
    grant.tokens.metadata.insert("host".to_owned(), host);
    let outcome = refresh(&moved(name, &endpoint.authority), &grant).await;
    assert_eq!(endpoint.seen().len(), 1);
    outcome
}

async fn refusals(name: &str, status: u16, table: &[(&str, Verdict)]) {
    for (code, verdict) in table {
        let body = format!("{{\"ok\":false,\"error\":\"{code}\"}}");
        let error = ask(name, reply(status, &body)).await.unwrap_err();
        assert_eq!(error.verdict, *verdict, "{name} {code}");
        assert_eq!(error.code, *code, "{name}");
        assert_eq!(error.delivery, Delivery::Answered, "{name} {code}");
    }
}

fn after(seconds: u64) -> Option<Timestamp> {
    Some(NOW.plus(Duration::from_secs(seconds)))
}

// A79
#[tokio::test]
async fn slack_refuses_with_http_200() {
    let table = [
        ("token_revoked", REVOKED),
        ("invalid_refresh_token", REVOKED),
        ("bad_client_secret", Verdict::Client),
        ("invalid_client_id", Verdict::Client),
        ("bad_redirect_uri", Verdict::Client),
        ("internal_error", Verdict::Transient),
        ("service_unavailable", Verdict::Transient),
        ("ratelimited", Verdict::RateLimit),
        ("invalid_arguments", Verdict::Request),
    ];
    refusals("slack", 200, &table).await;
    let limited = reply(200, r#"{"ok":false,"error":"ratelimited"}"#).with("retry-after", "7");
    let error = ask("slack", limited).await.unwrap_err();
    assert_eq!(error.retry_after, Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn slack_tokens_end_if_the_answer_says_so_and_are_bearer_tokens_of_a_team() {
    let unending = r#"{"ok":true,"access_token":"xoxb-1","token_type":"bot","team":{"id":"T1"}}"#;
    let issued = ask("slack", reply(200, unending)).await.unwrap();
    assert_eq!(issued.expires_at, None);

    let body = r#"{"ok":true,"access_token":"xoxe.xoxb-1","token_type":"bot","refresh_token":"xoxe-2","expires_in":43200,
        "scope":"commands,incoming-webhook","team":{"id":"T1","name":"x"},"enterprise":null}"#;
    let issued = ask("slack", reply(200, body)).await.unwrap();
    assert_eq!(issued.expires_at, after(43_200));
    assert_eq!(issued.token_type, "Bearer");
    assert_eq!(issued.refresh_token.unwrap().expose(), "xoxe-2");
    assert_eq!(issued.scopes.unwrap(), ["commands", "incoming-webhook"]);
    assert_eq!(issued.metadata["team_id"], "T1");
    assert_eq!(issued.metadata.len(), 1);
}

// A83
#[tokio::test]
async fn google_keeps_the_refresh_token() {
    let body = r#"{"access_token":"ya29.a","expires_in":3599,"scope":"s","token_type":"Bearer"}"#;
    let issued = ask("google", reply(200, body)).await.unwrap();
    assert_eq!(issued.refresh_token, None);
    assert_eq!(issued.expires_at, after(3599));
    let table = [
        ("invalid_grant", REVOKED),
        ("deleted_client", Verdict::Client),
    ];
    refusals("google", 400, &table).await;
}

#[tokio::test]
async fn github_refuses_with_http_200_and_may_answer_with_a_form() {
    let table = [
        ("bad_refresh_token", REVOKED),
        ("incorrect_client_credentials", Verdict::Client),
    ];
    refusals("github", 200, &table).await;
    let form = "error=bad_refresh_token&error_description=The+refresh+token+passed+is+incorrect";
    let answer = reply(200, form).with("content-type", "application/x-www-form-urlencoded");
    assert_eq!(ask("github", answer).await.unwrap_err().verdict, REVOKED);
}

#[tokio::test]
async fn github_states_lifetimes_as_text() {
    let body = r#"{"access_token":"ghu_1","expires_in":"28800","refresh_token":"ghr_1",
        "refresh_token_expires_in":"15811200","scope":"","token_type":"bearer"}"#;
    let issued = ask("github", reply(200, body)).await.unwrap();
    assert_eq!(issued.expires_at, after(28_800));
    assert_eq!(issued.refresh_expires_at, after(15_811_200));
    assert_eq!(issued.token_type, "Bearer");
    assert_eq!(issued.scopes, Some(Vec::new()));
}

#[tokio::test]
async fn hubspot_names_its_refusals_in_status() {
    let body = r#"{"status":"BAD_REFRESH_TOKEN","message":"missing or invalid refresh token"}"#;
    let error = ask("hubspot", reply(400, body)).await.unwrap_err();
    assert_eq!(error.verdict, REVOKED);
    assert_eq!(
        error.message,
        "hubspot answered HTTP 400 at its token_url with BAD_REFRESH_TOKEN: missing or invalid refresh token"
    );
    let body = r#"{"status":"error","message":"no"}"#;
    let error = ask("hubspot", reply(400, body)).await.unwrap_err();
    assert_eq!(error.verdict, Verdict::Request);
}

// A82
#[tokio::test]
async fn microsoft_renews_the_90_days_of_a_refresh_token_with_each_new_one() {
    let body =
        r#"{"token_type":"Bearer","expires_in":3599,"access_token":"a","refresh_token":"r"}"#;
    let issued = ask("microsoft", reply(200, body)).await.unwrap();
    assert_eq!(issued.refresh_expires_at, after(90 * 86_400));
    assert_eq!(issued.refresh_token.unwrap().expose(), "r");

    let table = [
        ("interaction_required", DENIED),
        ("consent_required", DENIED),
        ("invalid_grant", REVOKED),
        ("temporarily_unavailable", Verdict::Transient),
    ];
    refusals("microsoft", 400, &table).await;
    let body =
        r#"{"error":"invalid_client","error_codes":[7000215],"error_description":"AADSTS7000215"}"#;
    let error = ask("microsoft", reply(401, body)).await.unwrap_err();
    assert_eq!(error.verdict, Verdict::Client);
}

#[tokio::test]
async fn salesforce_states_no_expiry_and_names_the_instance() {
    let body = r#"{"access_token":"00D!a","signature":"x","scope":"api","token_type":"Bearer",
        "instance_url":"https://acme.my.salesforce.com","id":"https://login.salesforce.com/id/1/2",
        "issued_at":"1700000000000"}"#;
    let issued = ask("salesforce", reply(200, body)).await.unwrap();
    assert_eq!(issued.expires_at, None);
    let instance = &issued.metadata["instance_url"];
    assert_eq!(instance, "https://acme.my.salesforce.com");
    let table = [
        ("invalid_grant", REVOKED),
        ("inactive_user", DENIED),
        ("invalid_client_id", Verdict::Client),
        ("rate_limit_exceeded", Verdict::RateLimit),
    ];
    refusals("salesforce", 400, &table).await;
}

// W20
#[tokio::test]
async fn salesforce_is_not_called_outside_its_domain() {
    let endpoint = Endpoint::answering([]).await;
    let mut grant = grant("salesforce");
    let outside = "127.0.0.1:9".to_owned();
    grant.tokens.metadata.insert("host".to_owned(), outside);
    let error = refresh(&moved("salesforce", &endpoint.authority), &grant)
        .await
        .unwrap_err();
    assert_eq!(error.verdict, Verdict::Request);
    assert_eq!(error.delivery, Delivery::NotSent);
    assert_eq!(
        error.message,
        format!(
            "catalogue entry salesforce: token_url leads to a host outside allowed_hosts ({})",
            endpoint.authority
        )
    );
}

#[tokio::test]
async fn notion_names_a_throttled_call_in_code() {
    let body = r#"{"object":"error","status":429,"code":"rate_limited","message":"slow"}"#;
    let error = ask("notion", reply(429, body)).await.unwrap_err();
    assert_eq!(error.verdict, Verdict::RateLimit);
    let body = r#"{"access_token":"a","refresh_token":"r","bot_id":"b","workspace_id":"w",
        "workspace_icon":null,"owner":{"type":"user"}}"#;
    let issued = ask("notion", reply(200, body)).await.unwrap();
    assert_eq!(issued.expires_at, None);
    assert_eq!(issued.refresh_token.unwrap().expose(), "r");
    assert_eq!(issued.metadata["workspace_id"], "w");
}

// B15, B16
#[tokio::test]
async fn what_cannot_be_renewed_is_not_asked_for() {
    let endpoint = Endpoint::answering([]).await;
    let mut without = grant("google");
    without.tokens.refresh_token = None;
    let mut fixed = grant("google");
    fixed.facts.grant_type = GrantType::Static;
    let attio = grant("attio");
    for (entry, grant) in [("google", without), ("google", fixed), ("attio", attio)] {
        let error = refresh(&moved(entry, &endpoint.authority), &grant)
            .await
            .unwrap_err();
        assert_eq!(error.verdict, NOT_REFRESHABLE);
        assert_eq!(error.delivery, Delivery::NotSent);
    }
    assert_eq!(endpoint.seen().len(), 0);
}
