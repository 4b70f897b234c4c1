use std::collections::{BTreeMap, BTreeSet};

use evergrant_core::grant::Means;
use evergrant_core::provider::Delivery;
use evergrant_core::secret::{AccessToken, RefreshToken};

use super::*;
use crate::catalogue::Catalogue;
use crate::classify::rfc;

fn tokens(refresh_token: Option<&str>) -> TokenSet {
    TokenSet {
        access_token: AccessToken::new("a".to_owned()),
        token_type: "Bearer".to_owned(),
        expires_at: None,
        refresh_token: refresh_token.map(|token| RefreshToken::new(token.to_owned())),
        refresh_expires_at: None,
        scopes: Vec::new(),
        metadata: BTreeMap::new(),
        means: Means::default(),
        minted_by: None,
    }
}

/// What an answer of `code` comes to, by the tables of the entry and of RFC 6749.
fn said(entry: &Entry, tokens: &TokenSet, code: &str) -> Result<Revocation, CallError> {
    let meaning = entry.errors.get(code).copied().or_else(|| rfc(code));
    let error = CallError {
        verdict: meaning.map_or(Verdict::Request, |meaning| meaning.verdict),
        delivery: Delivery::Answered,
        status: code
            .parse()
            .ok()
            .filter(|status| (400..500).contains(status))
            .or(Some(403)),
        code: code.to_owned(),
        message: String::new(),
        retry_after: None,
        grant_specific: false,
    };
    what_it_says(entry, tokens, error)
}

#[test]
fn of_all_codes_of_all_entries_only_those_of_a_token_that_is_gone_count_as_revoked() {
    let catalogue = Catalogue::builtin();
    let both = tokens(Some("r"));
    let usual = [
        "access_denied",
        "consent_required",
        "invalid_grant",
        "invalid_request",
        "invalid_token",
    ];
    let mut own: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for entry in catalogue.iter().filter(|entry| entry.revoke_url.is_some()) {
        let codes = entry.errors.keys().map(String::as_str).chain(usual);
        let codes: BTreeSet<&str> = codes.collect();
        for code in codes {
            let outcome = said(entry, &both, code);
            if code == "invalid_token" {
                let proves = entry.revoke.request.client_auth == ClientAuth::BearerAccessToken;
                assert_eq!(outcome.is_ok(), !proves, "{}", entry.name);
            }
            if let Err(error) = &outcome {
                assert!(
                    !matches!(error.verdict, Verdict::Grant(_)),
                    "{} {code}",
                    entry.name
                );
                continue;
            }
            assert_eq!(outcome, Ok(Revocation::Revoked), "{} {code}", entry.name);
            if !usual.contains(&code) {
                own.entry(entry.name.as_str()).or_default().insert(code);
            }
        }
    }
    let own: Vec<String> = own
        .into_iter()
        .map(|(name, codes)| {
            format!(
                "{name}: {}",
                codes.into_iter().collect::<Vec<_>>().join(" ")
            )
        })
        .collect();
    assert_eq!(own, GONE);
}

/// By entry, the codes of its own that say that the token is gone.
const GONE: [&str; 7] = [
    "github: bad_refresh_token",
    "hubspot: BAD_REFRESH_TOKEN",
    "meta-ads: 102 190",
    "openai: app_session_terminated refresh_token_expired refresh_token_invalidated refresh_token_reused token_expired",
    "sap-concur: 105 108 19 5",
    "slack: authorization_not_found invalid_refresh_token token_revoked",
    "zoho-desk: invalid_code",
];

#[test]
fn an_invalid_token_that_was_the_proof_says_nothing_of_the_refresh_token_beside_it() {
    let catalogue = Catalogue::builtin();
    let slack = catalogue
        .iter()
        .find(|entry| entry.name.as_str() == "slack");
    let slack = slack.unwrap();
    let told = said(slack, &tokens(Some("r")), "invalid_token");
    assert_eq!(told.unwrap_err().verdict, Verdict::Request);
    let alone = said(slack, &tokens(None), "invalid_token");
    assert_eq!(alone, Ok(Revocation::Revoked));
}
