//! One record of the journal, and finding the good ones among damaged bytes.
//!
//! A record is `mark (4) ‖ length of body (4) ‖ check (8) ‖ body`, a body is
//! `kind (1) ‖ base (8) ‖ length of grant (1) ‖ grant ‖ sealed entry`; numbers are big-endian. The check is the
//! beginning of SHA-256 over length and body. The mark lets a reader find the next record after a damaged one.

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use evergrant_core::ids::{Generation, GrantId};

const MARK: [u8; 4] = [0xE6, b'j', b'r', 0x01];
const LENGTH_BYTES: usize = 4;
const CHECK_BYTES: usize = 8;
const BODY_HEAD_BYTES: usize = 1 + 8 + 1;

/// Longest body that is written or believed.
pub(super) const MAX_BODY_BYTES: usize = 16 << 20;

/// What is said of a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    /// An entry is kept.
    Kept {
        /// The grant.
        grant: GrantId,
        /// The generation that the entry is based on.
        base: Generation,
        /// The entry.
        sealed: Arc<[u8]>,
    },
    /// What is kept of a grant is forgotten if its base is not newer.
    Removed {
        /// The grant.
        grant: GrantId,
        /// The newest base that is forgotten.
        base: Generation,
    },
}

impl Record {
    const KEPT: u8 = 1;
    const REMOVED: u8 = 2;

    /// Appends the record's bytes to `out`.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let (kind, grant, base, sealed) = self.parts();
        let mut body = Vec::with_capacity(self.body_len());
        body.push(kind);
        body.extend_from_slice(&base.0.to_be_bytes());
        body.push(u8::try_from(grant.as_str().len()).expect("a name has at most 128 bytes"));
        body.extend_from_slice(grant.as_str().as_bytes());
        body.extend_from_slice(sealed);

        let length = u32::try_from(body.len())
            .expect("the limit of a body fits")
            .to_be_bytes();
        out.extend_from_slice(&MARK);
        out.extend_from_slice(&length);
        out.extend_from_slice(&check(length, &body));
        out.extend_from_slice(&body);
    }

    /// The record's length in the file.
    pub(super) fn encoded_len(&self) -> u64 {
        (MARK.len() + LENGTH_BYTES + CHECK_BYTES + self.body_len()) as u64
    }

    /// The length of the record's body.
    pub(super) fn body_len(&self) -> usize {
        let (_, grant, _, sealed) = self.parts();
        BODY_HEAD_BYTES + grant.as_str().len() + sealed.len()
    }

    fn parts(&self) -> (u8, &GrantId, Generation, &[u8]) {
        match self {
            Self::Kept {
                grant,
                base,
                sealed,
            } => (Self::KEPT, grant, *base, sealed),
            Self::Removed { grant, base } => (Self::REMOVED, grant, *base, &[]),
        }
    }

    /// The record at the very beginning of `bytes`, and what follows it.
    fn decode(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let rest = bytes.strip_prefix(&MARK)?;
        let (&length, rest) = rest.split_first_chunk::<LENGTH_BYTES>()?;
        let (claimed, rest) = rest.split_at_checked(CHECK_BYTES)?;
        let body_len = usize::try_from(u32::from_be_bytes(length)).ok()?;
        if body_len > MAX_BODY_BYTES {
            return None;
        }
        let (body, rest) = rest.split_at_checked(body_len)?;
        if check(length, body) != claimed {
            return None;
        }
        Some((Self::decode_body(body)?, rest))
    }

    fn decode_body(body: &[u8]) -> Option<Self> {
        let (&kind, body) = body.split_first()?;
        let (&base, body) = body.split_first_chunk::<8>()?;
        let (&grant_len, body) = body.split_first()?;
        let (grant, sealed) = body.split_at_checked(usize::from(grant_len))?;
        let grant = GrantId::parse(std::str::from_utf8(grant).ok()?).ok()?;
        let base = Generation(u64::from_be_bytes(base));
        match kind {
            Self::KEPT => Some(Self::Kept {
                grant,
                base,
                sealed: sealed.into(),
            }),
            Self::REMOVED if sealed.is_empty() => Some(Self::Removed { grant, base }),
            _ => None,
        }
    }
}

fn check(length: [u8; LENGTH_BYTES], body: &[u8]) -> [u8; CHECK_BYTES] {
    let mut context = Context::new(&SHA256);
    context.update(&length);
    context.update(body);
    let digest = context.finish();
    *digest.as_ref().first_chunk().expect("SHA-256 has 32 bytes")
}

/// What was found in a stretch of bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    /// The good records, in order.
    pub(super) records: Vec<Record>,
    /// Damaged stretches that a good record follows: where they begin and how long they are.
    pub(super) damaged: Vec<(usize, usize)>,
    /// Where the last good record ends; what follows was torn off.
    pub(super) end: usize,
}

/// Finds all good records.
pub(super) fn scan(bytes: &[u8]) -> Scan {
    let mut found = Scan::default();
    let mut at = 0;
    while at < bytes.len() {
        match Record::decode(&bytes[at..]) {
            Some((record, rest)) => {
                if at > found.end {
                    found.damaged.push((found.end, at - found.end));
                }
                found.records.push(record);
                at = bytes.len() - rest.len();
                found.end = at;
            }
            None => at = next_mark(bytes, at + 1),
        }
    }
    found
}

fn next_mark(bytes: &[u8], from: usize) -> usize {
    bytes[from..]
        .windows(MARK.len())
        .position(|window| window == MARK)
        .map_or(bytes.len(), |offset| from + offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> Vec<Record> {
        let kept = |base: u64| Record::Kept {
            grant: GrantId::parse("g:1").unwrap(),
            base: Generation(base),
            sealed: vec![7; 40].into(),
        };
        let removed = Record::Removed {
            grant: GrantId::parse("g:2").unwrap(),
            base: Generation(u64::MAX),
        };
        vec![kept(1), removed, kept(2)]
    }

    fn encoded() -> Vec<u8> {
        let mut bytes = Vec::new();
        for record in records() {
            let before = bytes.len();
            record.encode(&mut bytes);
            assert_eq!((bytes.len() - before) as u64, record.encoded_len());
        }
        bytes
    }

    #[test]
    fn what_is_encoded_is_found() {
        let bytes = encoded();
        let expected = Scan {
            records: records(),
            damaged: Vec::new(),
            end: bytes.len(),
        };
        assert_eq!(scan(&bytes), expected);
    }

    #[test]
    fn every_cut_keeps_the_whole_records_before_it() {
        let bytes = encoded();
        let mut ends = vec![0];
        for record in records() {
            ends.push(ends[ends.len() - 1] + usize::try_from(record.encoded_len()).unwrap());
        }
        for cut in 0..bytes.len() {
            let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
            let found = scan(&bytes[..cut]);
            assert_eq!(found.records, records()[..whole], "cut at {cut}");
            assert_eq!(found.end, ends[whole]);
            assert_eq!(found.damaged, []);
        }
    }

    #[test]
    fn a_flipped_bit_costs_its_record_and_no_other() {
        let bytes = encoded();
        let mut begin = 0;
        for (index, record) in records().iter().enumerate() {
            let end = begin + usize::try_from(record.encoded_len()).unwrap();
            for bit in begin * 8..end * 8 {
                let mut bytes = bytes.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                let mut left = records();
                left.remove(index);
                let found = scan(&bytes);
                assert_eq!(found.records, left, "bit {bit}");
                let is_last = index + 1 == records().len();
                assert_eq!(found.damaged.is_empty(), is_last);
            }
            begin = end;
        }
    }
}
