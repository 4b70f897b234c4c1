//! What a replica tells of itself is documented: metrics, fields of log lines, attributes of spans.

use std::collections::BTreeSet;

use crate::repository::{TextFile, assert_tidy, files, read};

const PAGE: &str = "docs/observability.md";
const TABLE: &str = "crates/server/src/sight/metrics.rs";
const LINES: [&str; 5] = ["trace!(", "debug!(", "info!(", "warn!(", "error!("];
const SPANS: [&str; 2] = ["info_span!(", "debug_span!("];

#[test]
fn what_is_told_is_documented() {
    let page = read(PAGE).expect("it is there");
    let documented: BTreeSet<&str> = page.split('`').skip(1).step_by(2).collect();
    let table = read(TABLE).expect("it is there");
    let sources = files(&[".rs"]);
    let product = sources.iter().filter(|file| of_the_product(&file.path));
    let mut breaches = Vec::new();
    for file in product {
        for metric in metrics(&file.text) {
            if !documented.contains(metric) || !table.contains(&format!("\"{metric}\"")) {
                breaches.push(format!(
                    "{} counts {metric}: add it to {TABLE} and {PAGE}",
                    file.path
                ));
            }
        }
        for field in fields(file) {
            if !documented.contains(&*field) {
                breaches.push(format!(
                    "{} tells {field}, which {PAGE} does not know",
                    file.path
                ));
            }
        }
    }
    assert_tidy(&breaches);
}

#[test]
fn fields_and_metrics_are_found() {
    let text = "fn f() {\n    // info!(odd)\n    tracing::info!(grant = %id, %error, left_seconds, ?x.last, \"a, {b}\");\n    \
                info_span!(parent: None, \"refresh\", otel.kind = \"server\", evergrant.grant = f(1, 2));\n    \
                counter!(\"evergrant_flights_total\", \"provider\" => 1);\n}";
    let file = TextFile {
        path: "crates/core/src/a.rs".to_owned(),
        text: text.to_owned(),
    };
    let found: Vec<_> = fields(&file).into_iter().collect();
    assert_eq!(
        found,
        ["error", "evergrant.grant", "grant", "last", "left_seconds"]
    );
    assert_eq!(metrics(text), ["evergrant_flights_total"]);
}

/// Texts that are nothing but the name of a metric.
fn metrics(text: &str) -> Vec<&str> {
    let texts = text.split('"').skip(1).step_by(2);
    let is_name = |text: &&str| {
        let rest = text.strip_prefix("evergrant_");
        rest.is_some_and(|rest| {
            rest.contains('_') && rest.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
        })
    };
    texts.filter(is_name).collect()
}

/// The fields that lines of the log and spans are given.
fn fields(file: &TextFile) -> BTreeSet<String> {
    let lines = file.text.lines();
    let code: Vec<_> = lines
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    let code = code.join("\n");
    let mut found = BTreeSet::new();
    for begins in LINES.iter().chain(&SPANS) {
        let is_span = SPANS.contains(begins);
        for (at, _) in code.match_indices(begins) {
            let is_longer = code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            if is_longer {
                continue;
            }
            let arguments = arguments(&code[at + begins.len()..]);
            for argument in arguments.iter().map(|argument| argument.trim()) {
                if argument.starts_with('"') && !is_span {
                    break;
                }
                let own = ["\"", "parent:", "target:", "otel."];
                if !argument.is_empty() && !own.iter().any(|own| argument.starts_with(own)) {
                    found.insert(name(argument).to_owned());
                }
            }
        }
    }
    found
}

/// The name of `name = value`, `%name`, `?a.name` or `name`.
fn name(argument: &str) -> &str {
    match argument.split_once('=') {
        Some((name, _)) => name.trim(),
        None => {
            let value = argument.trim_start_matches(['%', '?']);
            value.rsplit('.').next().unwrap_or(value)
        }
    }
}

/// What stands between commas up to the parenthesis that closes.
fn arguments(text: &str) -> Vec<String> {
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    let mut all = vec![String::new()];
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => break,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                all.push(String::new());
                continue;
            }
            _ => {}
        }
        all.last_mut().expect("there is one").push(c);
    }
    all
}

fn of_the_product(path: &str) -> bool {
    let is_test = path.contains("/tests") || path.contains("/testing");
    path.starts_with("crates/") && path.contains("/src/") && !is_test
}
