//! Every entry of the catalogue against what its provider documents: the exact request that the real HTTP client
//! sends over TLS, and what each documented answer is taken for.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod brought;
mod check;
mod facts;
mod page;
mod perform;
mod provider;

use std::collections::BTreeSet;

use evergrant_providers::Catalogue;

use crate::check::{Mistakes, check_answer, check_request, check_requests};
use crate::perform::Bench;

/// Every row of every provider; all that differ are told at once.
#[tokio::test]
async fn every_provider_is_asked_and_understood_as_it_documents() {
    let bench = Bench::start().await;
    let mut mistakes = Mistakes::default();
    for (name, facts) in facts::all() {
        for exchange in &facts.exchange {
            mistakes.of(format!("{name} {}", exchange.grant));
            let asker = bench.asker(&name, exchange);
            for answer in &exchange.answer {
                if let Some(then) = &exchange.then
                    && answer.is_passed_over()
                {
                    for second in &then.answer {
                        bench.provider.answers(&[answer, second]);
                        let outcome = asker.perform(exchange).await;
                        let sent = asker.sent(&bench.provider);
                        check_requests(exchange, then, second, &sent, &mut mistakes);
                        check_answer(second, outcome, &mut mistakes);
                    }
                    continue;
                }
                bench.provider.answers(&[answer]);
                let outcome = asker.perform(exchange).await;
                check_request(exchange, &asker.sent(&bench.provider), &mut mistakes);
                check_answer(answer, outcome, &mut mistakes);
            }
        }
    }
    mistakes.none();
}

#[test]
fn every_entry_has_rows_for_each_grant_type_that_calls_its_provider() {
    let facts = facts::all();
    let mut missing = Vec::new();
    for entry in Catalogue::builtin().iter() {
        let name = entry.name.to_string();
        let rows: BTreeSet<&str> = facts.get(&name).map_or_else(BTreeSet::new, |facts| {
            facts
                .exchange
                .iter()
                .map(|row| row.grant.as_str())
                .collect()
        });
        for grant in perform::grants_that_call(entry) {
            if !rows.contains(grant) {
                missing.push(format!("{name} {grant}"));
            }
        }
    }
    assert!(missing.is_empty(), "no rows: {missing:?}");
    let known: BTreeSet<String> = Catalogue::builtin()
        .iter()
        .map(|entry| entry.name.to_string())
        .collect();
    let foreign: Vec<&String> = facts.keys().filter(|name| !known.contains(*name)).collect();
    assert!(foreign.is_empty(), "rows of no entry: {foreign:?}");
}

/// The behaviours of prior systems that are facts of single providers, each shown by at least one row.
#[test]
fn every_quirk_of_the_prior_systems_has_a_row() {
    let shown: BTreeSet<String> = facts::all()
        .into_values()
        .flat_map(|facts| facts.exchange)
        .flat_map(|row| row.ids)
        .collect();
    let expected = (53..=76)
        .chain([82, 85, 86, 87, 89, 90, 91, 94])
        .map(|n| format!("A{n}"));
    let expected = expected.chain([115, 116, 117].map(|n| format!("C{n}")));
    let missing: Vec<String> = expected.filter(|id| !shown.contains(id)).collect();
    assert!(missing.is_empty(), "no row shows {missing:?}");
}
