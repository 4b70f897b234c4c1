//! Secrets as they could show up: as they are, in hex, and within anything in base64.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// What is looked for, and what each needle stands for.
#[derive(Debug, Default)]
pub struct Needles {
    /// By their first two bytes, so that a long haystack is gone through once.
    by_head: HashMap<[u8; 2], Vec<Needle>>,
}

#[derive(Debug)]
struct Needle {
    name: String,
    bytes: Vec<u8>,
}

impl Needles {
    /// Adds a secret in all its forms. A short one would be found everywhere.
    pub fn add(&mut self, name: &str, secret: &[u8]) {
        assert!(secret.len() >= 7, "{name} is too short to look for");
        self.push(name, "as it is", secret.to_vec());
        let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        self.push(name, "in hex", hex.clone().into_bytes());
        self.push(name, "in hex", hex.to_uppercase().into_bytes());
        for skipped in 0..3 {
            let text = within_base64(secret, skipped);
            self.push(
                name,
                "in base64",
                text.replace('+', "-").replace('/', "_").into_bytes(),
            );
            self.push(name, "in base64", text.into_bytes());
        }
    }

    fn push(&mut self, name: &str, form: &str, bytes: Vec<u8>) {
        let needles = self.by_head.entry([bytes[0], bytes[1]]).or_default();
        if needles.iter().all(|known| known.bytes != bytes) {
            let name = format!("{name} {form}");
            needles.push(Needle { name, bytes });
        }
    }

    /// The names of all needles in `haystack`, each once.
    pub fn found_in(&self, haystack: &[u8]) -> Vec<&str> {
        let hits = self.hits(haystack).into_iter();
        let mut found: Vec<_> = hits.map(|(_, name)| name).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Where needles begin in `haystack`, and their names.
    pub fn hits(&self, haystack: &[u8]) -> Vec<(usize, &str)> {
        let mut heads = vec![false; 1 << 16];
        for head in self.by_head.keys() {
            heads[usize::from(u16::from_be_bytes(*head))] = true;
        }
        let mut found = Vec::new();
        for at in 0..haystack.len().saturating_sub(1) {
            let head = [haystack[at], haystack[at + 1]];
            if !heads[usize::from(u16::from_be_bytes(head))] {
                continue;
            }
            let here = self.by_head[&head].iter();
            let here = here.filter(|needle| haystack[at..].starts_with(&needle.bytes));
            found.extend(here.map(|needle| (at, needle.name.as_str())));
        }
        found
    }
}

/// The characters that `secret` alone decides where it begins so many bytes after a whole group of three.
fn within_base64(secret: &[u8], skipped: usize) -> String {
    let mut padded = vec![0; skipped];
    padded.extend_from_slice(secret);
    let text = STANDARD_NO_PAD.encode(&padded);
    let first = [0, 2, 3][skipped];
    let whole = padded.len() * 8 / 6;
    text[first..whole].to_owned()
}

#[test]
fn a_secret_is_found_in_every_form_and_at_every_place() {
    let mut needles = Needles::default();
    needles.add("the token", b"sbx_rt_0123456789?>");
    assert!(needles.found_in(b"sbx_rt_012345678 and more").is_empty());
    for before in ["", "a", "ab", "abc"] {
        let plain = format!("{before}sbx_rt_0123456789?>abc");
        let hex = |text: &str| -> String { text.bytes().map(|b| format!("{b:02x}")).collect() };
        let base64 = STANDARD_NO_PAD.encode(&plain);
        let url_safe = base64.replace('+', "-").replace('/', "_");
        for (form, text) in [
            ("the token as it is", plain.clone()),
            ("the token in hex", hex(&plain)),
            ("the token in hex", hex(&plain).to_uppercase()),
            ("the token in base64", base64),
            ("the token in base64", url_safe),
        ] {
            let text = format!("{{\"x\": \"{text}\"}}");
            assert_eq!(needles.found_in(text.as_bytes()), [form], "{text}");
        }
    }
}
