//! Cursors: opaque positions in a stream, which only this store's replicas can make.
//!
//! 56 bytes in unpadded base64url: version (1) ‖ hash of the log's epoch (8) ‖ number (8) ‖ filter fingerprint (15) ‖ issue
//! time in seconds (8) ‖ MAC (16). The MAC keeps a client from making one up that skips events unnoticed.

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use evergrant_core::clock::Timestamp;
use evergrant_core::events::LogEpoch;
use evergrant_core::events::filter::Fingerprint;
use thiserror::Error;

const VERSION: u8 = 1;
const BODY: usize = 40;
const MAC: usize = 16;

/// A position in the event log, under a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Hash of the log's epoch.
    pub epoch: [u8; 8],
    /// Everything up to this number was covered.
    pub seq: u64,
    /// The filter under which it was issued.
    pub filter: Fingerprint,
    /// When it was issued.
    pub issued_at: Timestamp,
}

/// Why a text does not say where a stream goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NoCursor {
    /// The text is no cursor at all, or one that somebody changed.
    #[error("is no cursor of this service")]
    Malformed,
    /// It names another log, or a former life of this one, whose key is not known here.
    #[error("is a cursor of another store, or of this one before it was restored")]
    OtherLog,
}

/// Makes cursors and reads them back.
pub struct CursorCodec {
    key: hmac::Key,
}

impl std::fmt::Debug for CursorCodec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CursorCodec").finish_non_exhaustive()
    }
}

impl CursorCodec {
    /// A codec with the secret that all replicas of a store share.
    pub fn new(key: &[u8; 32]) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
        }
    }

    /// The cursor as text.
    pub fn encode(&self, cursor: &Cursor) -> String {
        let mut bytes = [0; BODY + MAC];
        bytes[..BODY].copy_from_slice(&body(cursor));
        let tag = hmac::sign(&self.key, &bytes[..BODY]);
        bytes[BODY..].copy_from_slice(&tag.as_ref()[..MAC]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The cursor that `encode` made, if it is of the log whose `epoch` this is the hash of.
    pub fn decode(&self, text: &str, epoch: [u8; 8]) -> Result<Cursor, NoCursor> {
        use NoCursor::Malformed;
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Malformed)?;
        let bytes: [u8; BODY + MAC] = bytes.try_into().map_err(|_| Malformed)?;
        let (body, mac) = bytes.split_at(BODY);
        // Before the MAC, which another log makes with another key. Whoever forges this learns nothing by it.
        if body[0] == VERSION && body[1..9] != epoch {
            return Err(NoCursor::OtherLog);
        }
        let tag = hmac::sign(&self.key, body);
        aws_lc_rs::constant_time::verify_slices_are_equal(&tag.as_ref()[..MAC], mac)
            .map_err(|_| Malformed)?;
        if body[0] != VERSION {
            return Err(Malformed);
        }
        let hash = |at: usize, bit: u8| {
            let bytes = [body[at], body[at + 1], body[at + 2], body[at + 3]];
            (body[17] & bit != 0).then(|| u32::from_be_bytes(bytes))
        };
        let word = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&body[at..at + 8]);
            bytes
        };
        Ok(Cursor {
            epoch: word(1),
            seq: u64::from_be_bytes(word(9)),
            filter: Fingerprint {
                tenant: hash(18, 1),
                credentials: hash(22, 2),
                providers: hash(26, 4),
                kinds: u16::from_be_bytes([body[30], body[31]]),
            },
            issued_at: Timestamp::from_millis(i64::from_be_bytes(word(32)).saturating_mul(1_000)),
        })
    }
}

fn body(cursor: &Cursor) -> [u8; BODY] {
    let Cursor {
        epoch,
        seq,
        filter,
        issued_at,
    } = cursor;
    let mut body = [0; BODY];
    body[0] = VERSION;
    body[1..9].copy_from_slice(epoch);
    body[9..17].copy_from_slice(&seq.to_be_bytes());
    let parts = [filter.tenant, filter.credentials, filter.providers];
    for (index, part) in parts.into_iter().enumerate() {
        if let Some(hash) = part {
            body[17] |= 1 << index;
            body[18 + index * 4..22 + index * 4].copy_from_slice(&hash.to_be_bytes());
        }
    }
    body[30..32].copy_from_slice(&filter.kinds.to_be_bytes());
    let seconds = issued_at.as_millis().div_euclid(1_000);
    body[32..40].copy_from_slice(&seconds.to_be_bytes());
    body
}

/// What a cursor remembers of a log's epoch.
pub fn epoch_hash(epoch: &LogEpoch) -> [u8; 8] {
    let digest = digest::digest(&digest::SHA256, epoch.0.as_bytes());
    let mut hash = [0; 8];
    hash.copy_from_slice(&digest.as_ref()[..8]);
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor() -> Cursor {
        Cursor {
            epoch: epoch_hash(&LogEpoch("e".into())),
            seq: 77,
            filter: Fingerprint {
                tenant: Some(0),
                credentials: None,
                providers: Some(u32::MAX),
                kinds: 0x0103,
            },
            issued_at: Timestamp::from_millis(1_800_000_000_000),
        }
    }

    const CODEC_KEY: [u8; 32] = [7; 32];

    #[test]
    fn a_cursor_comes_back_as_it_was() {
        let codec = CursorCodec::new(&CODEC_KEY);
        let text = codec.encode(&cursor());
        assert_eq!(codec.decode(&text, cursor().epoch), Ok(cursor()));
    }

    #[test]
    fn a_cursor_that_was_altered_or_cut_is_refused() {
        let codec = CursorCodec::new(&CODEC_KEY);
        let text = codec.encode(&cursor());
        let epoch = cursor().epoch;
        for index in 0..text.len() {
            let mut altered = text.clone().into_bytes();
            altered[index] = if altered[index] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).unwrap();
            assert!(codec.decode(&altered, epoch).is_err(), "{index}");
            let cut = codec.decode(&text[..index], epoch);
            assert_eq!(cut, Err(NoCursor::Malformed));
        }
        let forged = CursorCodec::new(&[8; 32]).encode(&cursor());
        assert_eq!(codec.decode(&forged, epoch), Err(NoCursor::Malformed));
        assert_eq!(
            codec.decode("not a cursor", epoch),
            Err(NoCursor::Malformed)
        );
    }

    #[test]
    fn a_cursor_of_another_log_is_known_for_what_it_is() {
        let codec = CursorCodec::new(&CODEC_KEY);
        let other = CursorCodec::new(&[8; 32]).encode(&cursor());
        let here = epoch_hash(&LogEpoch("here".into()));
        assert_eq!(codec.decode(&other, here), Err(NoCursor::OtherLog));
    }
}
