//! The behaviours of prior systems about which providers have a say, each with its row or its test.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::facts;

/// The test that this table is.
const TABLE: &str = "crates/providers/tests/conformance/main.rs::every_provider_is_asked_and_understood_as_it_documents";

/// Requests and answers of providers, four of subscriptions, and tokens of apps.
fn ids() -> impl Iterator<Item = String> {
    let ranges = [("A", 53..=95), ("C", 115..=118), ("D", 1..=12)];
    let named = |(letter, numbers): (&'static str, std::ops::RangeInclusive<u16>)| {
        numbers.map(move |number| format!("{letter}{number}"))
    };
    ranges.into_iter().flat_map(named)
}

/// A behaviour that `docs/prior-art.md` says this table shows stands on a row of it; each of the others has a test of its
/// own there, and another check holds that those tests are there.
#[test]
fn every_behaviour_of_the_prior_systems_has_a_row_or_a_test() {
    let shown = shown();
    let tests = tests_by_id(&list());
    let mut missing = Vec::new();
    for id in ids() {
        let Some(tests) = tests.get(&id).filter(|tests| !tests.is_empty()) else {
            missing.push(format!("{id}: docs/prior-art.md names no test"));
            continue;
        };
        if tests.contains(TABLE) && !shown.contains(&id) {
            missing.push(format!(
                "{id}: docs/prior-art.md names this table, and no row shows it"
            ));
        }
    }
    assert!(missing.is_empty(), "\n{}", missing.join("\n"));
}

#[test]
fn what_rows_show_is_listed_as_shown_by_this_table() {
    let tests = tests_by_id(&list());
    let listed = |id: &String| tests.get(id).is_some_and(|tests| tests.contains(TABLE));
    let unlisted: Vec<String> = shown().into_iter().filter(|id| !listed(id)).collect();
    assert!(unlisted.is_empty(), "{unlisted:?}");
}

#[test]
fn ids_stand_alone_in_lists_and_in_ranges() {
    let list = "| Id | What is asked | Ours |\n|---|---|---|\n\
        | A1, A3 to A5 | a claim | `a.rs::one`<br>`b.rs::two` |\n| D9 | another | does not apply |\n";
    let tests = tests_by_id(list);
    let ids: Vec<&str> = tests.keys().map(String::as_str).collect();
    assert_eq!(ids, ["A1", "A3", "A4", "A5", "D9"]);
    let both = BTreeSet::from(["a.rs::one".to_owned(), "b.rs::two".to_owned()]);
    assert_eq!(tests["A4"], both);
    assert!(tests["D9"].is_empty());
}

/// What rows say that they show.
fn shown() -> BTreeSet<String> {
    let rows = facts::all().into_values();
    rows.flat_map(|facts| {
        let authorize = facts.authorize.into_iter().flat_map(|row| row.ids);
        let exchange = facts.exchange.into_iter().flat_map(|row| row.ids);
        authorize.chain(exchange).collect::<Vec<_>>()
    })
    .collect()
}

fn list() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/prior-art.md");
    std::fs::read_to_string(path).unwrap()
}

/// The tests of each line of the list, by the ids that the line is about.
fn tests_by_id(list: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut by_id = BTreeMap::new();
    for line in list.lines() {
        let Some((ids, rest)) = line
            .strip_prefix("| ")
            .and_then(|line| line.split_once(" | "))
        else {
            continue;
        };
        let quoted = rest.split('`').skip(1).step_by(2);
        let tests: BTreeSet<String> = quoted
            .filter(|text| text.contains(".rs::"))
            .map(str::to_owned)
            .collect();
        for id in ids.split(", ").flat_map(expanded) {
            by_id.insert(id, tests.clone());
        }
    }
    by_id
}

/// `A3 to A5` is three ids. What is no id is none.
fn expanded(ids: &str) -> Vec<String> {
    let (first, last) = ids.split_once(" to ").unwrap_or((ids, ids));
    let numbered = |id: &str| Some((id.get(..1)?.to_owned(), id.get(1..)?.parse::<u16>().ok()?));
    match (numbered(first), numbered(last)) {
        (Some((letter, first)), Some((_, last))) => (first..=last)
            .map(|number| format!("{letter}{number}"))
            .collect(),
        _ => Vec::new(),
    }
}
