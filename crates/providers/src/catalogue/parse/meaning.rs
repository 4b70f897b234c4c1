//! The tables `[errors]` and `[uncoded]`.

use std::collections::BTreeMap;

use evergrant_core::grant::InvalidationReason;
use evergrant_core::provider::Verdict;

use crate::catalogue::section::{Report, Section, StringOrSection, pick};
use crate::classify::{Described, Meaning};
use crate::response::is_code;

/// The table `[errors]`.
#[derive(Default)]
pub(super) struct Errors {
    pub(super) always: BTreeMap<String, Meaning>,
    pub(super) described: BTreeMap<String, Vec<Described>>,
}

pub(super) fn errors(root: &mut Section<'_>, report: &mut Report<'_>) -> Errors {
    let mut errors = Errors::default();
    if let Some(mut table) = root.section(report, "errors") {
        for code in table.keys() {
            if !is_code(&code) {
                let why = format!(
                    "{code:?} is no error code: 1 to 64 of a-z, A-Z, 0-9, _ . : -, and not 0"
                );
                table.problem_at(report, &[&code], why);
            }
            meanings(&mut table, report, code, &mut errors);
        }
    }
    errors
}

/// What one code means: one meaning or a list, of which the first counts whose words are there.
fn meanings(table: &mut Section<'_>, report: &mut Report<'_>, code: String, errors: &mut Errors) {
    table.refuse_empty(report, &code, "must have one item or more");
    let list = table.strings_or_sections(report, &code);
    let mut bound = Vec::new();
    let mut ended = false;
    for item in list.unwrap_or_default() {
        if ended {
            let why = "comes behind one that always counts: only the last of a list goes without described";
            item.problem(report, why);
        }
        let (words, meaning) = meaning(item, report);
        ended |= words.is_none();
        match (words, meaning) {
            (Some(words), Some(meaning)) => bound.push(Described { words, meaning }),
            (None, Some(meaning)) => {
                errors.always.insert(code.clone(), meaning);
            }
            (_, None) => {}
        }
    }
    if !bound.is_empty() {
        errors.described.insert(code, bound);
    }
}

pub(super) fn uncoded(root: &mut Section<'_>, report: &mut Report<'_>) -> BTreeMap<u16, Meaning> {
    let mut statuses = BTreeMap::new();
    if let Some(mut table) = root.section(report, "uncoded") {
        for status in table.keys() {
            let meaning = table
                .string_or_section(report, &status)
                .map(|value| meaning(value, report));
            let meaning = meaning.and_then(|(described, meaning)| {
                if described.is_some() {
                    let why = "has described, which belongs to [errors]: here is no code";
                    table.problem_at(report, &[&status], why);
                }
                meaning
            });
            match status.parse() {
                Ok(number @ 400..=499) if number != 408 && number != 429 => {
                    statuses.extend(meaning.map(|meaning| (number, meaning)));
                }
                _ => {
                    let why = "is no HTTP status of 400 to 499, or one of 408 and 429, which say nothing of a grant";
                    table.problem_at(report, &[&status], why);
                }
            }
        }
    }
    statuses
}

/// The words that it is bound to, if any, and the meaning, if it can be read.
fn meaning(
    value: StringOrSection<'_>,
    report: &mut Report<'_>,
) -> (Option<String>, Option<Meaning>) {
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
    match value {
        StringOrSection::String(word) => {
            let verdict = word.parse(report, |word| pick(&word, &words));
            (None, verdict.map(Meaning::of))
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
                detail.problem_at(report, &["reason"], "belongs to the verdict grant alone");
            }
            if try_next_secret && verdict.is_some() && verdict != Some(Verdict::Client) {
                let why = "belongs to the verdict client alone";
                detail.problem_at(report, &["try_next_secret"], why);
            }
            let try_alternate_client = detail
                .boolean(report, "try_alternate_client")
                .unwrap_or(false);
            if try_alternate_client && verdict.is_some() && verdict != Some(Verdict::Client) {
                let why = "belongs to the verdict client alone";
                detail.problem_at(report, &["try_alternate_client"], why);
            }
            let described = detail.string(report, "described");
            let described = described.and_then(|words| {
                words.parse(report, |words| match words.trim().is_empty() {
                    true => Err("must be words of the description"),
                    false => Ok(words),
                })
            });
            detail.finish(report);
            let meaning = verdict.map(|verdict| Meaning {
                verdict: reason.map_or(verdict, Verdict::Grant),
                try_next_secret,
                try_alternate_client,
            });
            (described, meaning)
        }
    }
}
