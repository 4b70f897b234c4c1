//! From an answer to tokens, or to what is wrong with it.

mod body;
mod calls;
mod expiry;
mod flaw;
mod jwt;
mod oddity;
mod prose;
mod refusal;
mod skew;
mod tokens;
mod usual;

use evergrant_core::clock::Timestamp;
use serde_json::Value;

use self::body::Body;
use self::flaw::Flaw;
use self::tokens::{Came, first_text};
use crate::catalogue::{Entry, ResponseFacts};
use crate::client::{Answer, BodyFault};

pub(crate) use self::calls::{device, done, introspected, named};
pub(crate) use self::oddity::Oddities;
pub(crate) use self::refusal::{Refusal, is_code};
pub(crate) use self::skew::Skew;
pub(crate) use self::tokens::{Granted, earlier};
pub(crate) use self::usual::{own_end, usual_end, usual_refresh_end};

/// What a token endpoint is asked for, in words.
pub(crate) const ACCESS_TOKEN: &str = "an access token";
/// What a revocation endpoint is asked for, in words.
pub(crate) const SUCCESS: &str = "a sign of success";

/// As for tokens that callers bring.
const MAX_TOKEN_BYTES: usize = 65_536;

/// What an answer is read with.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) entry: &'a Entry,
    /// The key of the URL in it that was asked, e.g. `token_url`.
    pub(crate) field: &'a str,
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

/// The tokens in `answer`, or why it has none.
pub(crate) fn read(context: Context<'_>, answer: &Answer) -> Result<Granted, Refusal> {
    let skew = Skew::of(context.entry, answer, context.now);
    let body = context.readable(answer)?;
    if !(200..300).contains(&answer.status) {
        return Err(context.refused(answer, &body));
    }
    let came = Came::JustNow(skew);
    context.understood(&body, came).map_err(|flaw| match flaw {
        Flaw::OddExpiry => context.odd_expiry(answer),
        Flaw::OddToken => context.odd_token(answer),
        Flaw::NoObject | Flaw::Failure(_) | Flaw::NoToken => context.refused(answer, &body),
    })
}

/// The tokens in the `text` of a successful answer that somebody else got at some time, or what is wrong with it in words that hold
/// no value of it.
pub(crate) fn read_text(context: Context<'_>, text: &str) -> Result<Granted, String> {
    let body = body::parse("", text.as_bytes());
    context
        .understood(&body, Came::Sometime)
        .map_err(|flaw| context.in_words(&flaw, &body))
}

impl<'a> Context<'a> {
    /// What an answer holds, whatever its status. What came compressed, which was not asked for, is not unpacked.
    fn readable(self, answer: &Answer) -> Result<Body, Refusal> {
        let body = self.body(answer)?;
        match body {
            Body::Foreign if answer.is_packed => Err(self.broken(answer, &BodyFault::Packed)),
            body => Ok(body),
        }
    }

    /// The same where a body is not needed.
    fn body(self, answer: &Answer) -> Result<Body, Refusal> {
        match &answer.body {
            Ok(bytes) => Ok(body::parse(&answer.content_type, bytes)),
            Err(fault) => Err(self.broken(answer, fault)),
        }
    }

    /// The tokens in the body of an answer whose status is that of a success.
    fn understood(self, body: &Body, came: Came) -> Result<Granted, Flaw<'a>> {
        let Body::Value(value) = body else {
            return Err(Flaw::NoObject);
        };
        let mut rules = self.facts.failure.iter();
        if let Some(rule) = rules.find(|rule| rule.applies_to(value)) {
            return Err(Flaw::Failure(rule));
        }
        if self.is_odd_expiry(value) {
            return Err(Flaw::OddExpiry);
        }
        if self.is_odd_token(value) {
            return Err(Flaw::OddToken);
        }
        self.granted(value, came).ok_or(Flaw::NoToken)
    }

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
}

#[cfg(test)]
mod tests;
