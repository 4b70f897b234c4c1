//! What is wrong with an answer: who is at fault, and what is told of it.

use std::collections::BTreeMap;
use std::time::Duration;

use evergrant_core::clock::Timestamp;
use evergrant_core::provider::{CallError, Delivery, Verdict};
use serde_json::Value;

use super::body::Body;
use super::skew::{Skew, http_date};
use super::{ACCESS_TOKEN, Context, MAX_TOKEN_BYTES, SUCCESS, oddity, prose};
use crate::classify::{Meaning, Said, classify};
use crate::client::{Answer, BodyFault};

/// Nobody waits for longer than this at a provider's word.
pub(super) const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(86_400);

/// An answer without a usable token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) error: CallError,
    /// Whether another client secret may be accepted.
    pub(crate) try_next_secret: bool,
    /// Whether another client of the provider may be accepted.
    pub(crate) try_alternate_client: bool,
    /// Whether the assertion of the request was signed by a wrong clock, as this very answer shows.
    pub(crate) sign_anew: bool,
}

impl Refusal {
    /// A failure that neither another secret nor another client would change.
    pub(crate) fn of(error: CallError) -> Self {
        Self {
            error,
            try_next_secret: false,
            try_alternate_client: false,
            sign_anew: false,
        }
    }
}

