//! When an access token ends that is a JSON web token. It is read and not verified: it is not for us, and nothing but
//! the time of its renewal depends on it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use evergrant_core::clock::Timestamp;
use serde_json::Value;

use super::expiry;

/// The claim `exp` (RFC 7519 section 4.1.4) of `token`, if it has one that lies after `now`. One that has passed is no
/// use in an answer that came a moment ago.
pub(super) fn expiry(token: &str, now: Timestamp) -> Option<Timestamp> {
    expiry::instant(&exp(token)?, now)
}

/// The same of a token that came at some time or other, so that its end may have passed.
pub(super) fn expiry_ever(token: &str, now: Timestamp) -> Option<Timestamp> {
    expiry::instant_ever(&exp(token)?, now)
}

fn exp(token: &str) -> Option<Value> {
    let mut parts = token.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let mut claims: Value = serde_json::from_slice(&payload).ok()?;
    let exp = claims.get_mut("exp")?.take();
    exp.is_number().then_some(exp)
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
    fn an_end_that_has_passed_counts_for_a_token_that_may_be_old() {
        let over = token("{\"exp\":1699999940}");
        assert_eq!(expiry(&over, NOW), None);
        let end = NOW.minus(Duration::from_secs(60));
        assert_eq!(expiry_ever(&over, NOW), Some(end));
        let ahead = token("{\"exp\":1700000600}");
        assert_eq!(expiry_ever(&ahead, NOW), expiry(&ahead, NOW));
        for never in ["{}", "{\"exp\":0}", "{\"exp\":-1}", "{\"exp\":1e300}"] {
            assert_eq!(expiry_ever(&token(never), NOW), None, "{never}");
        }
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
