use http::HeaderValue;
use proptest::prelude::*;

use super::*;

fn tag(secret: &str, message: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, message);
    tag.as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// RFC 4231, test case 2.
#[test]
fn it_is_hmac_sha_256() {
    let known = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    let signature = Signature::parse(known, "").unwrap();
    let keys = SigningKeys::new(&["Jefe"]);
    assert!(keys.signed(&[b"what do ya want ", b"for nothing?"], &signature));
}

#[test]
fn each_of_several_secrets_signs() {
    let keys = SigningKeys::new(&["new", "old"]);
    for (secret, expected) in [("new", true), ("old", true), ("other", false)] {
        let signature = Signature::parse(&tag(secret, b"message"), "").unwrap();
        assert_eq!(keys.signed(&[b"message"], &signature), expected, "{secret}");
    }
    assert!(!SigningKeys::new(&[]).signed(&[b""], &Signature([0; 32])));
}

#[test]
fn a_header_that_is_there_twice_is_no_header() {
    let name = HeaderName::from_static("x-signature");
    let mut headers = HeaderMap::new();
    assert_eq!(header(&headers, &name), None);
    headers.append(&name, HeaderValue::from_static("a"));
    assert_eq!(header(&headers, &name), Some("a"));
    headers.append(&name, HeaderValue::from_static("a"));
    assert_eq!(header(&headers, &name), None);
    headers.insert(&name, HeaderValue::from_bytes(b"\xff").unwrap());
    assert_eq!(header(&headers, &name), None);
}

proptest! {
    #[test]
    fn what_is_written_is_read_in_either_case(bytes: [u8; 32]) {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        for digits in [digits.clone(), digits.to_uppercase()] {
            prop_assert_eq!(Signature::parse(&format!("v0={digits}"), "v0="), Some(Signature(bytes)));
        }
    }

    #[test]
    fn nothing_else_is_read(text in ".{0,80}") {
        let digits = text.strip_prefix("v0=").unwrap_or("none");
        let is_one = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        prop_assert_eq!(Signature::parse(&text, "v0=").is_some(), is_one);
    }

    #[test]
    fn a_digit_more_or_less_or_another_letter_is_not_read(at in 0usize..64, letter in "[^0-9a-fA-F]") {
        let digits = "a".repeat(64);
        let mut altered = digits.clone();
        altered.replace_range(at..=at, &letter);
        for wrong in [&digits[1..], &format!("{digits}a"), &altered, &format!("+{}", &digits[1..])] {
            prop_assert_eq!(Signature::parse(wrong, ""), None);
        }
    }

    #[test]
    fn one_flipped_bit_is_noticed(message in proptest::collection::vec(any::<u8>(), 1..200), at: prop::sample::Index, bit in 0u32..8) {
        let keys = SigningKeys::new(&["secret"]);
        let signature = Signature::parse(&tag("secret", &message), "").unwrap();
        prop_assert!(keys.signed(&[&message], &signature));
        let mut altered = message.clone();
        altered[at.index(message.len())] ^= 1 << bit;
        prop_assert!(!keys.signed(&[&altered], &signature));
        let mut forged = signature;
        forged.0[at.index(32)] ^= 1 << bit;
        prop_assert!(!keys.signed(&[&message], &forged));
    }
}
