//! Sealing a whole store anew, beside replicas that serve.
//!
//! What is left to do stands in the store itself, so a rotation that was stopped, or that another one runs beside, is
//! resumed by running it again.

use std::collections::BTreeMap;
use std::time::Duration;

use evergrant_core::store::StoreError;
use tokio_util::sync::CancellationToken;

use crate::seal::Sealer;
use crate::store::{KeyUse, SealedStore, Stretch};

/// Rows that were busy are looked at again so often at most. Another look finds few, unless a replica still seals with
/// an old key.
const PASSES: u32 = 5;

/// How fast to go, and whether to write.
#[derive(Debug, Clone)]
pub struct Pace {
    /// How many values one statement seals anew.
    pub batch: u32,
    /// How long to leave the database alone between two of them.
    pub pause: Duration,
    /// Write nothing, and only find out whether every value opens.
    pub dry_run: bool,
}

/// How far one key of one column is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// `table.column`.
    pub column: &'static str,
    /// The key that is being replaced.
    pub key: String,
    /// How many values were looked at.
    pub done: u64,
    /// How many there were when it began.
    pub of: u64,
}

/// How a rotation ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rotated {
    /// Values that were sealed anew, or would have been.
    pub resealed: u64,
    /// Values by the id of their key, which is not in the ring.
    pub unknown: BTreeMap<String, u64>,
    /// Values by the id of their key, which is in the ring and does not open them.
    pub broken: BTreeMap<String, u64>,
    /// Values by the id of another key than the active one, which opens them: they were busy, or a replica that seals
    /// with that key wrote them meanwhile.
    pub left: BTreeMap<String, u64>,
    /// It was stopped before its end.
    pub stopped: bool,
}

/// Seals anew with the active key of `sealer` whatever another of its keys sealed, and tells `progress` after each batch.
/// A batch that was begun when `stop` is cancelled is finished.
pub async fn rotate(
    store: &SealedStore,
    sealer: &Sealer,
    pace: &Pace,
    stop: &CancellationToken,
    mut progress: impl FnMut(&Progress),
) -> Result<Rotated, StoreError> {
    let mut rotated = Rotated::default();
    for _ in 0..PASSES {
        let Tally { unknown, others } = tally(store, sealer).await?;
        rotated.unknown = unknown;
        rotated.broken = BTreeMap::new();
        for found in &others {
            if !replace(
                store,
                sealer,
                pace,
                found,
                stop,
                &mut rotated,
                &mut progress,
            )
            .await?
            {
                rotated.stopped = true;
                break;
            }
        }
        if pace.dry_run {
            return Ok(rotated);
        }
        rotated.left = left(tally(store, sealer).await?.others, &rotated.broken);
        if rotated.stopped || rotated.left.is_empty() {
            break;
        }
        if stop
            .run_until_cancelled(tokio::time::sleep(pace.pause))
            .await
            .is_none()
        {
            rotated.stopped = true;
            break;
        }
    }
    Ok(rotated)
}

/// What other keys than the active one sealed.
struct Tally {
    unknown: BTreeMap<String, u64>,
    others: Vec<KeyUse>,
}

async fn tally(store: &SealedStore, sealer: &Sealer) -> Result<Tally, StoreError> {
    let found = store.key_use().await?.into_iter();
    let (others, strangers): (Vec<_>, Vec<_>) = found
        .filter(|found| found.key != sealer.active_key())
        .partition(|found| sealer.opens(&found.key));
    let mut unknown = BTreeMap::new();
    for stranger in strangers {
        *unknown.entry(stranger.key).or_default() += stranger.values;
    }
    Ok(Tally { unknown, others })
}

fn left(others: Vec<KeyUse>, broken: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let mut left: BTreeMap<String, u64> = BTreeMap::new();
    for found in others {
        *left.entry(found.key).or_default() += found.values;
    }
    for (key, values) in &mut left {
        *values = values.saturating_sub(broken.get(key).copied().unwrap_or(0));
    }
    left.retain(|_, values| *values > 0);
    left
}

/// Goes through one key of one column. `false` if it was stopped.
async fn replace(
    store: &SealedStore,
    sealer: &Sealer,
    pace: &Pace,
    found: &KeyUse,
    stop: &CancellationToken,
    rotated: &mut Rotated,
    progress: &mut impl FnMut(&Progress),
) -> Result<bool, StoreError> {
    let mut told = Progress {
        column: found.column,
        key: found.key.clone(),
        done: 0,
        of: found.values,
    };
    let mut stretch = Stretch {
        column: found.column,
        key: found.key.clone(),
        after: String::new(),
    };
    loop {
        if stop.is_cancelled() {
            return Ok(false);
        }
        let batch = store
            .reseal(sealer, &stretch, pace.batch, !pace.dry_run)
            .await?;
        rotated.resealed += batch.resealed;
        if batch.broken > 0 {
            *rotated.broken.entry(found.key.clone()).or_default() += batch.broken;
        }
        told.done += batch.resealed + batch.missed + batch.broken;
        progress(&told);
        let Some(rest) = batch.rest else {
            return Ok(true);
        };
        stretch = rest;
        // Stopped or not is asked at the beginning of the next batch.
        let _ = stop
            .run_until_cancelled(tokio::time::sleep(pace.pause))
            .await;
    }
}
