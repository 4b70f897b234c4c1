//! What `docs/observability.md` says of metrics and of log lines.

use std::collections::BTreeSet;

use super::repository;

/// A metric of the table.
#[derive(Debug)]
pub struct Documented {
    pub name: String,
    pub kind: String,
    pub labels: BTreeSet<String>,
}

/// The table under `## Metrics`.
pub fn documented_metrics() -> Vec<Documented> {
    let rows = table("## Metrics");
    let metrics = rows.into_iter().map(|cells| Documented {
        name: named(&cells[0]).remove(0),
        kind: cells[1].trim().to_owned(),
        labels: named(&cells[2]).into_iter().collect(),
    });
    metrics.collect()
}

/// The fields of the table under `## Logs`.
pub fn documented_fields() -> BTreeSet<String> {
    let rows = table("## Logs");
    rows.iter().flat_map(|cells| named(&cells[0])).collect()
}

/// The rows of the first table of a section, without its head.
fn table(section: &str) -> Vec<Vec<String>> {
    let page = std::fs::read_to_string(repository("docs/observability.md"));
    let page = page.expect("the page is there");
    let (_, rest) = page.split_once(&format!("{section}\n")).expect(section);
    let rows = rest.lines().skip_while(|line| !line.starts_with('|'));
    let rows = rows.take_while(|line| line.starts_with('|')).skip(2);
    let cells = |row: &str| {
        row.trim_matches('|')
            .split('|')
            .map(str::to_owned)
            .collect()
    };
    let rows: Vec<_> = rows.map(cells).collect();
    assert!(!rows.is_empty(), "{section} has no table");
    rows
}

/// What stands between backticks.
fn named(cell: &str) -> Vec<String> {
    let between = cell.split('`').skip(1).step_by(2);
    between.map(str::to_owned).collect()
}
