//! Token sets at rest: the secret part sealed in one column, the rest in columns of its own.

use std::collections::BTreeMap;

use evergrant_core::clock::Timestamp;
use evergrant_core::grant::{GrantFacts, Means, TokenSet};
use evergrant_core::ids::{Generation, GrantId};
use evergrant_core::minted::{Fingerprint, MintedBy};
use evergrant_core::secret::{AccessToken, Parameter, RefreshToken, SigningKey};
use evergrant_core::store::StoreError;
use sea_orm::ConnectionTrait as _;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::database::Database;
use super::grants::get;
use super::row;
use super::sealed::{GRANT_TOKENS, ORPHAN_TOKENS, SealedColumn};
use super::session::Session;
use super::sql::Sql;
use crate::seal::{OpenError, Sealer};

#[derive(Serialize)]
struct Secrets<'a> {
    access_token: &'a str,
    refresh_token: Option<&'a str>,
    token_type: &'a str,
    metadata: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    means: Option<SecretMeans<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    minted_by: Option<SealedMintedBy>,
}

/// Sealed like what it is a digest of, since the secret in it may be short enough to be guessed.
#[derive(Serialize, Deserialize)]
struct SealedMintedBy {
    sha256: [u8; 32],
    since: i64,
}

impl SealedMintedBy {
    fn of(minted_by: &MintedBy) -> Self {
        Self {
            sha256: *minted_by.fingerprint.expose(),
            since: minted_by.since.as_millis(),
        }
    }

    fn open(self) -> MintedBy {
        MintedBy {
            fingerprint: Fingerprint::new(self.sha256),
            since: Timestamp::from_millis(self.since),
        }
    }
}

#[derive(Serialize)]
struct SecretMeans<'a> {
    parameters: BTreeMap<&'a str, &'a str>,
    signing_key: Option<&'a str>,
}

impl<'a> SecretMeans<'a> {
    /// `None` if there is nothing secret in `means`.
    fn of(means: &'a Means) -> Option<Self> {
        // The scopes stand in a column, and a subject's token is for one call.
        let Means {
            parameters,
            signing_key,
            scopes: _,
            subject_token: _,
        } = means;
        if parameters.is_empty() && signing_key.is_none() {
            return None;
        }
        let parameters = parameters.iter();
        Some(Self {
            parameters: parameters
                .map(|(name, value)| (name.as_str(), value.expose()))
                .collect(),
            signing_key: signing_key.as_ref().map(SigningKey::expose),
        })
    }

    fn size(&self) -> usize {
        let parameters = self.parameters.iter();
        self.signing_key.map_or(0, str::len)
            + parameters
                .map(|(name, value)| name.len() + value.len() + 8)
                .sum::<usize>()
    }
}

#[derive(Deserialize)]
struct OpenSecrets {
    access_token: String,
    refresh_token: Option<String>,
    token_type: String,
    metadata: BTreeMap<String, String>,
    #[serde(default)]
    means: OpenMeans,
    #[serde(default)]
    minted_by: Option<SealedMintedBy>,
}

#[derive(Deserialize, Default)]
struct OpenMeans {
    parameters: BTreeMap<String, String>,
    signing_key: Option<String>,
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

/// Seals the secret part of a token set that came too late.
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
        means: SecretMeans::of(&tokens.means),
        minted_by: tokens.minted_by.as_ref().map(SealedMintedBy::of),
    };
    let metadata = tokens.metadata.iter();
    let size = secrets.access_token.len()
        + secrets.refresh_token.map_or(0, str::len)
        + secrets.means.as_ref().map_or(0, SecretMeans::size)
        + metadata
            .map(|(name, value)| name.len() + value.len() + 8)
            .sum::<usize>();
    // With room for escapes, so that it rarely grows: what it grows out of is not wiped.
    let mut plain = Zeroizing::new(Vec::with_capacity(2 * size + 512));
    serde_json::to_writer(&mut *plain, &secrets).expect("strings and maps of strings are JSON");
    sealer.seal(column.place(grant.as_str(), generation.0), &plain)
}

/// Opens what [`seal`] made for the same row and generation.
///
/// The fields that stand in columns of their own are given by the caller.
pub(super) fn open(
    sealer: &Sealer,
    facts: &GrantFacts,
    sealed: &[u8],
) -> Result<TokenSet, StoreError> {
    open_for(sealer, &GRANT_TOKENS, facts, sealed)
}

/// Opens what [`seal_orphan`] made for a grant of this generation. What was not sealed is the grant's own.
pub(super) fn open_orphan(
    sealer: &Sealer,
    facts: &GrantFacts,
    sealed: &[u8],
) -> Result<TokenSet, StoreError> {
    open_for(sealer, &ORPHAN_TOKENS, facts, sealed)
}

fn open_for(
    sealer: &Sealer,
    column: &SealedColumn,
    facts: &GrantFacts,
    sealed: &[u8],
) -> Result<TokenSet, StoreError> {
    let place = column.place(facts.id.as_str(), facts.generation.0);
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
        means: Means {
            parameters: (secrets.means.parameters.into_iter())
                .map(|(name, value)| (name, Parameter::new(value)))
                .collect(),
            signing_key: secrets.means.signing_key.map(SigningKey::new),
            scopes: facts.requested_scopes.clone(),
            subject_token: None,
        },
        minted_by: secrets.minted_by.map(SealedMintedBy::open),
    })
}

/// Id of a key that sealed something in an SQLite database, whose schema need not be there yet.
pub(super) async fn sealed_by(database: &Database) -> Result<Option<String>, StoreError> {
    let one = |text: &'static str| {
        let query = Sql::text(text).build(database.backend());
        let read = move |reader: Session| {
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

#[cfg(test)]
mod tests {
    use super::*;

    // Replicas of two versions share the rows.
    #[test]
    fn a_field_that_a_later_version_adds_does_no_harm() {
        let text = r#"{"access_token":"a","refresh_token":null,"token_type":"Bearer","metadata":{},
            "means":{"parameters":{},"signing_key":null,"later":1},"later":{"more":true}}"#;
        let read: OpenSecrets = serde_json::from_str(text).unwrap();
        assert_eq!(read.access_token, "a");
        assert!(
            read.minted_by.is_none(),
            "nor does one that an earlier one had not"
        );
    }
}
