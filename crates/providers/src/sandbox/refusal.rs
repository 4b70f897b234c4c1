//! Why the sandbox refuses a request, and the words that each dialect has for it.

use http::StatusCode;
use serde::{Deserialize, Serialize};

/// How an endpoint speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// As RFC 6749 section 5 has it: HTTP 4xx and `{"error": "…"}`.
    Rfc6749,
    /// As Slack does: HTTP 200 and `{"ok": false, "error": "…"}`.
    Slack,
}

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The request breaks the form that RFC 6749 asks for.
    MalformedRequest,
    /// The grant type is neither `refresh_token` nor `authorization_code`.
    UnsupportedGrantType,
    /// More scope was asked for than was granted.
    ExceedingScope,
    /// No client of this id is registered, or the request names none.
    UnknownClient,
    /// The secret is none of the client's.
    WrongSecret,
    /// No such token was ever issued.
    UnknownToken,
    /// The token was issued to another client.
    TokenOfAnotherClient,
    /// The token reached its end of life.
    ExpiredToken,
    /// The refresh token was spent before; in strict and grace mode this revoked the family.
    ReusedToken,
    /// The family was revoked.
    RevokedToken,
    /// No such authorization code was ever issued.
    UnknownCode,
    /// The authorization code was redeemed before; what it brought is revoked.
    UsedCode,
    /// The redirect URI is not the one of the consent.
    OtherRedirectUri,
    /// The code verifier does not fit the challenge of the consent, or one of them is missing.
    WrongVerifier,
    /// A fault: the refresh token is good and was refused all the same.
    Flaky,
    /// A fault: too many requests.
    RateLimited,
}

impl Refusal {
    /// The `error` of an RFC 6749 answer (section 5.2).
    pub fn code(self) -> &'static str {
        match self {
            Self::MalformedRequest => "invalid_request",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::ExceedingScope => "invalid_scope",
            Self::UnknownClient | Self::WrongSecret => "invalid_client",
            Self::UnknownToken
            | Self::TokenOfAnotherClient
            | Self::ExpiredToken
            | Self::ReusedToken
            | Self::RevokedToken
            | Self::UnknownCode
            | Self::UsedCode
            | Self::OtherRedirectUri
            | Self::WrongVerifier
            | Self::Flaky => "invalid_grant",
            Self::RateLimited => "slow_down",
        }
    }

    /// The `error` of a Slack answer.
    pub fn slack_code(self) -> &'static str {
        match self {
            Self::MalformedRequest => "invalid_arguments",
            Self::UnsupportedGrantType => "invalid_grant_type",
            Self::ExceedingScope => "invalid_scope",
            Self::UnknownClient => "invalid_client_id",
            Self::WrongSecret => "bad_client_secret",
            Self::UnknownToken | Self::TokenOfAnotherClient | Self::ReusedToken | Self::Flaky => {
                "invalid_refresh_token"
            }
            Self::UnknownCode | Self::UsedCode => "invalid_code",
            Self::OtherRedirectUri => "bad_redirect_uri",
            Self::WrongVerifier => "bad_code_verifier",
            Self::ExpiredToken => "token_expired",
            Self::RevokedToken => "token_revoked",
            Self::RateLimited => "ratelimited",
        }
    }

    /// The status of the answer. Slack's dialect says 200 for all but too many requests.
    pub fn status(self, dialect: Dialect) -> StatusCode {
        match (self, dialect) {
            (Self::RateLimited, _) => StatusCode::TOO_MANY_REQUESTS,
            (_, Dialect::Slack) => StatusCode::OK,
            (Self::UnknownClient | Self::WrongSecret, Dialect::Rfc6749) => StatusCode::UNAUTHORIZED,
            (_, Dialect::Rfc6749) => StatusCode::BAD_REQUEST,
        }
    }
}
