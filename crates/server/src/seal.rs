//! Sealing of every secret that leaves memory: AES-256-GCM, with the key's id beside each value.
//!
//! A sealed value is `version (1) ‖ key id length (1) ‖ key id ‖ nonce (12) ‖ ciphertext ‖ tag (16)`. What it is and
//! where it belongs ([`Place`]) is authenticated, so a value that was moved to another row, column or generation
//! does not open. Nonces are random: a key is good for 2³² values (NIST SP 800-38D section 8.3).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use thiserror::Error;
use zeroize::Zeroizing;

const VERSION: u8 = 1;
const NONCE_BYTES: usize = 12;

/// Length of a sealing key.
pub const KEY_BYTES: usize = 32;

/// A sealing key: 32 random bytes, never shown.
pub struct SealingKey(Zeroizing<[u8; KEY_BYTES]>);

impl SealingKey {
    /// Takes the key's bytes.
    pub fn new(bytes: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        Self(bytes)
    }

    /// A new random key.
    pub fn generate() -> Self {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        aws_lc_rs::rand::fill(bytes.as_mut()).expect("the system's random source works");
        Self(bytes)
    }

    /// The key's bytes, to be written to a key file.
    pub fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey([redacted])")
    }
}

/// Where a sealed value belongs. It opens nowhere else.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Table and column, or the kind of record, e.g. `grants.tokens`.
    pub column: &'static str,
    /// The row, e.g. a grant id.
    pub row: &'a str,
    /// The generation that the value is of; 0 where there are no generations.
    pub generation: u64,
}

/// Why a sealed value did not open.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpenError {
    /// The key that sealed it is not configured.
    #[error("sealing key {0} is not configured")]
    UnknownKey(String),
    /// It is no sealed value, was altered, or was sealed for another place.
    #[error("a sealed value does not open as {0}")]
    Broken(&'static str),
}

/// A key ring is unusable.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyRingError {
    /// The active key is not among the keys.
    #[error("the active key {0} is not configured")]
    NoActiveKey(String),
    /// A key id does not fit its length byte.
    #[error("key id {0:?} must have 1 to 64 characters")]
    BadKeyId(String),
}

/// Seals with the active key and opens with any. Cheap to clone.
#[derive(Clone)]
pub struct Sealer {
    active: Arc<str>,
    keys: Arc<BTreeMap<String, RandomizedNonceKey>>,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer")
            .field("active", &self.active)
            .finish_non_exhaustive()
    }
}

impl Sealer {
    /// A sealer that seals with the key `active`.
    pub fn new(active: &str, keys: BTreeMap<String, SealingKey>) -> Result<Self, KeyRingError> {
        if let Some(id) = keys.keys().find(|id| id.is_empty() || id.len() > 64) {
            return Err(KeyRingError::BadKeyId(id.clone()));
        }
        if !keys.contains_key(active) {
            return Err(KeyRingError::NoActiveKey(active.to_owned()));
        }
        let keys = keys
            .into_iter()
            .map(|(id, key)| {
                let key = RandomizedNonceKey::new(&AES_256_GCM, key.expose().as_slice())
                    .expect("a key of 32 bytes fits AES-256");
                (id, key)
            })
            .collect();
        Ok(Self {
            active: active.into(),
            keys: Arc::new(keys),
        })
    }

    /// Id of the key that seals.
    pub fn active_key(&self) -> &str {
        &self.active
    }

    /// Seals `plaintext` for `place`.
    pub fn seal(&self, place: Place<'_>, plaintext: &[u8]) -> Vec<u8> {
        let mut body = Zeroizing::new(Vec::with_capacity(plaintext.len() + AES_256_GCM.tag_len()));
        body.extend_from_slice(plaintext);
        let nonce = self.keys[&*self.active]
            .seal_in_place_append_tag(Aad::from(aad(&self.active, place)), &mut *body)
            .expect("a token set is far below the limit of AES-GCM");

        let mut sealed = Vec::with_capacity(2 + self.active.len() + NONCE_BYTES + body.len());
        sealed.push(VERSION);
        sealed.push(u8::try_from(self.active.len()).expect("checked when the ring was made"));
        sealed.extend_from_slice(self.active.as_bytes());
        sealed.extend_from_slice(nonce.as_ref());
        sealed.extend_from_slice(&body);
        sealed
    }

