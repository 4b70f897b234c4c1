//! Token sets at rest: the secret part sealed in one column, the rest in columns of its own.

use std::collections::BTreeMap;

use evergrant_core::grant::TokenSet;
use evergrant_core::ids::{Generation, GrantId};
use evergrant_core::secret::{AccessToken, RefreshToken};
use evergrant_core::store::StoreError;
use sea_orm::{ConnectionTrait as _, DatabaseConnection};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::database::Database;
use super::grants::get;
use super::row;
use super::sealed::{GRANT_TOKENS, ORPHAN_TOKENS, SealedColumn};
use super::sql::Sql;
use crate::seal::{OpenError, Sealer};

#[derive(Serialize)]
struct Secrets<'a> {
    access_token: &'a str,
    refresh_token: Option<&'a str>,
    token_type: &'a str,
    metadata: &'a BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct OpenSecrets {
    access_token: String,
    refresh_token: Option<String>,
    token_type: String,
    metadata: BTreeMap<String, String>,
}

/// Seals the secret part of `tokens` for the row of `grant`.
pub(super) fn seal(
    sealer: &Sealer,
    grant: &GrantId,
    generation: Generation,
    tokens: &TokenSet,
) -> Vec<u8> {
    seal_for(sealer, &GRANT_TOKENS, grant, generation, tokens)
}

/// Seals a token set that came too late, with all that is known of it.
pub(super) fn seal_orphan(
    sealer: &Sealer,
    grant: &GrantId,
    base: Generation,
    tokens: &TokenSet,
) -> Vec<u8> {
    seal_for(sealer, &ORPHAN_TOKENS, grant, base, tokens)
}

fn seal_for(
    sealer: &Sealer,
    column: &SealedColumn,
    grant: &GrantId,
    generation: Generation,
    tokens: &TokenSet,
) -> Vec<u8> {
    let secrets = Secrets {
        access_token: tokens.access_token.expose(),
        refresh_token: tokens.refresh_token.as_ref().map(RefreshToken::expose),
        token_type: &tokens.token_type,
        metadata: &tokens.metadata,
    };
    let metadata = tokens.metadata.iter();
    let size = secrets.access_token.len()
        + secrets.refresh_token.map_or(0, str::len)
        + metadata
            .map(|(name, value)| name.len() + value.len() + 8)
            .sum::<usize>();
    // With room for escapes, so that it rarely grows: what it grows out of is not wiped.
    let mut plain = Zeroizing::new(Vec::with_capacity(2 * size + 256));
    serde_json::to_writer(&mut *plain, &secrets).expect("strings and maps of strings are JSON");
    sealer.seal(column.place(grant.as_str(), generation.0), &plain)
}

/// Opens what [`seal`] made for the same row and generation.
///
/// The fields that stand in columns of their own are given by the caller.
pub(super) fn open(
    sealer: &Sealer,
    facts: &evergrant_core::grant::GrantFacts,
    sealed: &[u8],
) -> Result<TokenSet, StoreError> {
    let place = GRANT_TOKENS.place(facts.id.as_str(), facts.generation.0);
    let plain = sealer.open(place, sealed).map_err(open_error)?;
    // The parser's own words could repeat a part of a secret.
    let secrets: OpenSecrets = serde_json::from_slice(&plain)
        .map_err(|_| row::corrupt(format!("the token set of grant {}", facts.id)))?;
    Ok(TokenSet {
        access_token: AccessToken::new(secrets.access_token),
        token_type: secrets.token_type,
        expires_at: facts.expires_at,
        refresh_token: secrets.refresh_token.map(RefreshToken::new),
        refresh_expires_at: facts.refresh_expires_at,
        scopes: facts.scopes.clone(),
        metadata: secrets.metadata,
    })
}

/// Id of a key that sealed something in an SQLite database, whose schema need not be there yet.
pub(super) async fn sealed_by(database: &Database) -> Result<Option<String>, StoreError> {
    let one = |text: &'static str| {
        let query = Sql::text(text).build(database.backend());
        let read = move |reader: DatabaseConnection| {
            let query = query.clone();
            async move { reader.query_one_raw(query).await }
        };
        database.read(read)
    };
    let schema = "SELECT name FROM sqlite_master WHERE name = 'event_log'";
    if one(schema).await?.is_none() {
        return Ok(None);
    }
    if let Some(row) = one("SELECT cursor_key FROM event_log").await? {
        let sealed: Vec<u8> = get(&row, "cursor_key")?;
        return Ok(Sealer::key_of(&sealed).map(str::to_owned));
    }
    let grant = one("SELECT key_id FROM grants LIMIT 1").await?;
    grant.map(|row| get(&row, "key_id")).transpose()
}

fn open_error(error: OpenError) -> StoreError {
    match error {
        OpenError::UnknownKey(id) => StoreError::KeyUnavailable(id),
        OpenError::Broken(column) => row::corrupt(format!("a sealed value of {column}")),
    }
}
