//! From an answer to tokens, or to what is wrong with it.

mod body;
mod calls;
mod expiry;
mod jwt;
mod oddity;
mod prose;
mod skew;

use std::collections::BTreeMap;
use std::time::Duration;

use evergrant_core::clock::Timestamp;
use evergrant_core::provider::{CallError, Delivery, Issued, Verdict};
use evergrant_core::secret::{AccessToken, RefreshToken};
use secrecy::SecretString;
use serde_json::Value;

use self::body::Body;
use self::skew::Skew;
use crate::catalogue::{Entry, Pointers, ResponseFacts};
use crate::classify::{Meaning, classify};
use crate::client::{Answer, BodyFault};

pub(crate) use self::calls::{device, done, introspected};
pub(crate) use self::oddity::Oddities;

/// Nobody waits for longer than this at a provider's word.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(86_400);

/// What a token endpoint is asked for, in words.
pub(crate) const ACCESS_TOKEN: &str = "an access token";

/// As for tokens that callers bring.
const MAX_TOKEN_BYTES: usize = 65_536;

/// What an answer is read with.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) entry: &'a Entry,
    /// Where things stand in it.
    pub(crate) facts: &'a ResponseFacts,
    /// What it is to hold, in words.
    pub(crate) wanted: &'static str,
    /// When the request was sent.
    pub(crate) sent_at: Timestamp,
    /// When the answer was there.
    pub(crate) now: Timestamp,
    /// What must not appear in any message.
    pub(crate) secrets: &'a [&'a str],
    /// Where what is left out is told.
    pub(crate) oddities: &'a Oddities,
}

/// An answer without a usable token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) error: CallError,
    /// Whether another client secret may be accepted.
    pub(crate) try_next_secret: bool,
    /// Whether another client of the provider may be accepted.
    pub(crate) try_alternate_client: bool,
}

impl Refusal {
    /// A failure that neither another secret nor another client would change.
    pub(crate) fn of(error: CallError) -> Self {
        Self {
            error,
            try_next_secret: false,
            try_alternate_client: false,
        }
    }
}

/// Tokens, and what came with them.
pub(crate) struct Granted {
    /// Its expiry is what the answer or the access token itself says.
    pub(crate) issued: Issued,
    /// When the access token ends by what is known of the provider, if nobody says otherwise.
    pub(crate) usual_end: Option<Timestamp>,
    pub(crate) id_token: Option<SecretString>,
    /// What names the account at the provider.
    pub(crate) account: Option<String>,
}

/// The tokens in `answer`, or why it has none.
pub(crate) fn read(context: Context<'_>, answer: &Answer) -> Result<Granted, Refusal> {
    let skew = Skew::of(context.entry, answer, context.now);
    let body = match &answer.body {
        Ok(bytes) => body::parse(&answer.content_type, bytes),
        Err(fault) => return Err(context.broken(answer, fault)),
    };
    if body == Body::Foreign && answer.is_packed {
        return Err(context.broken(answer, &BodyFault::Packed));
    }
    let success = (200..300).contains(&answer.status);
    match &body {
        Body::Value(value) if success && !context.is_failure(value) => {
            if context.is_odd_expiry(value) {
                return Err(context.odd_expiry(answer));
            }
            if context.is_odd_token(value) {
                return Err(context.odd_token(answer));
            }
            context
                .granted(value, skew)
                .ok_or_else(|| context.refused(answer, &body))
        }
        _ => Err(context.refused(answer, &body)),
    }
}

