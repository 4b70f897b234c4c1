//! The tables `[errors]` and `[uncoded]`.

use std::collections::BTreeMap;

use evergrant_core::grant::InvalidationReason;
use evergrant_core::provider::Verdict;

use crate::catalogue::section::{Report, Section, StringOrSection, pick};
use crate::classify::Meaning;

pub(super) fn meanings(
    root: &mut Section<'_>,
    report: &mut Report<'_>,
    key: &str,
) -> BTreeMap<String, Meaning> {
    let mut meanings = BTreeMap::new();
    if let Some(mut table) = root.section(report, key) {
        for code in table.keys() {
            if let Some(meaning) = meaning(&mut table, report, &code) {
                meanings.insert(code, meaning);
            }
        }
    }
    meanings
}

pub(super) fn uncoded(root: &mut Section<'_>, report: &mut Report<'_>) -> BTreeMap<u16, Meaning> {
    let mut statuses = BTreeMap::new();
    if let Some(mut table) = root.section(report, "uncoded") {
        for status in table.keys() {
            let meaning = meaning(&mut table, report, &status);
            match status.parse() {
                Ok(number @ 400..=499) if number != 408 && number != 429 => {
                    statuses.extend(meaning.map(|meaning| (number, meaning)));
                }
                _ => table.problem(
                    report,
                    format!("{status} is no HTTP status of 400 to 499 but 408 and 429"),
                ),
            }
        }
    }
    statuses
}

fn meaning(table: &mut Section<'_>, report: &mut Report<'_>, key: &str) -> Option<Meaning> {
    let words = [
        ("grant", Verdict::Grant(InvalidationReason::GrantRevoked)),
        ("client", Verdict::Client),
        ("request", Verdict::Request),
        ("transient", Verdict::Transient),
        ("rate_limit", Verdict::RateLimit),
    ];
    let reasons = [
        ("grant_revoked", InvalidationReason::GrantRevoked),
        (
            "refresh_token_expired",
            InvalidationReason::RefreshTokenExpired,
        ),
        ("access_denied", InvalidationReason::AccessDenied),
        ("rotation_lost", InvalidationReason::RotationLost),
    ];
    match table.string_or_section(report, key)? {
        StringOrSection::String(word) => {
            let verdict = word.parse(report, |word| pick(&word, &words))?;
            Some(Meaning::of(verdict))
        }
        StringOrSection::Section(mut detail) => {
            if !detail.has("verdict") {
                detail.missing(report, "verdict");
            }
            let verdict = detail.choice(report, "verdict", &words);
            let reason = detail.choice(report, "reason", &reasons);
            let try_next_secret = detail.boolean(report, "try_next_secret").unwrap_or(false);
            let is_grant = matches!(verdict, Some(Verdict::Grant(_)));
            if reason.is_some() && verdict.is_some() && !is_grant {
                detail.problem(report, "only the verdict grant has a reason");
            }
            if try_next_secret && verdict.is_some() && verdict != Some(Verdict::Client) {
                detail.problem(report, "only the verdict client can try the next secret");
            }
            let try_alternate_client = detail
                .boolean(report, "try_alternate_client")
                .unwrap_or(false);
            if try_alternate_client && verdict.is_some() && verdict != Some(Verdict::Client) {
                detail.problem(
                    report,
                    "only the verdict client can try an alternate client",
                );
            }
            detail.finish(report);
            Some(Meaning {
                verdict: reason.map_or(verdict?, Verdict::Grant),
                try_next_secret,
                try_alternate_client,
            })
        }
    }
}
