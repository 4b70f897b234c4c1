//! Every documented answer to a code, brought by somebody who got it: it is worth what it is worth to the exchange.

use crate::check::{Mistakes, stated};
use crate::facts::{self, Answer, Exchange, Issued};
use crate::perform::{Bench, Brought};

#[tokio::test]
async fn an_answer_that_is_brought_is_read_as_the_exchange_reads_it() {
    let bench = Bench::start().await;
    let mut mistakes = Mistakes::default();
    let mut read = 0;
    for (name, facts) in facts::all() {
        for row in facts.exchange.iter().filter(|row| is_of_a_user(row)) {
            mistakes.of(format!("{name} {}", row.grant));
            let asker = bench.asker(&name, &row.given);
            for answers in successes(row) {
                let [.., answer] = answers.as_slice() else {
                    continue;
                };
                let named = facts.named();
                let all: Vec<&Answer> = answers.iter().copied().chain(named).collect();
                bench.provider.answers(&all);
                let exchanged = asker.perform(row).await;
                let exchanged = exchanged.map(kept).map_err(|error| error.to_string());
                // Storing what is brought asks nobody.
                let exchanged = exchanged.map(|it| match named {
                    Some(_) => Issued {
                        account: None,
                        ..it
                    },
                    None => it,
                });
                let brought = asker.bring(row, answer);
                let brought = brought.map(kept).map_err(|error| error.to_string());
                let brought = match (&exchanged, brought) {
                    (Ok(whole), Ok(brought)) if answers.len() > 1 => Ok(beside(brought, whole)),
                    (_, brought) => brought,
                };
                let what = format!("brought {}", answer.body().1);
                mistakes.equal(&what, &brought, &exchanged);
                read += 1;
            }
            let refusals = row.answers().filter(|answer| !answer.is_success());
            for answer in refusals.filter(|answer| !answer.is_passed_over()) {
                if asker.bring(row, answer).is_ok() {
                    mistakes.note(format!("tokens in {}", answer.body().1));
                }
            }
        }
    }
    mistakes.none();
    assert!(read > 35, "only {read} answers were read");
}

fn is_of_a_user(row: &Exchange) -> bool {
    ["authorization_code", "device_code"].contains(&row.grant.as_str())
}

/// The answers that bring tokens, each with the one before it where it takes two requests.
fn successes(row: &Exchange) -> Vec<Vec<&Answer>> {
    let brings = |answer: &&Answer| answer.issued.is_some();
    let single = row.answer.iter().filter(brings).map(|only| vec![only]);
    let firsts = row.answer.iter().filter(|answer| answer.is_passed_over());
    let seconds = row.then.iter().flat_map(|then| &then.answer);
    let seconds: Vec<&Answer> = seconds.filter(brings).collect();
    let pairs = firsts.flat_map(|first| seconds.iter().map(move |second| vec![first, *second]));
    single.chain(pairs).collect()
}

/// What is stored of it: nothing ends that is not there.
fn kept(brought: Brought) -> Issued {
    let Brought::Tokens { issued, account } = brought else {
        panic!("a row of a user's grant brings something else");
    };
    let mut issued = stated(issued, account);
    issued.refresh_expires_in = issued
        .refresh_expires_in
        .filter(|_| issued.refresh_token.is_some());
    issued
}

/// What the second of two answers says, beside what only the first could say.
fn beside(second: Issued, whole: &Issued) -> Issued {
    let mut metadata = whole.metadata.clone();
    metadata.extend(second.metadata);
    Issued {
        refresh_token: second.refresh_token.or_else(|| whole.refresh_token.clone()),
        scopes: second.scopes.or_else(|| whole.scopes.clone()),
        account: second.account.or_else(|| whole.account.clone()),
        metadata,
        ..second
    }
}
