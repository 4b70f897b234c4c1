//! A browser that comes back from a provider.

use axum::http::HeaderMap;
use serde::Deserialize;

use crate::consent::{Answer, Outcome};

/// What a provider appends to a redirect URI (RFC 6749 section 4.1.2, RFC 9207 section 2). All else is ignored. It is
/// not printed, since it holds the state and the code.
#[derive(Clone, Deserialize)]
pub(crate) struct Arrival {
    #[serde(default)]
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) code: String,
    #[serde(default)]
    pub(crate) error: String,
    #[serde(default)]
    pub(crate) error_description: String,
    #[serde(default)]
    pub(crate) iss: String,
}

impl Arrival {
    /// What it brings, or what is wrong with its address, in words for its user.
    pub(crate) fn answer(self) -> Result<Answer, &'static str> {
        if self.state.is_empty() {
            return Err("the address has no state");
        }
        let outcome = match (self.code.is_empty(), self.error.is_empty()) {
            (false, true) => Outcome::Code(self.code.into()),
            (true, false) => Outcome::Refused {
                error: self.error,
                description: self.error_description,
            },
            _ => return Err("the address has neither a code nor an error"),
        };
        Ok(Answer {
            state: self.state.into(),
            outcome,
            issuer: self.iss,
        })
    }
}

/// Whether a browser loads the page in advance. It says so, and comes again when its user does.
pub(crate) fn is_prefetch(headers: &HeaderMap) -> bool {
    ["sec-purpose", "purpose", "x-moz"].iter().any(|name| {
        let value = headers.get(*name).and_then(|value| value.to_str().ok());
        value.is_some_and(|value| value.contains("prefetch") || value.contains("prerender"))
    })
}
