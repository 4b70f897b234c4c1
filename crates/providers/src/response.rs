//! From an answer to tokens, or to what is wrong with it.

mod body;
mod expiry;
mod prose;
mod skew;

use std::collections::BTreeMap;
use std::time::Duration;

use evergrant_core::clock::Timestamp;
use evergrant_core::provider::{CallError, Delivery, Issued, Verdict};
use evergrant_core::secret::{AccessToken, RefreshToken};
use serde_json::Value;

use self::body::Body;
use self::skew::Skew;
use crate::catalogue::{Entry, FailureSign, Pointers};
use crate::classify::{Meaning, classify};
use crate::client::{Answer, BodyFault};

/// Nobody waits for longer than this at a provider's word.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(86_400);

/// What an answer is read with.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) entry: &'a Entry,
    /// When the request was sent.
    pub(crate) sent_at: Timestamp,
    /// When the answer was there.
    pub(crate) now: Timestamp,
    /// What must not appear in any message.
    pub(crate) secrets: &'a [&'a str],
}

/// An answer without a usable token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) error: CallError,
    /// Whether another client secret may be accepted.
    pub(crate) try_next_secret: bool,
}

/// The tokens in `answer`, or why it has none.
pub(crate) fn read(context: Context<'_>, answer: &Answer) -> Result<Issued, Refusal> {
    let skew = Skew::of(context.entry, answer, context.now);
    let body = match &answer.body {
        Ok(bytes) => body::parse(&answer.content_type, bytes),
        Err(fault) => return Err(context.broken(answer, fault)),
    };
    let success = (200..300).contains(&answer.status);
    match &body {
        Body::Value(value) if success && !context.is_failure(value) => context
            .issued(value, skew)
            .ok_or_else(|| context.refused(answer, &body)),
        _ => Err(context.refused(answer, &body)),
    }
}

impl Context<'_> {
    fn is_failure(self, value: &Value) -> bool {
        self.entry.response.failure.iter().any(|rule| {
            let found = value.pointer(&rule.pointer);
            match &rule.sign {
                FailureSign::Equals(sign) => found == Some(sign),
                FailureSign::DiffersFrom(sign) => found.is_some_and(|found| found != sign),
                FailureSign::Present => found.is_some_and(|found| !found.is_null()),
            }
        })
    }

    /// Only a missing access token spoils an answer. Whatever else is odd is left out, since a token set that
    /// is thrown away may be the last one of its grant.
    fn issued(self, value: &Value, skew: Skew) -> Option<Issued> {
        let Self { entry, sent_at, .. } = self;
        let facts = &entry.response;
        let access_token = first_text(&facts.access_token, value)?;
        let refresh_token = first_text(&facts.refresh_token, value);
        let expires_at = ends_at(&facts.expires_in, &facts.expires_at, value, sent_at, skew)
            .or_else(|| Some(sent_at.plus(entry.lifetime.access_token?)));
        let refresh_expires_at = ends_at(
            &facts.refresh_expires_in,
            &facts.refresh_expires_at,
            value,
            sent_at,
            skew,
        )
        .or_else(|| {
            // An old refresh token does not grow younger by being used.
            refresh_token.as_ref()?;
            Some(sent_at.plus(entry.lifetime.refresh_token?))
        });
        Some(Issued {
            access_token: AccessToken::new(access_token.to_owned()),
            token_type: token_type(first_text(&facts.token_type, value)),
            expires_at,
            refresh_token: refresh_token.map(|token| RefreshToken::new(token.to_owned())),
            refresh_expires_at,
            scopes: facts.scope.find(value).find_map(scopes),
            metadata: metadata(&facts.metadata, value),
        })
    }

    fn refused(self, answer: &Answer, body: &Body) -> Refusal {
        let Self { entry, secrets, .. } = self;
        let status = answer.status;
        let value = match body {
            Body::Value(value) => Some(value),
            _ => None,
        };
        let code = value
            .and_then(|value| entry.response.error.find(value).find_map(code))
            .filter(|code| !secrets.contains(&code.as_str()));
        let meaning = classify(status, code.as_deref(), &entry.errors, &entry.uncoded);
        let mut message = match &code {
            Some(code) => format!("{} answered HTTP {status} with {code}", entry.name),
            None => format!("{} answered HTTP {status} {}", entry.name, lack(body)),
        };
        let description = value.and_then(|value| {
            let texts = entry.response.error_description.find(value);
            texts
                .filter_map(Value::as_str)
                .find(|text| !text.is_empty())
        });
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

    /// The head of the answer is there. If it is that of a success, tokens may have been lost with the body.
    fn broken(self, answer: &Answer, fault: &BodyFault) -> Refusal {
        let Self { entry, .. } = self;
        let status = answer.status;
        let (why, otherwise) = match fault {
            BodyFault::TooLarge => ("more than 1 MiB".to_owned(), Verdict::Protocol),
            BodyFault::Cut(why) => (format!("a broken body: {why}"), Verdict::Transient),
        };
        let by_status = classify(status, None, &entry.errors, &BTreeMap::new());
        let meaning = match by_status.verdict {
            Verdict::Protocol if !(300..400).contains(&status) => Meaning::of(otherwise),
            _ => by_status,
        };
        let message = format!("{} answered HTTP {status} with {why}", entry.name);
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
                code,
                message,
                retry_after: patience.and_then(|text| {
                    let skew = Skew::of(self.entry, answer, self.now);
                    retry_after(text, skew.theirs(self.now))
                }),
            },
            try_next_secret: meaning.try_next_secret && delivery == Delivery::Answered,
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

fn http_date(text: &str) -> Option<Timestamp> {
    let date = httpdate::parse_http_date(text.trim()).ok()?;
    let since_epoch = date.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(0).plus(since_epoch))
}

