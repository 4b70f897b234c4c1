//! Assertions that were signed by a clock which the answer shows to be wrong.

use std::time::Duration;

use evergrant_core::grant::{Grant, GrantType, InvalidationReason};
use evergrant_core::provider::{CallError, Issued, Providers, Verdict};
use evergrant_core::secret::SigningKey;
use jsonwebtoken::Algorithm;

use crate::keys::Keys;
use crate::support::{Endpoint, NOW, Reply, Seen, acme, client, grant, providers, reply};

const SECONDS: i64 = NOW.as_millis() / 1_000;
const GOOD: &str = r#"{"access_token":"a","expires_in":60}"#;
/// Twenty minutes before ours.
const BEHIND: &str = "Tue, 14 Nov 2023 21:53:20 GMT";
const SAME: &str = "Tue, 14 Nov 2023 22:13:20 GMT";
const BY_GRANT: &str = "grant_types = [\"jwt_bearer\"]\n[assertion]\nalgorithm = \"RS256\"\n";
const BY_CLIENT: &str =
    "[request]\nclient_auth = \"private_key_jwt\"\n[client_assertion]\nalgorithm = \"RS256\"\n";

fn refusal(code: &str, date: &str) -> Reply {
    reply(400, &format!("{{\"error\":\"{code}\"}}")).with("date", date)
}

fn minted() -> Grant {
    let mut grant = grant("acme");
    grant.facts.grant_type = GrantType::JwtBearer;
    grant.tokens.refresh_token = None;
    grant.tokens.means.signing_key = Some(SigningKey::new(Keys::rsa().private.clone()));
    grant
}

async fn ask(
    rest: &str,
    grant: &Grant,
    replies: impl IntoIterator<Item = Reply>,
) -> (Vec<Seen>, Result<Issued, CallError>) {
    let endpoint = Endpoint::answering(replies).await;
    let mut client = client("acme", "main", &["the-secret"]);
    if rest == BY_CLIENT {
        client.client_secrets.clear();
        client.private_key = Some(Keys::rsa().private.clone().into());
    }
    let entry = acme(&endpoint.authority, rest);
    let providers = providers(&entry, vec![client]).unwrap();
    let outcome = providers.refresh(grant, Duration::from_secs(10)).await;
    (endpoint.seen(), outcome)
}

fn signed_at(seen: &Seen, field: &str) -> i64 {
    let (_, claims) = Keys::rsa().verify(Algorithm::RS256, &seen.fields()[field]);
    claims["iat"].as_i64().unwrap()
}

#[tokio::test]
async fn a_refusal_of_what_a_wrong_clock_signed_is_asked_again_by_the_providers_clock() {
    let cases = [
        (BY_GRANT, minted(), "invalid_grant", "assertion"),
        (
            BY_CLIENT,
            grant("acme"),
            "invalid_client",
            "client_assertion",
        ),
    ];
    for (rest, grant, code, field) in cases {
        let replies = [refusal(code, BEHIND), reply(200, GOOD).with("date", BEHIND)];
        let (seen, outcome) = ask(rest, &grant, replies).await;
        outcome.unwrap();
        assert_eq!(seen.len(), 2);
        assert_eq!(signed_at(&seen[0], field), SECONDS);
        assert_eq!(signed_at(&seen[1], field), SECONDS - 1_200);
    }
}

#[tokio::test]
async fn it_is_asked_once_more_and_no_oftener() {
    let later = "Tue, 14 Nov 2023 20:13:20 GMT";
    let replies = [
        refusal("invalid_grant", BEHIND),
        refusal("invalid_grant", later),
    ];
    let (seen, outcome) = ask(BY_GRANT, &minted(), replies).await;
    let verdict = Verdict::Grant(InvalidationReason::GrantRevoked);
    assert_eq!(outcome.unwrap_err().verdict, verdict);
    assert_eq!(seen.len(), 2);
}

#[tokio::test]
async fn a_refusal_is_final_where_the_clock_is_not_at_fault() {
    let plain = grant("acme");
    let seconds_behind = "Tue, 14 Nov 2023 22:12:55 GMT";
    let throttled = reply(429, "{}").with("date", BEHIND);
    let cases = [
        (BY_GRANT, minted(), refusal("invalid_grant", SAME)),
        (BY_GRANT, minted(), refusal("invalid_grant", seconds_behind)),
        (BY_GRANT, minted(), throttled),
        ("", plain, refusal("invalid_grant", BEHIND)),
    ];
    for (rest, grant, answer) in cases {
        let (seen, outcome) = ask(rest, &grant, [answer]).await;
        assert!(outcome.is_err());
        assert_eq!(seen.len(), 1);
    }
}
