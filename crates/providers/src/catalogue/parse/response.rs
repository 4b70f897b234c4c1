//! The table `[response]`.

use super::account::account_or;
use super::times::positive;
use crate::catalogue::entry::{FailureRule, FailureSign, Pointers, ResponseFacts};
use crate::catalogue::section::{Located, Report, Section};

/// What the table `response` within `parent` says; what it leaves out is as in `base`. Metadata is merged.
pub(super) fn response(
    parent: &mut Section<'_>,
    report: &mut Report<'_>,
    base: &ResponseFacts,
) -> ResponseFacts {
    let Some(mut table) = parent.section(report, "response") else {
        return base.clone();
    };
    let account = account_or(&mut table, report, &base.account);
    let why = "must lead somewhere: without it no answer holds a token";
    table.refuse_empty(report, "access_token", why);
    let mut read = |key: &str, base: &Pointers| pointers_or(&mut table, report, key, base);
    let mut facts = ResponseFacts {
        access_token: read("access_token", &base.access_token),
        refresh_token: read("refresh_token", &base.refresh_token),
        token_type: read("token_type", &base.token_type),
        scope: read("scope", &base.scope),
        expires_in: read("expires_in", &base.expires_in),
        expires_at: read("expires_at", &base.expires_at),
        refresh_expires_in: read("refresh_expires_in", &base.refresh_expires_in),
        refresh_expires_at: read("refresh_expires_at", &base.refresh_expires_at),
        account,
        id_token: read("id_token", &base.id_token),
        error: read("error", &base.error),
        error_description: read("error_description", &base.error_description),
        access_token_lifetime: base.access_token_lifetime,
        numbers_only: base.numbers_only,
        metadata: base.metadata.clone(),
        failure: base.failure.clone(),
    };
    if let Some(lifetime) = positive(&mut table, report, "access_token_lifetime") {
        facts.access_token_lifetime = Some(lifetime);
    }
    if let Some(numbers_only) = table.boolean(report, "numbers_only") {
        facts.numbers_only = numbers_only;
    }
    if let Some(mut metadata) = table.section(report, "metadata") {
        for name in metadata.keys() {
            if let Some(list) = metadata.strings(report, &name) {
                facts.metadata.insert(name, pointers(list, report));
            }
        }
    }
    if let Some(rule) = failure(&mut table, report) {
        facts.failure = vec![rule];
    }
    table.finish(report);
    facts
}

/// The key `failure` of a table.
pub(super) fn failure(table: &mut Section<'_>, report: &mut Report<'_>) -> Option<FailureRule> {
    let mut rule = table.section(report, "failure")?;
    if !rule.has("pointer") {
        rule.missing(report, "pointer");
    }
    let pointer = rule
        .string(report, "pointer")
        .and_then(|pointer| pointer.parse(report, pointer_text));
    let equals = rule.scalar(report, "equals").map(FailureSign::Equals);
    let differs = rule
        .scalar(report, "differs_from")
        .map(FailureSign::DiffersFrom);
    let present = rule.boolean(report, "present");
    if present == Some(false) {
        let why = "must be true: what is absent marks no failure";
        rule.problem_at(report, &["present"], why);
    }
    let present = present.map(|_| FailureSign::Present);
    let mut signs = [equals, differs, present].into_iter().flatten();
    let sign = signs.next();
    if sign.is_none() || signs.next().is_some() {
        rule.problem(report, "needs one of equals, differs_from, present");
    }
    rule.finish(report);
    Some(FailureRule {
        pointer: pointer?,
        sign: sign?,
    })
}

/// The pointers under `key`, or `usual` if it is not there.
pub(super) fn pointers_or(
    table: &mut Section<'_>,
    report: &mut Report<'_>,
    key: &str,
    usual: &Pointers,
) -> Pointers {
    match table.strings(report, key) {
        Some(list) => pointers(list, report),
        None => usual.clone(),
    }
}

pub(super) fn pointers(list: Vec<Located<String>>, report: &mut Report<'_>) -> Pointers {
    Pointers(
        list.into_iter()
            .filter_map(|pointer| pointer.parse(report, pointer_text))
            .collect(),
    )
}

/// RFC 6901 section 3. A key without a name is allowed there, and in no answer.
pub(super) fn pointer_text(text: String) -> Result<String, &'static str> {
    let Some(steps) = text.strip_prefix('/') else {
        return Err("must be a JSON pointer, which begins with /");
    };
    if steps.split('/').any(str::is_empty) {
        return Err("must be a JSON pointer, which has a name behind each /");
    }
    let mut escapes = steps.split('~').skip(1);
    if escapes.any(|rest| !rest.starts_with(['0', '1'])) {
        return Err("must be a JSON pointer, in which ~0 stands for ~ and ~1 for /");
    }
    Ok(text)
}