/// An end by our clock. What is relative counts from `sent_at`; what is absolute is by the provider's clock.
fn ends_at(
    relative: &Pointers,
    absolute: &Pointers,
    value: &Value,
    sent_at: Timestamp,
    skew: Skew,
) -> Option<Timestamp> {
    let from_now = relative.find(value).find_map(expiry::duration);
    from_now.map(|duration| sent_at.plus(duration)).or_else(|| {
        absolute
            .find(value)
            .find_map(|value| expiry::instant(value, skew.theirs(sent_at)))
            .map(|end| skew.ours(end))
    })
}

fn first_text<'v>(pointers: &'v Pointers, value: &'v Value) -> Option<&'v str> {
    pointers
        .find(value)
        .filter_map(Value::as_str)
        .find(|text| !text.is_empty())
}

/// Types are compared without regard to case (RFC 6749 section 5.1); ours is written `Bearer`.
fn token_type(stated: Option<&str>) -> String {
    match stated {
        Some(text)
            if !text.eq_ignore_ascii_case("bearer")
                && text.len() <= 64
                && text.bytes().all(|byte| byte.is_ascii_graphic()) =>
        {
            text.to_owned()
        }
        _ => "Bearer".to_owned(),
    }
}

/// A list of texts, or one text that separates its scopes by spaces, else by commas.
fn scopes(value: &Value) -> Option<Vec<String>> {
    let words: Vec<&str> = match value {
        Value::String(text) if text.trim().contains(char::is_whitespace) => {
            text.split_whitespace().collect()
        }
        Value::String(text) => text.split(',').collect(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    let named = words.into_iter().map(|word| word.trim().trim_matches(','));
    Some(
        named
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect(),
    )
}

fn metadata(wanted: &BTreeMap<String, Pointers>, value: &Value) -> BTreeMap<String, String> {
    let scalar = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    };
    wanted
        .iter()
        .filter_map(|(name, pointers)| Some((name.clone(), pointers.find(value).find_map(scalar)?)))
        .collect()
}

/// An error code: a number other than 0, or a short text without spaces. Whatever else stands there is prose.
fn code(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let nothing = ["", "0", "null", "undefined"].contains(&text.as_str());
    (!nothing && is_short_word(&text)).then_some(text)
}

fn is_short_word(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
    text.len() <= 64 && text.bytes().all(word)
}

/// What an answer without tokens and without a code is instead: the names of its keys at most.
fn lack(body: &Body) -> String {
    match body {
        Body::Value(Value::Object(fields)) => {
            let keys = fields.keys().map(String::as_str);
            let keys: Vec<&str> = keys.filter(|key| is_short_word(key)).take(10).collect();
            if keys.is_empty() {
                "without an access token".to_owned()
            } else {
                format!("without an access token, but with {}", keys.join(", "))
            }
        }
        Body::Value(_) => "with JSON that is no object".to_owned(),
        Body::Empty => "without a body".to_owned(),
        Body::Torn => "with JSON that ends too early".to_owned(),
        Body::Foreign => "with a body that is no JSON".to_owned(),
    }
}

#[cfg(test)]
mod tests;
