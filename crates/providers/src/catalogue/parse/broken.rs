//! Text that is no TOML.

use toml::de::Error;

use crate::catalogue::section::Report;

/// Notes what keeps it from being read: the first of each line, since the others follow from that.
pub(super) fn tell(text: &str, errors: &[Error], report: &mut Report<'_>) {
    let mut told = None;
    for error in errors {
        let at = error.span().map_or(0, |span| span.start);
        let begin = line_begin(text, at);
        if told.replace(begin) == Some(begin) {
            continue;
        }
        let why = match error.message() {
            "duplicate key" => "is there already: each key and each table stands once",
            why => why,
        };
        report.add(at, &key_at(text, begin), why);
    }
}

fn line_begin(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or(text);
    before.rfind('\n').map_or(0, |newline| newline + 1)
}

/// The key, with its table, of the line that begins there; empty where the line shows none.
fn key_at(text: &str, begin: usize) -> String {
    let line = text[begin..].lines().next().unwrap_or_default();
    if let Some(header) = header(line) {
        return header.to_owned();
    }
    let key = line.split_once('=').map_or("", |(key, _)| key.trim());
    let is_of_key = |c: char| c.is_ascii_alphanumeric() || "_-.\"".contains(c);
    if key.is_empty() || !key.chars().all(is_of_key) {
        return String::new();
    }
    match text[..begin].lines().rev().find_map(header) {
        Some(table) => format!("{table}.{key}"),
        None => key.to_owned(),
    }
}

/// The name in the head of a table, be it unfinished.
fn header(line: &str) -> Option<&str> {
    let name = line.trim().strip_prefix('[')?.trim_start_matches('[');
    let name = name.split(']').next().unwrap_or_default().trim();
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    (!name.is_empty() && name.chars().all(is_of_name)).then_some(name)
}
