//! Answers in the words of each dialect (RFC 6749 sections 5.1 and 5.2; Slack's HTTP 200 with `ok`).

use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Map, Value, json};

use super::call::Call;
use super::dialect;
use super::fault::ExpiresIn;
use super::fault_queue::{Canned, Effects, RetryAfter};
use super::grants::Issue;
use super::refusal::{Dialect, Refusal};
use super::state::{Facts, Reply};
use super::token_call::ACCESS_TOKEN_TYPE;

/// An answer ready to be sent, whole or in pieces.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Answer {
    /// Puts `reply` into the words of the call's dialect. `now_ms` is the time since the Unix epoch, `base_url` that of
    /// the sandbox.
    pub(super) fn of(
        reply: &Reply,
        call: &Call,
        effects: &Effects,
        now_ms: i64,
        base_url: &str,
    ) -> Self {
        let now = now_ms.div_euclid(1_000);
        let played = call.played.as_ref();
        match (reply, played) {
            (Reply::Issued(issue), Some(played)) => {
                let expires_in = expires_in_value(issue.expires_in, effects.expires_in);
                let body = dialect::issued(played, issue, expires_in, now);
                Self::json(StatusCode::OK, body)
            }
            (Reply::Issued(issue), None) => {
                Self::json(StatusCode::OK, tokens(issue, call, effects.expires_in))
            }
            (Reply::Device(begun), _) => {
                Self::json(StatusCode::OK, dialect::device(begun, base_url))
            }
            (Reply::Revoked, Some(played)) => {
                let (status, body) = dialect::revoked(played);
                Self::json(status, body)
            }
            (Reply::Revoked, None) => Self::json(StatusCode::OK, json!({})),
            (Reply::Introspected(facts), Some(played)) => {
                let body = dialect::introspected(played, facts.as_ref(), now);
                Self::json(StatusCode::OK, body)
            }
            (Reply::Introspected(facts), None) => {
                Self::json(StatusCode::OK, introspection(facts.as_ref(), now))
            }
            (Reply::Resource(Some(_)), Some(played)) => {
                Self::json(StatusCode::OK, dialect::named(played))
            }
            (Reply::Resource(Some(facts)), None) => {
                let body = json!({ "family": facts.family, "scope": facts.scope });
                Self::json(StatusCode::OK, body)
            }
            // RFC 6750 section 3.1.
            (Reply::Resource(None), _) => Self::json(
                StatusCode::UNAUTHORIZED,
                json!({ "error": "invalid_token" }),
            )
            .with(WWW_AUTHENTICATE, r#"Bearer error="invalid_token""#),
            (Reply::Refused(refusal), _) => Self::refused(*refusal, call, effects, now_ms),
        }
    }

    /// An answer that a fault makes up.
    pub(super) fn canned(canned: &Canned) -> Self {
        Self {
            status: StatusCode::from_u16(canned.status).expect("checked when the fault was queued"),
            body: canned.body.clone(),
            headers: Vec::new(),
        }
        .with(CONTENT_TYPE, &canned.content_type)
    }

    fn refused(refusal: Refusal, call: &Call, effects: &Effects, now_ms: i64) -> Self {
        let (status, body) = match &call.played {
            Some(played) => dialect::refused(played, refusal, call.malformed),
            None => (refusal.status(call.dialect), words(refusal, call)),
        };
        let mut answer = Self::json(status, body);
        if answer.status == StatusCode::UNAUTHORIZED && call.basic {
            answer = answer.with(WWW_AUTHENTICATE, r#"Basic realm="sandbox""#);
        }
        match effects.retry_after {
            Some(RetryAfter::Seconds(seconds)) => answer.with(RETRY_AFTER, &seconds.to_string()),
            Some(RetryAfter::Date(seconds)) => {
                answer.with(RETRY_AFTER, &http_date(now_ms, seconds))
            }
            None => answer,
        }
    }

    fn json(status: StatusCode, body: Value) -> Self {
        Self {
            status,
            body: body.to_string(),
            headers: Vec::new(),
        }
        .with(CONTENT_TYPE, "application/json")
        .with(CACHE_CONTROL, "no-store")
        .with(PRAGMA, "no-cache")
    }

    fn with(mut self, name: HeaderName, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("own header values are plain text");
        self.headers.push((name, value));
        self
    }

    /// The response with this head and `body`.
    pub(super) fn into_response(self, body: Body) -> Response {
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.headers);
        response
    }
}

fn words(refusal: Refusal, call: &Call) -> Value {
    match (call.dialect, call.malformed) {
        (Dialect::Slack, _) => json!({ "ok": false, "error": refusal.slack_code() }),
        (_, Some(why)) => json!({ "error": refusal.code(), "error_description": why }),
        (_, None) => json!({ "error": refusal.code() }),
    }
}

fn tokens(issue: &Issue, call: &Call, expires_in: Option<ExpiresIn>) -> Value {
    let mut body = Map::new();
    if call.dialect == Dialect::Slack {
        body.insert("ok".into(), true.into());
    }
    body.insert("access_token".into(), issue.access_token.expose().into());
    body.insert("token_type".into(), "Bearer".into());
    if let Some(expires_in) = expires_in_value(issue.expires_in, expires_in) {
        body.insert("expires_in".into(), expires_in);
    }
    if let Some(refresh_token) = &issue.refresh_token {
        body.insert("refresh_token".into(), refresh_token.expose().into());
    }
    if let Some(seconds) = issue.refresh_token_expires_in {
        body.insert("refresh_token_expires_in".into(), seconds.into());
    }
    body.insert("scope".into(), issue.scope.as_str().into());
    // RFC 8693 section 2.2.1.
    if call.parameter("subject_token").is_some() {
        body.insert("issued_token_type".into(), ACCESS_TOKEN_TYPE.into());
    }
    body.into()
}

fn expires_in_value(seconds: u64, instead: Option<ExpiresIn>) -> Option<Value> {
    let whole = i64::try_from(seconds).unwrap_or(i64::MAX);
    Some(match instead {
        None => seconds.into(),
        Some(ExpiresIn::Missing) => return None,
        Some(ExpiresIn::Zero) => 0.into(),
        Some(ExpiresIn::Negative) => (-whole).into(),
        Some(ExpiresIn::String) => seconds.to_string().into(),
        Some(ExpiresIn::Huge) => u64::MAX.into(),
        Some(ExpiresIn::Float) => json!(seconds as f64 + 0.5),
    })
}

/// RFC 7662 section 2.2.
fn introspection(facts: Option<&Facts>, now: i64) -> Value {
    match facts {
        Some(facts) => json!({
            "active": true,
            "client_id": facts.client_id,
            "scope": facts.scope,
            "sub": facts.family,
            "exp": facts.expires_in.map(|seconds| now.saturating_add_unsigned(seconds)),
        }),
        None => json!({ "active": false }),
    }
}

fn http_date(now_ms: i64, seconds: u64) -> String {
    let now = Duration::from_millis(u64::try_from(now_ms).unwrap_or(0));
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + now + Duration::from_secs(seconds))
}
