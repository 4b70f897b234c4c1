//! Every entry of the catalogue against what its provider documents: where users are sent to, the exact request that
//! the real HTTP client sends over TLS, and what each documented answer is taken for.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod against_the_sandbox;
mod brought;
mod check;
mod facts;
mod page;
mod perform;
mod prior_art;
mod provider;
mod whole;

use evergrant_providers::Catalogue;

use crate::check::{Mistakes, check_answer, check_authorization, check_request, check_requests};
use crate::facts::{Answer, Exchange};
use crate::perform::{Asker, Bench, token_to_ask_about};

/// Every row of every provider; all that differ are told at once.
#[tokio::test]
async fn every_provider_is_asked_and_understood_as_it_documents() {
    let bench = Bench::start().await;
    let mut mistakes = Mistakes::default();
    for (name, facts) in facts::all() {
        for row in &facts.authorize {
            mistakes.of(format!("{name} authorize"));
            let url = bench.asker(&name, &row.given).authorization_url(row);
            check_authorization(row, url, &mut mistakes);
        }
        for exchange in &facts.exchange {
            mistakes.of(format!("{name} {}", exchange.grant));
            let asker = bench.asker(&name, &exchange.given);
            for answer in &exchange.answer {
                let named = facts.named();
                hold(&bench, &asker, exchange, answer, named, &mut mistakes).await;
            }
        }
    }
    mistakes.none();
}

/// One answer, with each answer to the request that follows it, if one does. `named` is what is answered where it is
/// asked whose the tokens are.
async fn hold(
    bench: &Bench,
    asker: &Asker,
    exchange: &Exchange,
    answer: &Answer,
    named: Option<&Answer>,
    mistakes: &mut Mistakes,
) {
    if let Some(then) = &exchange.then
        && answer.is_passed_over()
    {
        for second in &then.answer {
            bench.provider.answers(&[answer, second]);
            let outcome = asker.perform(exchange).await;
            let sent = asker.sent(exchange, &bench.provider);
            check_requests(exchange, then, second, &sent, mistakes);
            check_answer(second, outcome, mistakes);
        }
        return;
    }
    let asked_about = token_to_ask_about();
    let answers: &[&Answer] = match exchange.grant.as_str() {
        "introspect" | "userinfo" => &[&asked_about, answer],
        _ => &[answer],
    };
    let of_consent = ["authorization_code", "device_code"].contains(&exchange.grant.as_str());
    let named = named.filter(|_| of_consent);
    let answers: Vec<&Answer> = answers.iter().copied().chain(named).collect();
    bench.provider.answers(&answers);
    let outcome = asker.perform(exchange).await;
    let sent = asker.sent(exchange, &bench.provider);
    check_request(exchange, &sent, mistakes);
    check_answer(answer, outcome, mistakes);
}

#[test]
fn every_entry_has_a_file_and_every_file_an_entry() {
    let facts = facts::all();
    let catalogue = Catalogue::builtin();
    let entries: Vec<String> = catalogue
        .iter()
        .map(|entry| entry.name.to_string())
        .collect();
    let files: Vec<String> = facts.into_keys().collect();
    assert_eq!(files, entries);
}
