//! `[assertion]`, `[client_assertion]` and `[openid]`: what is signed, by us and by the provider.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::template::{Fact, Template, UrlTemplate};

/// `[assertion]` or `[client_assertion]`: a JSON web token that we sign (RFC 7523 section 3). It always has `iat` and
/// `exp`. Claims are texts with placeholders; `{name?}` leaves a claim out that has no value.
#[derive(Debug, Clone)]
pub struct AssertionFacts {
    /// `algorithm`
    pub algorithm: SigningAlgorithm,
    /// `issuer`, `subject`, `audience` and `[assertion.claims]`, by the names of the claims.
    pub claims: BTreeMap<String, Fact<Template>>,
    /// `key_id`: the `kid` of the header.
    pub key_id: Fact<Template>,
    /// `lifetime`: from `iat` to `exp`.
    pub lifetime: Duration,
}

/// How an assertion is signed (RFC 7518 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// RSA, PKCS #1 v1.5, SHA-256
    Rs256,
    /// RSA, PSS, SHA-256
    Ps256,
    /// ECDSA on P-256, SHA-256
    Es256,
    /// ECDSA on P-384, SHA-384
    Es384,
}

/// `[openid]`: how the provider's identity tokens are verified (OpenID Connect Core section 3.1.3.7).
#[derive(Debug, Clone)]
pub struct OpenIdFacts {
    /// `issuer`: what `iss` must be; `{name}` stands for the claim of that name.
    pub issuer: Template,
    /// `jwks_url`: where the provider's keys are.
    pub jwks_url: UrlTemplate,
    /// `account`: the claim that names the account, `sub` unless it says otherwise.
    pub account: String,
}
