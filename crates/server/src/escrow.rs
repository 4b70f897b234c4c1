//! Several escrows as one: a token set is safe as soon as one of them keeps it.

use std::sync::Arc;

use async_trait::async_trait;
use evergrant_core::coordinator::{Escrow, EscrowEntry, Unreachable};
use evergrant_core::ids::{Generation, GrantId};
use futures_util::future::join_all;

pub(crate) mod sealed;

/// Escrows that are asked side by side, e.g. Redis and the local journal.
///
/// Each call asks all of them at once and takes as long as the slowest. Dropping a call may leave some of
/// them asked and others not.
pub struct Escrows(pub Vec<Arc<dyn Escrow>>);

#[async_trait]
impl Escrow for Escrows {
    /// Succeeds if any escrow keeps the entry; without an escrow there is none, and it fails.
    async fn put(&self, entry: &EscrowEntry) -> Result<(), Unreachable> {
        let answers = join_all(self.0.iter().map(|escrow| escrow.put(entry))).await;
        let mut failure = Unreachable {
            service: "escrow",
            message: "none is configured".to_owned(),
        };
        for answer in answers {
            match answer {
                Ok(()) => return Ok(()),
                Err(unreachable) => failure = unreachable,
            }
        }
        Err(failure)
    }

    /// The latest entry that any escrow has: of the latest base, and of that the latest lease. Fails if none has one and some did not answer.
    async fn find(
        &self,
        grant: &GrantId,
        base: Generation,
    ) -> Result<Option<EscrowEntry>, Unreachable> {
        let answers = join_all(self.0.iter().map(|escrow| escrow.find(grant, base))).await;
        let (found, failures) = split(answers);
        let latest = found
            .into_iter()
            .flatten()
            .max_by_key(|entry| (entry.base, entry.epoch));
        match (latest, first(failures)) {
            (Some(entry), _) => Ok(Some(entry)),
            (None, result) => result.map(|()| None),
        }
    }

    /// Removes it everywhere, and fails after that if some did not answer.
    async fn remove(&self, grant: &GrantId, base: Generation) -> Result<(), Unreachable> {
        let answers = join_all(self.0.iter().map(|escrow| escrow.remove(grant, base))).await;
        first(split(answers).1)
    }

    /// What any of them holds from an earlier life. Fails if some did not answer.
    async fn left_behind(&self) -> Result<Vec<EscrowEntry>, Unreachable> {
        let answers = join_all(self.0.iter().map(|escrow| escrow.left_behind())).await;
        let (entries, failures) = split(answers);
        first(failures).map(|()| entries.concat())
    }
}

fn split<T>(answers: Vec<Result<T, Unreachable>>) -> (Vec<T>, Vec<Unreachable>) {
    let mut good = Vec::new();
    let mut bad = Vec::new();
    for answer in answers {
        match answer {
            Ok(answer) => good.push(answer),
            Err(unreachable) => bad.push(unreachable),
        }
    }
    (good, bad)
}

fn first(failures: Vec<Unreachable>) -> Result<(), Unreachable> {
    failures.into_iter().next().map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests;
