//! Which sealing keys the escrow in Redis still needs.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use evergrant_core::coordinator::Unreachable;
use fred::interfaces::{ClientLike, KeysInterface};
use fred::prelude::Client;
use fred::types::{ClusterHash, CustomCommand};
use thiserror::Error;
use tokio::time::timeout;

use super::escrow::split;
use super::link::{CONNECTION_TIMEOUT, Link, unreachable};
use super::{BadRedisUrl, ESCROW};
use crate::seal::Sealer;

/// Redis looks at about so many keys between two answers.
const PAGE: &str = "1000";

/// A base, a colon, and the head of a sealed value with the longest id.
const LONGEST_HEAD: usize = 127;

/// Why the escrow cannot be counted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SurveyError {
    /// The URL names no Redis server.
    #[error(transparent)]
    Url(#[from] BadRedisUrl),
    /// Redis does not answer.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
}

/// How many escrow entries below `prefix` each key sealed, by its id. Reads the heads of the entries alone, over a
/// connection of its own; an entry that comes or goes meanwhile may be missed.
pub async fn escrow_key_use(url: &str, prefix: &str) -> Result<BTreeMap<String, u64>, SurveyError> {
    let client = Link::new(url)?.commands;
    let connected = timeout(CONNECTION_TIMEOUT, client.init()).await;
    connected
        .map_err(|_| unreachable("no connection in time"))?
        .map_err(unreachable)?;
    let counted = count(&client, prefix).await;
    // Nothing depends on the farewell.
    let _ = timeout(CONNECTION_TIMEOUT, client.quit()).await;
    Ok(counted?)
}

async fn count(client: &Client, prefix: &str) -> Result<BTreeMap<String, u64>, Unreachable> {
    let mut keys = BTreeMap::new();
    for entry in entries(client, prefix).await? {
        let head: Option<Bytes> = client
            .getrange(entry, 0, LONGEST_HEAD)
            .await
            .map_err(unreachable)?;
        let head = head.unwrap_or_default();
        if let Some(id) = split(&head).and_then(|(_, sealed)| Sealer::key_of(sealed)) {
            *keys.entry(id.to_owned()).or_default() += 1;
        }
    }
    Ok(keys)
}

/// SCAN may name a key twice, and names every key that is there from beginning to end.
async fn entries(client: &Client, prefix: &str) -> Result<BTreeSet<String>, Unreachable> {
    let scan = CustomCommand::new_static("SCAN", ClusterHash::FirstKey, false);
    let pattern = format!("{prefix}:{ESCROW}:*");
    let mut found = BTreeSet::new();
    let mut cursor = "0".to_owned();
    loop {
        let page = [cursor.as_str(), "MATCH", &pattern, "COUNT", PAGE];
        let page = page.map(str::to_owned).to_vec();
        let names: Vec<String>;
        (cursor, names) = client
            .custom(scan.clone(), page)
            .await
            .map_err(unreachable)?;
        found.extend(names);
        if cursor == "0" {
            return Ok(found);
        }
    }
}
