//! The table `[response]`, and where things stand in an answer unless it says otherwise.

use std::collections::BTreeMap;

use crate::catalogue::entry::{FailureRule, FailureSign, Pointers, ResponseFacts};
use crate::catalogue::section::{Located, Report, Section};

pub(super) fn response(root: &mut Section<'_>, report: &mut Report<'_>) -> ResponseFacts {
    let mut table = root.section(report, "response");
    let mut read = |key: &str, usual: &[&str], report: &mut Report<'_>| {
        table
            .as_mut()
            .and_then(|table| table.strings(report, key))
            .map_or_else(
                || Pointers(usual.iter().map(|pointer| (*pointer).to_owned()).collect()),
                |list| pointers(list, report),
            )
    };
    let mut facts = ResponseFacts {
        access_token: read("access_token", &["/access_token", "/accessToken"], report),
        refresh_token: read(
            "refresh_token",
            &["/refresh_token", "/refreshToken"],
            report,
        ),
        token_type: read("token_type", &["/token_type", "/tokenType"], report),
        scope: read("scope", &["/scope", "/scopes"], report),
        expires_in: read(
            "expires_in",
            &["/expires_in", "/expiresIn", "/expireIn", "/expire"],
            report,
        ),
        expires_at: read(
            "expires_at",
            &["/expires_at", "/expires_on", "/expiresAt"],
            report,
        ),
        refresh_expires_in: read(
            "refresh_expires_in",
            &[
                "/refresh_token_expires_in",
                "/x_refresh_token_expires_in",
                "/refresh_expires_in",
            ],
            report,
        ),
        refresh_expires_at: read("refresh_expires_at", &["/refresh_token_expires_at"], report),
        error: read(
            "error",
            &[
                "/error/code",
                "/error",
                "/error/type",
                "/errcode",
                "/error_code",
                "/errorCode",
                "/code",
                "/reason",
            ],
            report,
        ),
        error_description: read(
            "error_description",
            &[
                "/error_description",
                "/error/message",
                "/message",
                "/errmsg",
                "/msg",
                "/reason",
            ],
            report,
        ),
        metadata: BTreeMap::new(),
        failure: Vec::new(),
    };
    let Some(mut table) = table else {
        return facts;
    };
    if let Some(mut metadata) = table.section(report, "metadata") {
        for name in metadata.keys() {
            if let Some(list) = metadata.strings(report, &name) {
                facts.metadata.insert(name, pointers(list, report));
            }
        }
    }
    if let Some(rule) = table.section(report, "failure") {
        facts.failure.extend(failure_rule(rule, report));
    }
    table.finish(report);
    facts
}

fn failure_rule(mut rule: Section<'_>, report: &mut Report<'_>) -> Option<FailureRule> {
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
    let present = rule
        .boolean(report, "present")
        .map(|_| FailureSign::Present);
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

fn pointers(list: Vec<Located<String>>, report: &mut Report<'_>) -> Pointers {
    Pointers(
        list.into_iter()
            .filter_map(|pointer| pointer.parse(report, pointer_text))
            .collect(),
    )
}

fn pointer_text(text: String) -> Result<String, &'static str> {
    if text.starts_with('/') {
        Ok(text)
    } else {
        Err("must be a JSON pointer, which begins with /")
    }
}
