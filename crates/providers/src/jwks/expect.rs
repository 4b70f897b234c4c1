//! What a token must say besides being signed.

use std::time::Duration;

use evergrant_core::clock::Timestamp;
use jsonwebtoken::Header;
use serde_json::Value;

use super::VerifyError;
use crate::catalogue::Template;

/// By how much the clock of an issuer somewhere in the internet may differ from ours.
pub const LEEWAY: Duration = Duration::from_secs(60);

/// What a token must say (RFC 7519 section 4.1). The default lets no token pass.
#[derive(Debug, Clone, Copy, Default)]
pub struct Expect<'a> {
    /// `iss` must be one of these. `{name}` in one of them stands for the token's own claim of that name, for issuers
    /// that have a name per tenant: `https://login.microsoftonline.com/{tid}/v2.0`.
    pub issuers: &'a [&'a str],
    /// `aud` must be or hold one of these.
    pub audiences: &'a [&'a str],
    /// Whether the token must end, which it must not have done.
    pub expiry: Expiry,
    /// By how much the issuer's clock may differ from ours.
    pub leeway: Duration,
    /// `nonce` must be this.
    pub nonce: Option<&'a str>,
    /// The header's `typ` must be this, e.g. `secevent+jwt`, so that a token of another kind is not taken for one of
    /// this (RFC 8725 section 3.11).
    pub typ: Option<&'a str>,
}

/// Whether a token must have an `exp`. One that has it is refused when it has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expiry {
    /// It must.
    #[default]
    Required,
    /// It need not, e.g. a security event token (RFC 8417 section 2.2).
    Optional,
}

impl Expect<'_> {
    pub(super) fn check(
        &self,
        header: &Header,
        claims: &Value,
        now: Timestamp,
    ) -> Result<(), VerifyError> {
        let wrong = |name, why| Err(VerifyError::Claim { name, why });
        if let Some(typ) = self.typ
            && !header.typ.as_deref().is_some_and(|its| is_type(its, typ))
        {
            return wrong("typ", "is not the expected one");
        }
        let issuer = claims["iss"].as_str().unwrap_or_default();
        if !self
            .issuers
            .iter()
            .any(|wanted| is_issuer(issuer, wanted, claims))
        {
            return wrong("iss", "is not the expected one");
        }
        if !audiences(claims).any(|audience| self.audiences.contains(&audience)) {
            return wrong("aud", "is not the expected one");
        }
        if let Some(nonce) = self.nonce
            && claims["nonce"].as_str() != Some(nonce)
        {
            return wrong("nonce", "is not the expected one");
        }
        self.check_times(claims, now)
    }

    fn check_times(&self, claims: &Value, now: Timestamp) -> Result<(), VerifyError> {
        let wrong = |name, why| Err(VerifyError::Claim { name, why });
        match time(claims, "exp")? {
            Some(exp) if exp.plus(self.leeway) <= now => return wrong("exp", "has passed"),
            None if self.expiry == Expiry::Required => return wrong("exp", "is missing"),
            _ => {}
        }
        for name in ["nbf", "iat"] {
            if time(claims, name)?.is_some_and(|time| time.minus(self.leeway) > now) {
                return wrong(name, "is in the future");
            }
        }
        Ok(())
    }
}

/// `application/` may be left out (RFC 7515 section 4.1.9).
fn is_type(its: &str, wanted: &str) -> bool {
    let bare = |text: &str| {
        let text = text.to_ascii_lowercase();
        text.strip_prefix("application/")
            .unwrap_or(&text)
            .to_owned()
    };
    bare(its) == bare(wanted)
}

fn is_issuer(its: &str, wanted: &str, claims: &Value) -> bool {
    let own = |name: &str| claims[name].as_str().filter(|value| is_segment(value));
    match wanted.contains('{') {
        false => its == wanted,
        true => Template::parse(wanted)
            .and_then(|template| template.fill(own))
            .is_ok_and(|filled| filled.as_deref() == Some(its)),
    }
}

/// Whether a claim can stand in an issuer's name without changing what that means.
fn is_segment(value: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    !value.is_empty() && value.bytes().all(fits)
}

fn audiences(claims: &Value) -> impl Iterator<Item = &str> {
    let one = claims["aud"].as_str();
    let many = claims["aud"].as_array().into_iter().flatten();
    one.into_iter().chain(many.filter_map(Value::as_str))
}

/// A NumericDate (RFC 7519 section 2).
fn time(claims: &Value, name: &'static str) -> Result<Option<Timestamp>, VerifyError> {
    match &claims[name] {
        Value::Null => Ok(None),
        value => match value.as_f64() {
            // `as` saturates, which is right for a time.
            Some(seconds) => Ok(Some(Timestamp::from_millis((seconds * 1_000.0) as i64))),
            None => Err(VerifyError::Claim {
                name,
                why: "is no time",
            }),
        },
    }
}
