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
    /// As an entry of the catalogue says, below `/as/`.
    Catalogue,
}

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The request breaks the form that RFC 6749 asks for.
    MalformedRequest,
    /// The grant type is none that the endpoint knows.
    UnsupportedGrantType,
    /// The client has no secret and no key, and asks for a grant that only those get who have one.
    PublicClient,
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
    /// The authorization code reached its end of life.
    ExpiredCode,
    /// The redirect URI is not the one of the consent.
    OtherRedirectUri,
    /// The state is there and not the one of the consent.
    OtherState,
    /// The code verifier does not fit the challenge of the consent, or one of them is missing.
    WrongVerifier,
    /// No such device code was ever issued, or it was redeemed.
    UnknownDeviceCode,
    /// The device code reached its end of life.
    ExpiredDeviceCode,
    /// The user of the device has not decided yet.
    AuthorizationPending,
    /// The device polled before its interval was over, which is longer from now on.
    PolledTooSoon,
    /// The user of the device said no.
    DeniedByUser,
    /// The assertion of a grant is not signed by its issuer's key, or does not say what it must.
    BadAssertion,
    /// The same of what the client proves itself with.
    BadClientAssertion,
    /// The token that is to be exchanged is none of the sandbox's, or no longer good.
    BadSubjectToken,
    /// A fault: the refresh token is good and was refused all the same.
    Flaky,
    /// A fault: too many requests.
    RateLimited,
}

impl Refusal {
    /// The `error` of an answer (RFC 6749 section 5.2, RFC 7523 section 3, RFC 8628 section 3.5, RFC 8693 section 2.2.2).
    pub fn code(self) -> &'static str {
        match self {
            Self::MalformedRequest | Self::BadSubjectToken | Self::OtherState => "invalid_request",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::PublicClient => "unauthorized_client",
            Self::ExceedingScope => "invalid_scope",
            Self::UnknownClient | Self::WrongSecret | Self::BadClientAssertion => "invalid_client",
            Self::AuthorizationPending => "authorization_pending",
            Self::PolledTooSoon | Self::RateLimited => "slow_down",
            Self::ExpiredDeviceCode => "expired_token",
            Self::DeniedByUser => "access_denied",
            Self::UnknownToken
            | Self::TokenOfAnotherClient
            | Self::ExpiredToken
            | Self::ReusedToken
            | Self::RevokedToken
            | Self::UnknownCode
            | Self::UsedCode
            | Self::ExpiredCode
            | Self::OtherRedirectUri
            | Self::WrongVerifier
            | Self::UnknownDeviceCode
            | Self::BadAssertion
            | Self::Flaky => "invalid_grant",
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
            Self::UnknownCode | Self::UsedCode | Self::ExpiredCode => "invalid_code",
            Self::OtherRedirectUri => "bad_redirect_uri",
            Self::WrongVerifier => "bad_code_verifier",
            Self::ExpiredToken => "token_expired",
            Self::RevokedToken => "token_revoked",
            Self::RateLimited => "ratelimited",
            // What Slack has no word for.
            Self::PublicClient
            | Self::OtherState
            | Self::UnknownDeviceCode
            | Self::ExpiredDeviceCode
            | Self::AuthorizationPending
            | Self::PolledTooSoon
            | Self::DeniedByUser
            | Self::BadAssertion
            | Self::BadClientAssertion
            | Self::BadSubjectToken => self.code(),
        }
    }

    /// The status of the answer. Slack's dialect says 200 for all but too many requests.
    pub fn status(self, dialect: Dialect) -> StatusCode {
        match (self, dialect) {
            (Self::RateLimited, _) => StatusCode::TOO_MANY_REQUESTS,
            (_, Dialect::Slack) => StatusCode::OK,
            (Self::UnknownClient | Self::WrongSecret | Self::BadClientAssertion, _) => {
                StatusCode::UNAUTHORIZED
            }
            _ => StatusCode::BAD_REQUEST,
        }
    }
}
