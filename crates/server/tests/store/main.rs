//! The contract of the store port, and what a database adds to it, on SQLite and on Postgres.

#![expect(clippy::unwrap_used, reason = "all of this is tests")]

mod ageing;
mod at_rest;
mod audit;
mod authorizations;
mod harness;
mod kills;
mod opening;
mod outage;
mod probing;
mod restored;
mod rotation;
mod sealed;
#[path = "../support/postgres.rs"]
mod server;

mod sqlite {
    use crate::harness::Harness;

    evergrant_core::store_contract_tests!(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        Harness::sqlite()
    );
}

mod postgres {
    use crate::harness::Harness;

    evergrant_core::store_contract_tests!(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        Harness::postgres()
    );
}

// Without a pooler, which only takes away: each piece of work is a transaction of its own.
mod behind_a_pooler {
    use crate::harness::Harness;

    evergrant_core::store_contract_tests!(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        Harness::behind_a_pooler()
    );
}
