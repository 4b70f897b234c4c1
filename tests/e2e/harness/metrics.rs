//! What `/metrics` says, in the Prometheus text format.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

/// One reading of all series.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics(Vec<Series>);

#[derive(Debug, Clone, PartialEq)]
struct Series {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Metrics {
    /// Reads the text format; comments are skipped.
    pub fn parse(text: &str) -> Result<Self> {
        text.lines()
            .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
            .map(|line| series(line).with_context(|| format!("no series: {line:?}")))
            .collect::<Result<_>>()
            .map(Self)
    }

    /// The sum of the series `name` that bear all of `labels`; 0 if there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let bears = |series: &&Series| {
            series.name == name
                && labels
                    .iter()
                    .all(|(key, value)| series.labels.get(*key).is_some_and(|v| v == value))
        };
        self.0.iter().filter(bears).map(|series| series.value).sum()
    }

    /// The series `name`, each as its labels.
    pub fn labels_of(&self, name: &str) -> Vec<&BTreeMap<String, String>> {
        let of_name = self.0.iter().filter(|series| series.name == name);
        of_name.map(|series| &series.labels).collect()
    }

    /// The names of all series, each once.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.0.iter().map(|series| series.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// `name{label="value",…} number`, perhaps with a time after it.
fn series(line: &str) -> Option<Series> {
    let end = line.find(|c: char| c == '{' || c.is_whitespace())?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (key, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.insert(key.trim().to_owned(), value);
            rest = after.trim_start_matches([',', ' ']);
        }
        rest = &rest[1..];
    }
    Some(Series {
        name: name.to_owned(),
        labels,
        value: rest.split_whitespace().next()?.parse().ok()?,
    })
}

/// The text up to the closing quote, without its escapes, and what follows the quote.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                escaped => escaped,
            }),
            c => value.push(c),
        }
    }
    None
}

#[test]
fn series_are_summed_by_name_and_labels() {
    let metrics = Metrics::parse(concat!(
        "# HELP evergrant_refreshes_total Refreshes.\n",
        "evergrant_refreshes_total{provider=\"acme\",outcome=\"ok\"} 3\n",
        "evergrant_refreshes_total{provider=\"acme\",outcome=\"a \\\"b\\\\, c\"} 2 1700000000\n",
        "\n",
        "evergrant_store_up 1\n",
    ))
    .unwrap();

    assert_eq!(metrics.sum("evergrant_refreshes_total", &[]), 5.0);
    assert_eq!(
        metrics.sum("evergrant_refreshes_total", &[("outcome", "ok")]),
        3.0
    );
    assert_eq!(
        metrics.sum(
            "evergrant_refreshes_total",
            &[("outcome", "a \"b\\, c"), ("provider", "acme")]
        ),
        2.0
    );
    assert_eq!(
        metrics.names(),
        ["evergrant_refreshes_total", "evergrant_store_up"]
    );
    assert_eq!(metrics.sum("evergrant_refreshes", &[]), 0.0);
    assert!(Metrics::parse("<html>").is_err());
}
