//! When an access token ends that is a JSON web token. It is read and not verified: it is not for us, and nothing but
//! the time of its renewal depends on it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use evergrant_core::clock::Timestamp;
use serde_json::Value;

use super::expiry;

/// The claim `exp` (RFC 7519 section 4.1.4) of `token`, if it has one that lies after `now`.
pub(super) fn expiry(token: &str, now: Timestamp) -> Option<Timestamp> {
    let mut parts = token.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    let exp = claims.get("exp").filter(|exp| exp.is_number())?;
    expiry::instant(exp, now)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn token(claims: &str) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.sig", part("{\"alg\":\"none\"}"), part(claims))
    }

    #[test]
    fn a_token_may_tell_when_it_ends() {
        let end = expiry(&token("{\"exp\":1700000600,\"sub\":\"u\"}"), NOW);
        assert_eq!(end, Some(NOW.plus(Duration::from_secs(600))));
    }

    #[test]
    fn whatever_else_it_is_tells_nothing() {
        for text in [
            String::new(),
            "opaque".to_owned(),
            "a.b.c".to_owned(),
            "a.b".to_owned(),
            format!("{}.x", token("{\"exp\":1700000600}")),
            token("{}"),
            token("[]"),
            token("{\"exp\":\"1700000600\"}"),
            token("{\"exp\":1699999999}"),
            token("{\"exp\":-1}"),
            token("{\"exp\":1e300}"),
        ] {
            assert_eq!(expiry(&text, NOW), None, "{text}");
        }
    }
}
