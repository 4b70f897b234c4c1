//! What a delivery is answered: in one table, so that no answer tells more than it should.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_LANGUAGE, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::Full;

/// How a receiver's provider wants to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// RFC 8935: 202, or 400 with a JSON object that says what is wrong.
    Set,
    /// 200, or a status without a body.
    Webhook,
}

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// Grants died of it.
    Invalidated,
    /// It is remembered, and concerns no active grant.
    Unknown,
    /// It was dealt with before.
    Replayed,
    /// It is authentic, and says nothing that kills a grant.
    Ignored,
    /// Slack wants to have this text back.
    Challenge(String),
    /// It is not of whom it should be.
    Forged(Forged),
    /// It is not of the form that it should be.
    Malformed(&'static str),
    /// Nothing can be told now; the provider is to deliver it again.
    Unavailable(String),
    /// There is no receiver of that name.
    UnknownPath,
    /// It is no POST.
    WrongMethod,
    /// It is of another content type.
    WrongType,
    /// It is too large.
    TooLarge,
    /// It came too slowly.
    TooSlow,
}

/// Why a delivery is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Forged {
    /// The code of RFC 8935 section 2.4.
    pub code: &'static str,
    /// For people; repeats nothing of the delivery.
    pub why: &'static str,
}

impl Answer {
    pub(super) fn unavailable(why: impl Into<String>) -> Self {
        Self::Unavailable(why.into())
    }

    pub(super) fn forged(code: &'static str, why: &'static str) -> Self {
        Self::Forged(Forged { code, why })
    }

    /// The label of `evergrant_inbound_total`.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::Invalidated => "invalidated",
            Self::Unknown => "unknown",
            Self::Replayed => "replayed",
            Self::Ignored | Self::Challenge(_) => "ignored",
            Self::Forged(_) => "forged",
            Self::Malformed(_)
            | Self::UnknownPath
            | Self::WrongMethod
            | Self::WrongType
            | Self::TooLarge
            | Self::TooSlow => "malformed",
            Self::Unavailable(_) => "failed",
        }
    }

    /// The response in the style of the receiver, `None` if there is none. Neither shows whether anybody here knows
    /// the account.
    pub(super) fn into_response(self, style: Option<Style>) -> Response<Full<Bytes>> {
        let is_set = style == Some(Style::Set);
        match self {
            Self::Invalidated | Self::Unknown | Self::Replayed | Self::Ignored if is_set => {
                empty(StatusCode::ACCEPTED)
            }
            Self::Invalidated | Self::Unknown | Self::Replayed | Self::Ignored => {
                empty(StatusCode::OK)
            }
            Self::Challenge(text) => {
                let body = serde_json::json!({ "challenge": text });
                json(StatusCode::OK, &body)
            }
            Self::Forged(Forged { code, why }) if is_set => set_error(code, why),
            Self::Malformed(why) if is_set => set_error("invalid_request", why),
            Self::Forged(_) => empty(StatusCode::UNAUTHORIZED),
            Self::Malformed(_) => empty(StatusCode::BAD_REQUEST),
            Self::Unavailable(_) => empty(StatusCode::SERVICE_UNAVAILABLE),
            Self::UnknownPath => empty(StatusCode::NOT_FOUND),
            Self::WrongMethod => {
                let mut response = empty(StatusCode::METHOD_NOT_ALLOWED);
                let post = HeaderValue::from_static("POST");
                response.headers_mut().insert(ALLOW, post);
                response
            }
            Self::WrongType => empty(StatusCode::UNSUPPORTED_MEDIA_TYPE),
            Self::TooLarge => empty(StatusCode::PAYLOAD_TOO_LARGE),
            Self::TooSlow => empty(StatusCode::REQUEST_TIMEOUT),
        }
    }
}

fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

fn json(status: StatusCode, body: &serde_json::Value) -> Response<Full<Bytes>> {
    let mut response = empty(status);
    *response.body_mut() = Full::from(body.to_string());
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// RFC 8935 section 2.3.
fn set_error(code: &str, why: &str) -> Response<Full<Bytes>> {
    let body = serde_json::json!({ "err": code, "description": why });
    let mut response = json(StatusCode::BAD_REQUEST, &body);
    let english = HeaderValue::from_static("en");
    response.headers_mut().insert(CONTENT_LANGUAGE, english);
    response
}