    /// Opens what was sealed for `place`.
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let broken = || OpenError::Broken(place.column);
        let (id, rest) = split_key_id(sealed).ok_or_else(broken)?;
        let key = self
            .keys
            .get(id)
            .ok_or_else(|| OpenError::UnknownKey(id.to_owned()))?;
        let (nonce, body) = rest.split_at_checked(NONCE_BYTES).ok_or_else(broken)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| broken())?;

        let mut plaintext = Zeroizing::new(body.to_vec());
        let length = key
            .open_in_place(nonce, Aad::from(aad(id, place)), &mut plaintext)
            .map_err(|_| broken())?
            .len();
        plaintext.truncate(length);
        Ok(plaintext)
    }

    /// Ids of all keys, in order.
    pub fn key_ids(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    /// Whether the key `id` is in the ring.
    pub fn opens(&self, id: &str) -> bool {
        self.keys.contains_key(id)
    }

    /// The same value sealed anew for the same place, with the active key.
    pub fn reseal(&self, place: Place<'_>, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        Ok(self.seal(place, &self.open(place, sealed)?))
    }

    /// Id of the key that sealed a value, without opening it.
    pub fn key_of(sealed: &[u8]) -> Option<&str> {
        split_key_id(sealed).map(|(id, _)| id)
    }
}

fn split_key_id(sealed: &[u8]) -> Option<(&str, &[u8])> {
    let (&[version, length], rest) = sealed.split_first_chunk::<2>()?;
    if version != VERSION {
        return None;
    }
    let (id, rest) = rest.split_at_checked(usize::from(length))?;
    Some((std::str::from_utf8(id).ok()?, rest))
}

/// Every part is preceded by its length, so that no two places have the same bytes.
fn aad(key_id: &str, place: Place<'_>) -> Vec<u8> {
    let mut aad = vec![VERSION];
    for part in [key_id, place.column, place.row] {
        aad.extend_from_slice(&(part.len() as u64).to_be_bytes());
        aad.extend_from_slice(part.as_bytes());
    }
    aad.extend_from_slice(&place.generation.to_be_bytes());
    aad
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(active: &str, ids: &[&str]) -> Sealer {
        let keys = ids
            .iter()
            .map(|id| {
                let byte = id.bytes().last().unwrap();
                (
                    (*id).to_owned(),
                    SealingKey::new(Zeroizing::new([byte; 32])),
                )
            })
            .collect();
        Sealer::new(active, keys).unwrap()
    }

    const HERE: Place<'_> = Place {
        column: "grants.tokens",
        row: "g1",
        generation: 7,
    };

    #[test]
    fn a_sealed_value_opens_in_its_place_and_shows_nothing() {
        let sealer = ring("k1", &["k1"]);
        let sealed = sealer.seal(HERE, b"hush");
        assert_eq!(sealer.open(HERE, &sealed).unwrap().as_slice(), b"hush");
        assert!(!sealed.windows(4).any(|part| part == b"hush"));
        assert_ne!(sealed, sealer.seal(HERE, b"hush"), "nonces differ");
    }

    #[test]
    fn it_opens_nowhere_else() {
        let sealer = ring("k1", &["k1"]);
        let sealed = sealer.seal(HERE, b"hush");
        for elsewhere in [
            Place {
                column: "orphans.tokens",
                ..HERE
            },
            Place { row: "g2", ..HERE },
            Place {
                generation: 8,
                ..HERE
            },
        ] {
            assert!(sealer.open(elsewhere, &sealed).is_err(), "{elsewhere:?}");
        }
    }

    #[test]
    fn an_altered_or_shortened_value_does_not_open() {
        let sealer = ring("k1", &["k1"]);
        let sealed = sealer.seal(HERE, b"hush");
        for index in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[index] ^= 1;
            assert!(sealer.open(HERE, &altered).is_err(), "byte {index}");
            assert!(
                sealer.open(HERE, &sealed[..index]).is_err(),
                "length {index}"
            );
        }
    }

    #[test]
    fn another_key_seals_after_a_rotation_and_the_old_one_still_opens() {
        let sealed = ring("k1", &["k1"]).seal(HERE, b"hush");
        let rotated = ring("k2", &["k1", "k2"]);
        assert_eq!(rotated.open(HERE, &sealed).unwrap().as_slice(), b"hush");
        assert_eq!(Sealer::key_of(&rotated.seal(HERE, b"x")), Some("k2"));
        let anew = rotated.reseal(HERE, &sealed).unwrap();
        let without = ring("k2", &["k2"]);
        assert_eq!(without.open(HERE, &anew).unwrap().as_slice(), b"hush");
        assert!(rotated.opens("k1") && !without.opens("k1"));
        assert_eq!(
            ring("k2", &["k2"]).open(HERE, &sealed),
            Err(OpenError::UnknownKey("k1".into()))
        );
    }

    #[test]
    fn a_ring_without_its_active_key_is_refused() {
        assert!(matches!(
            Sealer::new("k1", BTreeMap::new()),
            Err(KeyRingError::NoActiveKey(id)) if id == "k1"
        ));
    }
}
