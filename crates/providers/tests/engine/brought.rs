//! Answers that somebody else got: they may be old.

use std::collections::BTreeMap;
use std::time::Duration;

use evergrant_core::clock::Timestamp;
use evergrant_core::grant::GrantType;
use evergrant_core::provider::Issued;
use evergrant_providers::engine::TokenResponse;

use crate::support::{NOW, acme, client, grant, providers};

fn read(answer: &str) -> Issued {
    let entry = acme(
        "127.0.0.1:9",
        "[lifetime]\naccess_token = \"1h\"\nrefresh_token = \"9d\"",
    );
    let providers = providers(&entry, vec![client("acme", "main", &["s"])]).unwrap();
    let response = TokenResponse {
        provider: &grant("acme").facts.client.provider,
        grant_type: GrantType::AuthorizationCode,
        text: answer,
        placeholders: &BTreeMap::new(),
    };
    providers
        .read_token_response(&response, NOW)
        .unwrap()
        .issued
}

/// So many seconds from now.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(NOW.as_millis() + seconds * 1_000)
}

fn stated(seconds: i64) -> i64 {
    at(seconds).as_millis() / 1_000
}

#[test]
fn a_point_in_time_counts_before_a_duration_and_even_if_it_has_passed() {
    for (rest, end) in [
        (format!("\"expires_at\":{}", stated(-60)), -60),
        (format!("\"expires_at\":{}", stated(60)), 60),
        (
            format!("\"expires_in\":3600,\"expires_at\":{}", stated(-60)),
            -60,
        ),
        (
            format!("\"expires_in\":3600,\"expires_at\":{}", stated(60)),
            60,
        ),
        ("\"expires_in\":600".to_owned(), 600),
        ("\"expires_in\":600,\"expires_at\":0".to_owned(), 600),
        ("\"expires_at\":\"soon\"".to_owned(), 3_600),
    ] {
        let issued = read(&format!("{{\"access_token\":\"opaque\",{rest}}}"));
        assert_eq!(issued.expires_at, Some(at(end)), "{rest}");
    }
}

#[test]
fn a_refresh_token_that_is_brought_may_have_ended() {
    let answer = |ends: &str| format!("{{\"access_token\":\"a\",\"refresh_token\":\"r\",{ends}}}");
    let past = format!("\"refresh_token_expires_at\":{}", stated(-60));
    for ends in [&past, &format!("\"refresh_token_expires_in\":600,{past}")] {
        assert_eq!(
            read(&answer(ends)).refresh_expires_at,
            Some(at(-60)),
            "{ends}"
        );
    }
    let days = Duration::from_secs(9 * 86_400);
    let silent = read(&answer("\"scope\":\"\""));
    assert_eq!(silent.refresh_expires_at, Some(NOW.plus(days)));
}
