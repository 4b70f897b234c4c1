//! An escrow entry as sealed bytes, the same in Redis and in the journal.

use std::collections::BTreeMap;

use evergrant_core::clock::Timestamp;
use evergrant_core::coordinator::EscrowEntry;
use evergrant_core::grant::{Means, TokenSet};
use evergrant_core::ids::{Epoch, Generation, GrantId};
use evergrant_core::secret::{AccessToken, RefreshToken};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::seal::{OpenError, Place, Sealer};

/// Seals `entry` for the place `column`, its grant and its base.
pub(crate) fn seal(sealer: &Sealer, column: &'static str, entry: &EscrowEntry) -> Vec<u8> {
    let mut plaintext = Zeroizing::new(Vec::with_capacity(room_for(&entry.tokens)));
    serde_json::to_writer(&mut *plaintext, &Written::of(entry))
        .expect("a vector takes every byte, and every map has text keys");
    sealer.seal(place(column, &entry.grant, entry.base), &plaintext)
}

/// Opens what [`seal`] made of the entry of this column, grant and base.
pub(crate) fn open(
    sealer: &Sealer,
    column: &'static str,
    grant: &GrantId,
    base: Generation,
    sealed: &[u8],
) -> Result<EscrowEntry, OpenError> {
    let plaintext = sealer.open(place(column, grant, base), sealed)?;
    let read: Read = serde_json::from_slice(&plaintext).map_err(|_| OpenError::Broken(column))?;
    Ok(read.into_entry(grant.clone(), base))
}

fn place<'a>(column: &'static str, grant: &'a GrantId, base: Generation) -> Place<'a> {
    Place {
        column,
        row: grant.as_str(),
        generation: base.0,
    }
}

/// Enough room that the buffer is not moved, which would leave a copy of the tokens behind.
fn room_for(tokens: &TokenSet) -> usize {
    let secrets = tokens.access_token.expose().len()
        + (tokens.refresh_token.as_ref()).map_or(0, |token| token.expose().len());
    let rest: usize = tokens.scopes.iter().map(String::len).sum::<usize>()
        + (tokens.metadata.iter())
            .map(|(name, value)| name.len() + value.len())
            .sum::<usize>();
    1024 + 2 * (secrets + rest) + 8 * (tokens.scopes.len() + tokens.metadata.len())
}

/// The entry as it is written; grant and base are part of the place.
#[derive(Serialize)]
struct Written<'a> {
    epoch: u64,
    access_token: &'a str,
    token_type: &'a str,
    expires_at: Option<i64>,
    refresh_token: Option<&'a str>,
    refresh_expires_at: Option<i64>,
    scopes: &'a [String],
    metadata: &'a BTreeMap<String, String>,
    issued_at: i64,
}

impl<'a> Written<'a> {
    fn of(entry: &'a EscrowEntry) -> Self {
        let EscrowEntry {
            grant: _,
            base: _,
            epoch,
            tokens:
                TokenSet {
                    access_token,
                    token_type,
                    expires_at,
                    refresh_token,
                    refresh_expires_at,
                    scopes,
                    metadata,
                    // A token that can be minted again is not put in escrow.
                    means: _,
                    minted_by: _,
                },
            issued_at,
        } = entry;
        Self {
            epoch: epoch.0,
            access_token: access_token.expose(),
            token_type,
            expires_at: expires_at.map(Timestamp::as_millis),
            refresh_token: refresh_token.as_ref().map(RefreshToken::expose),
            refresh_expires_at: refresh_expires_at.map(Timestamp::as_millis),
            scopes,
            metadata,
            issued_at: issued_at.as_millis(),
        }
    }
}

#[derive(Deserialize)]
struct Read {
    epoch: u64,
    access_token: String,
    token_type: String,
    expires_at: Option<i64>,
    refresh_token: Option<String>,
    refresh_expires_at: Option<i64>,
    scopes: Vec<String>,
    metadata: BTreeMap<String, String>,
    issued_at: i64,
}

impl Read {
    fn into_entry(self, grant: GrantId, base: Generation) -> EscrowEntry {
        EscrowEntry {
            grant,
            base,
            epoch: Epoch(self.epoch),
            tokens: TokenSet {
                access_token: AccessToken::new(self.access_token),
                token_type: self.token_type,
                expires_at: self.expires_at.map(Timestamp::from_millis),
                refresh_token: self.refresh_token.map(RefreshToken::new),
                refresh_expires_at: self.refresh_expires_at.map(Timestamp::from_millis),
                scopes: self.scopes,
                metadata: self.metadata,
                means: Means::default(),
                minted_by: None,
            },
            issued_at: Timestamp::from_millis(self.issued_at),
        }
    }
}

#[cfg(test)]
mod tests {
    use evergrant_core::testing::coordinator_contract::entry;

    use super::*;
    use crate::seal::SealingKey;

    fn sealer() -> Sealer {
        Sealer::new(
            "k1",
            BTreeMap::from([("k1".into(), SealingKey::generate())]),
        )
        .unwrap()
    }

    #[test]
    fn a_sealed_entry_opens_whole_and_only_as_what_it_was_sealed_for() {
        let (sealer, entry) = (sealer(), entry(&GrantId::random(), 7));
        let other = GrantId::random();
        let sealed = seal(&sealer, "a", &entry);
        let open = |column, grant, base| open(&sealer, column, grant, base, &sealed);

        assert_eq!(open("a", &entry.grant, entry.base), Ok(entry.clone()));
        assert!(open("b", &entry.grant, entry.base).is_err());
        assert!(open("a", &other, entry.base).is_err());
        assert!(open("a", &entry.grant, Generation(8)).is_err());
    }

    // Replicas of two versions share what lies in Redis.
    #[test]
    fn a_field_that_a_later_version_adds_does_no_harm() {
        let (sealer, entry) = (sealer(), entry(&GrantId::random(), 7));
        let mut written = serde_json::to_value(Written::of(&entry)).unwrap();
        written["later"] = serde_json::json!({"more": true});
        let place = place("a", &entry.grant, entry.base);
        let sealed = sealer.seal(place, written.to_string().as_bytes());
        let opened = open(&sealer, "a", &entry.grant, entry.base, &sealed);
        assert_eq!(opened, Ok(entry));
    }

    #[test]
    fn the_buffer_of_the_plaintext_is_never_moved() {
        let mut entry = entry(&GrantId::random(), 7);
        entry.tokens.access_token = AccessToken::new("\"".repeat(9_000));
        entry.tokens.scopes = vec!["\\".repeat(100); 100];
        let written = serde_json::to_vec(&Written::of(&entry)).unwrap();
        assert!(written.len() <= room_for(&entry.tokens));
    }
}
