//! The chain: each record's code is computed from the one before it, with a key that the database does not hold.
//!
//! `mac(n) = HMAC-SHA256(key, "record" ‖ mac(n-1) ‖ record n)`. A plain hash would do against accidents alone: whoever
//! alters a record can compute all later hashes anew. The key is sealed like a token. The ends of the chain, which move,
//! have a code of their own ([`End`]), so that a trail that was cut off at either end shows too.

use std::fmt;

use aws_lc_rs::hmac;

use super::record::{Content, Record, TRAIL_ALTERED};

/// A code of the chain.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mac(pub [u8; 32]);

impl Mac {
    /// Reads 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A place in the chain: a record's number and code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// The number; 0 before the first record.
    pub number: u64,
    /// The code.
    pub mac: Mac,
}

/// An end of the chain that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Its last record.
    Head,
    /// The last record that was pruned.
    Floor,
}

/// The key of a chain. `Debug` shows nothing of it.
#[derive(Debug, Clone)]
pub struct ChainKey(hmac::Key);

impl ChainKey {
    /// Takes the key's bytes.
    pub fn new(bytes: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// Where a chain begins whose first record is the one after `base`.
    pub fn root(&self, base: u64) -> Link {
        Link {
            number: base,
            mac: self.mac(&[b"root", &base.to_be_bytes()]),
        }
    }

    /// The records that follow `after`, in their order.
    pub fn chain(&self, after: Link, contents: impl IntoIterator<Item = Content>) -> Vec<Record> {
        let mut last = after;
        let records = contents.into_iter().map(|content| {
            last = self.next(last, &content);
            Record {
                number: last.number,
                content,
                mac: last.mac,
            }
        });
        records.collect()
    }

    /// The link of `content` after `last`.
    pub fn next(&self, last: Link, content: &Content) -> Link {
        let number = last.number + 1;
        Link {
            number,
            mac: self.mac(&[b"record", &last.mac.0, &content.bytes(number)]),
        }
    }

    /// Whether `record` is what was written after `last`, or where the chain goes on behind what somebody else wrote, which
    /// is a fault by itself.
    pub fn admits(&self, last: Link, record: &Record) -> bool {
        let follows = |last| {
            let next = self.next(last, &record.content);
            (next.number, next.mac) == (record.number, record.mac)
        };
        let begins_anew = record.content.action == TRAIL_ALTERED;
        follows(last) || begins_anew && follows(self.root(record.number.saturating_sub(1)))
    }

    /// What shows that this is the end of the chain.
    pub fn seal(&self, end: End, link: Link) -> Mac {
        let name: &[u8] = match end {
            End::Head => b"head",
            End::Floor => b"floor",
        };
        self.mac(&[name, &link.number.to_be_bytes(), &link.mac.0])
    }

    /// Of parts of which all but the last have a length that the first tells.
    fn mac(&self, parts: &[&[u8]]) -> Mac {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(part);
        }
        let tag = context.sign();
        Mac(tag.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}
