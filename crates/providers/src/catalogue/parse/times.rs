//! The tables `[rotation]`, `[lifetime]`, `[renewal]` and `[limits]`.

use std::time::Duration;

use evergrant_core::provider::Rotation;

use crate::catalogue::entry::{Lifetime, Limits, RenewalFacts};
use crate::catalogue::section::{Report, Section};

pub(super) fn rotation(root: &mut Section<'_>, report: &mut Report<'_>) -> Rotation {
    let Some(mut table) = root.section(report, "rotation") else {
        // The careful assumption: a refresh token may be spent by its first use.
        return Rotation::SingleUse;
    };
    let words = [
        ("none", Rotation::None),
        ("rotates", Rotation::Rotates),
        ("single_use", Rotation::SingleUse),
        ("grace", Rotation::Grace(Duration::ZERO)),
    ];
    if !table.has("mode") {
        table.missing(report, "mode");
    }
    let mode = table.choice(report, "mode", &words);
    let grace = table.duration(report, "grace");
    let rotation = match (mode, &grace) {
        (Some(Rotation::Grace(_)), Some(grace)) if !grace.value.is_zero() => {
            Rotation::Grace(grace.value)
        }
        (Some(Rotation::Grace(_)), _) => {
            let why = "the mode grace needs a grace of more than 0s, e.g. grace = \"10m\"";
            table.problem_at(report, &["grace", "mode"], why);
            Rotation::SingleUse
        }
        (Some(mode), None) => mode,
        (Some(mode), Some(grace)) => {
            if !grace.value.is_zero() {
                report.add(grace.at, &grace.path, "belongs to the mode grace alone");
            }
            mode
        }
        (None, _) => Rotation::SingleUse,
    };
    table.finish(report);
    rotation
}

pub(super) fn lifetime(root: &mut Section<'_>, report: &mut Report<'_>) -> Lifetime {
    let Some(mut table) = root.section(report, "lifetime") else {
        return Lifetime::default();
    };
    let lifetime = Lifetime {
        access_token: positive(&mut table, report, "access_token"),
        refresh_token: positive(&mut table, report, "refresh_token"),
        refresh_token_idle: positive(&mut table, report, "refresh_token_idle"),
        grant: positive(&mut table, report, "grant"),
    };
    table.finish(report);
    lifetime
}

pub(super) fn renewal(root: &mut Section<'_>, report: &mut Report<'_>) -> RenewalFacts {
    let Some(mut table) = root.section(report, "renewal") else {
        return RenewalFacts::default();
    };
    let mut truth = |key: &str, report: &mut Report<'_>| table.boolean(report, key) == Some(true);
    let renewal = RenewalFacts {
        self_renewing: truth("self_renewing", report),
        only_while_valid: truth("refresh_only_while_valid", report),
        min_age: positive(&mut table, report, "min_age"),
        refresh_token_margin: positive(&mut table, report, "refresh_token_margin"),
    };
    if renewal.self_renewing && renewal.refresh_token_margin.is_some() {
        let why = "what renews itself has no refresh token, and so no margin";
        table.problem_at(report, &["refresh_token_margin"], why);
    }
    table.finish(report);
    renewal
}

pub(super) fn limits(root: &mut Section<'_>, report: &mut Report<'_>) -> Limits {
    let Some(mut table) = root.section(report, "limits") else {
        return Limits::default();
    };
    let mut read = |key: &str, report: &mut Report<'_>| {
        table
            .integer(report, key)?
            .parse(report, |number| match u32::try_from(number) {
                Ok(number) if number > 0 => Ok(number),
                _ => Err("must be at least 1"),
            })
    };
    let limits = Limits {
        concurrent: read("concurrent", report),
        per_minute: read("per_minute", report),
    };
    table.finish(report);
    limits
}

pub(super) fn positive(
    table: &mut Section<'_>,
    report: &mut Report<'_>,
    key: &str,
) -> Option<Duration> {
    let time = table.duration(report, key)?;
    if time.value.is_zero() {
        report.add(time.at, &time.path, "must be more than 0");
    }
    Some(time.value)
}