impl Context<'_> {
    pub(super) fn odd_token(self, answer: &Answer) -> Refusal {
        let answered = self.answered(answer);
        let message = format!(
            "{answered} with an access token that is no visible ASCII of at most {MAX_TOKEN_BYTES} bytes"
        );
        let meaning = Meaning::of(Verdict::Protocol);
        // What else was issued with it is lost.
        self.refusal(answer, meaning, Delivery::Unknown, String::new(), message)
    }

    pub(super) fn odd_expiry(self, answer: &Answer) -> Refusal {
        let message = format!("{} with an expiry that is no number", self.answered(answer));
        let meaning = Meaning::of(Verdict::Protocol);
        self.refusal(answer, meaning, Delivery::Answered, String::new(), message)
    }

    pub(super) fn refused(self, answer: &Answer, body: &Body) -> Refusal {
        let Self {
            entry,
            facts,
            secrets,
            ..
        } = self;
        let status = answer.status;
        let value = match body {
            Body::Value(value) => Some(value),
            _ => None,
        };
        let code = value
            .and_then(|value| facts.error.find(value).find_map(code))
            .filter(|code| !secrets.contains(&code.as_str()));
        let description = value.and_then(|value| {
            let texts = facts.error_description.find(value);
            texts
                .filter_map(Value::as_str)
                .find(|text| !text.is_empty())
        });
        let said = Said {
            code: code.as_deref(),
            description: description.unwrap_or_default(),
        };
        let meaning = classify(
            status,
            said,
            &entry.errors,
            &entry.described,
            &entry.uncoded,
        );
        let mut message = match &code {
            Some(code) => format!("{} with {code}", self.answered(answer)),
            None if (300..400).contains(&status) => self.redirected(answer),
            None => format!("{} {}", self.answered(answer), self.lack(answer, body)),
        };
        if let Some(description) = description {
            message.push_str(": ");
            message.push_str(&prose::clean(description, secrets));
        }
        let success = (200..300).contains(&status);
        let delivery = if success && *body == Body::Torn {
            Delivery::Unknown
        } else {
            Delivery::Answered
        };
        self.refusal(answer, meaning, delivery, code.unwrap_or_default(), message)
    }

    /// How every message about an answer begins: with the entry, and the key in it of the URL that was asked.
    fn answered(self, answer: &Answer) -> String {
        let (name, status, field) = (&self.entry.name, answer.status, self.field);
        format!("{name} answered HTTP {status} at its {field}")
    }

    fn redirected(self, answer: &Answer) -> String {
        let answered = self.answered(answer);
        let is_known = |host: &&String| {
            let is_in = |secret: &&str| !secret.is_empty() && host.contains(*secret);
            !host.is_empty() && !self.secrets.iter().any(is_in)
        };
        let to = match answer.redirect_to.as_ref().filter(is_known) {
            Some(host) => format!(" to {host}"),
            None => String::new(),
        };
        format!("{answered}, a redirect{to}, which is not followed")
    }

    /// What an answer without what is wanted and without a code is instead: the names of its keys at most.
    fn lack(self, answer: &Answer, body: &Body) -> String {
        let wanted = self.wanted;
        if let Body::Value(value) = body
            && wanted == ACCESS_TOKEN
            && let Some(odd) = self.facts.access_token.find(value).next()
        {
            let what = oddity::kind(odd);
            return format!("with {what} where the access token should be");
        }
        match body {
            Body::Value(Value::Object(fields)) => {
                let keys = fields.keys().map(String::as_str);
                let keys: Vec<&str> = keys.filter(|key| is_short_word(key)).take(10).collect();
                if keys.is_empty() {
                    format!("without {wanted}")
                } else {
                    format!("without {wanted}, but with {}", keys.join(", "))
                }
            }
            Body::Value(_) => "with JSON that is no object".to_owned(),
            Body::Empty => "without a body".to_owned(),
            Body::Torn => "with JSON that ends too early".to_owned(),
            Body::Page if wanted == SUCCESS => format!("with a page of HTML in place of {wanted}"),
            Body::Page => "with a page of HTML in place of JSON".to_owned(),
            Body::Foreign if answer.is_packed => format!("with {}", BodyFault::Packed),
            Body::Foreign => "with a body that is no JSON".to_owned(),
        }
    }

    /// The head of the answer is there. If it is that of a success, tokens may have been lost with the body.
    pub(super) fn broken(self, answer: &Answer, fault: &BodyFault) -> Refusal {
        let Self { entry, .. } = self;
        let status = answer.status;
        let otherwise = match fault {
            BodyFault::TooLarge | BodyFault::Packed => Verdict::Protocol,
            BodyFault::Cut(_) => Verdict::Transient,
        };
        let (none, uncoded) = (BTreeMap::new(), BTreeMap::new());
        let by_status = classify(status, Said::default(), &entry.errors, &none, &uncoded);
        let meaning = match by_status.verdict {
            Verdict::Protocol if !(300..400).contains(&status) => Meaning::of(otherwise),
            _ => by_status,
        };
        let message = format!("{} with {fault}", self.answered(answer));
        self.refusal(answer, meaning, Delivery::Unknown, String::new(), message)
    }

    fn refusal(
        self,
        answer: &Answer,
        meaning: Meaning,
        delivery: Delivery,
        code: String,
        message: String,
    ) -> Refusal {
        let patience = match meaning.verdict {
            Verdict::Transient | Verdict::RateLimit => answer.retry_after.as_deref(),
            _ => None,
        };
        Refusal {
            error: CallError {
                verdict: meaning.verdict,
                delivery,
                status: Some(answer.status),
                code,
                message,
                retry_after: patience.and_then(|text| {
                    let skew = Skew::of(self.entry, answer, self.now);
                    retry_after(text, skew.theirs(self.now))
                }),
                grant_specific: false,
            },
            try_next_secret: meaning.try_next_secret && delivery == Delivery::Answered,
            try_alternate_client: meaning.try_alternate_client && delivery == Delivery::Answered,
            sign_anew: false,
        }
    }
}

/// Seconds, or a date by the provider's clock, which shows `now` (RFC 9110 section 10.2.3). At most a day; `None` if it
/// is neither.
fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    let wait = if let Ok(seconds) = text.parse() {
        Duration::from_secs(seconds)
    } else {
        http_date(text)?.since(now)
    };
    Some(wait.min(LONGEST_RETRY_AFTER))
}

/// An error code: a number other than 0, or a short text without spaces. Whatever else stands there is prose.
fn code(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    is_code(&text).then_some(text)
}

/// Whether an answer's text can be an error code.
pub(crate) fn is_code(text: &str) -> bool {
    let nothing = ["", "0", "null", "undefined"].contains(&text);
    !nothing && is_short_word(text)
}

fn is_short_word(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
    text.len() <= 64 && text.bytes().all(word)
}