impl Context<'_> {
    fn is_failure(self, value: &Value) -> bool {
        let mut rules = self.facts.failure.iter();
        rules.any(|rule| rule.applies_to(value))
    }

    /// Whether an expiry is no number where the provider is known to write numbers alone.
    fn is_odd_expiry(self, value: &Value) -> bool {
        let Self { facts, .. } = self;
        let mut stated = facts
            .expires_in
            .find(value)
            .chain(facts.expires_at.find(value));
        facts.numbers_only && stated.any(|value| !value.is_number())
    }

    /// Whether there is an access token that no header could carry.
    fn is_odd_token(self, value: &Value) -> bool {
        let token = first_text(&self.facts.access_token, value);
        token.is_some_and(|token| {
            token.len() > MAX_TOKEN_BYTES || !token.bytes().all(|byte| byte.is_ascii_graphic())
        })
    }

    fn odd_token(self, answer: &Answer) -> Refusal {
        let (name, status) = (&self.entry.name, answer.status);
        let message = format!(
            "{name} answered HTTP {status} with an access token that is no visible ASCII of at most {MAX_TOKEN_BYTES} bytes"
        );
        let meaning = Meaning::of(Verdict::Protocol);
        // What else was issued with it is lost.
        self.refusal(answer, meaning, Delivery::Unknown, String::new(), message)
    }

    fn odd_expiry(self, answer: &Answer) -> Refusal {
        let status = answer.status;
        let name = &self.entry.name;
        let message = format!("{name} answered HTTP {status} with an expiry that is no number");
        let meaning = Meaning::of(Verdict::Protocol);
        self.refusal(answer, meaning, Delivery::Answered, String::new(), message)
    }

    fn granted(self, value: &Value, skew: Skew) -> Option<Granted> {
        let id_token = first_text(&self.facts.id_token, value);
        let of_grant_type = self.facts.access_token_lifetime;
        let lifetime = of_grant_type.or(self.entry.lifetime.access_token);
        Some(Granted {
            issued: self.issued(value, skew)?,
            usual_end: lifetime.map(|lifetime| self.sent_at.plus(lifetime)),
            id_token: id_token.map(SecretString::from),
            account: self.facts.account.find(value).find_map(scalar),
        })
    }

    /// Only a missing access token spoils an answer. Whatever else is odd is left out, since a token set that
    /// is thrown away may be the last one of its grant.
    fn issued(self, value: &Value, skew: Skew) -> Option<Issued> {
        let Self { facts, sent_at, .. } = self;
        let access_token = first_text(&facts.access_token, value)?;
        let refresh_token = first_text(&facts.refresh_token, value);
        let stated = ends_at(&facts.expires_in, &facts.expires_at, value, sent_at, skew);
        let in_token = jwt::expiry(access_token, skew.theirs(sent_at)).map(|end| skew.ours(end));
        let refresh_expires_at = ends_at(
            &facts.refresh_expires_in,
            &facts.refresh_expires_at,
            value,
            sent_at,
            skew,
        )
        .or_else(|| self.usual_refresh_end(refresh_token.is_some()));
        self.tell_oddities(value, stated.is_some(), refresh_token.is_some());
        Some(Issued {
            access_token: AccessToken::new(access_token.to_owned()),
            token_type: token_type(first_text(&facts.token_type, value)),
            expires_at: earlier(stated, in_token),
            refresh_token: refresh_token.map(|token| RefreshToken::new(token.to_owned())),
            refresh_expires_at,
            scopes: facts.scope.find(value).find_map(scopes),
            metadata: metadata(&facts.metadata, value),
        })
    }

    /// Tells of what is there and was not understood.
    fn tell_oddities(self, value: &Value, has_end: bool, has_refresh_token: bool) {
        let Self { facts, .. } = self;
        let tell = |field, pointers: &Pointers, in_words: fn(&Value) -> String| {
            let mut found = pointers.find(value);
            if let Some(odd) = found.find(|odd| odd.as_str() != Some("")) {
                let provider = &self.entry.name;
                self.oddities
                    .tell(provider, field, &in_words(odd), self.now);
            }
        };
        if !has_end {
            tell("response.expires_in", &facts.expires_in, oddity::of_expiry);
            tell("response.expires_at", &facts.expires_at, oddity::of_expiry);
        }
        if !has_refresh_token {
            let kind = |odd: &Value| oddity::kind(odd).to_owned();
            tell("response.refresh_token", &facts.refresh_token, kind);
        }
    }

    /// A new refresh token has its lifetime before it; an old one does not grow younger by being used, unless it is
    /// idleness that ends it.
    fn usual_refresh_end(self, is_new: bool) -> Option<Timestamp> {
        let lifetime = self.entry.lifetime;
        let of_age = lifetime.refresh_token.filter(|_| is_new);
        let after = |duration: Option<Duration>| Some(self.sent_at.plus(duration?));
        earlier(after(of_age), after(lifetime.refresh_token_idle))
    }

    fn refused(self, answer: &Answer, body: &Body) -> Refusal {
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
        let meaning = classify(status, code.as_deref(), &entry.errors, &entry.uncoded);
        let mut message = match &code {
            Some(code) => format!("{} answered HTTP {status} with {code}", entry.name),
            None if (300..400).contains(&status) => format!(
                "{} answered HTTP {status}, a redirect, which is not followed",
                entry.name
            ),
            None => format!("{} answered HTTP {status} {}", entry.name, self.lack(body)),
        };
        let description = value.and_then(|value| {
            let texts = facts.error_description.find(value);
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

    /// What an answer without what is wanted and without a code is instead: the names of its keys at most.
    fn lack(self, body: &Body) -> String {
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
            Body::Page => "with a page of HTML in place of JSON".to_owned(),
            Body::Foreign => "with a body that is no JSON".to_owned(),
        }
    }

    /// The head of the answer is there. If it is that of a success, tokens may have been lost with the body.
    fn broken(self, answer: &Answer, fault: &BodyFault) -> Refusal {
        let Self { entry, .. } = self;
        let status = answer.status;
        let (why, otherwise) = match fault {
            BodyFault::TooLarge => ("more than 1 MiB".to_owned(), Verdict::Protocol),
            BodyFault::Packed => (
                "a compressed body, which it was asked not to".to_owned(),
                Verdict::Protocol,
            ),
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
                status: Some(answer.status),
                code,
                message,
                retry_after: patience.and_then(|text| {
                    let skew = Skew::of(self.entry, answer, self.now);
                    retry_after(text, skew.theirs(self.now))
                }),
            },
            try_next_secret: meaning.try_next_secret && delivery == Delivery::Answered,
            try_alternate_client: meaning.try_alternate_client && delivery == Delivery::Answered,
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

/// The earlier of two ends, as far as they are known.
fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
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
    wanted
        .iter()
        .filter_map(|(name, pointers)| Some((name.clone(), pointers.find(value).find_map(scalar)?)))
        .collect()
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
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

#[cfg(test)]
mod tests;
