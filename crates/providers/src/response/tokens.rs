//! The tokens in an answer, and what came with them.

use std::collections::BTreeMap;

use evergrant_core::clock::Timestamp;
use evergrant_core::provider::Issued;
use evergrant_core::secret::{AccessToken, RefreshToken};
use secrecy::SecretString;
use serde_json::Value;

use super::skew::Skew;
use super::{Context, expiry, jwt, oddity, usual_end, usual_refresh_end};
use crate::catalogue::{AccountNames, Pointers};

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

/// When an answer came.
#[derive(Clone, Copy)]
pub(super) enum Came {
    /// A moment ago, so that an end which has passed is none. By so much the provider's clock is off.
    JustNow(Skew),
    /// At some time or other, to somebody else: a point in time says more than a duration, and may have passed.
    Sometime,
}

impl Context<'_> {
    pub(super) fn granted(self, value: &Value, came: Came) -> Option<Granted> {
        let id_token = first_text(&self.facts.id_token, value);
        Some(Granted {
            issued: self.issued(value, came)?,
            usual_end: usual_end(self.entry, self.facts, self.sent_at),
            id_token: id_token.map(SecretString::from),
            account: account(&self.facts.account, value),
        })
    }

    /// Only a missing access token spoils an answer. Whatever else is odd is left out, since a token set that
    /// is thrown away may be the last one of its grant.
    fn issued(self, value: &Value, came: Came) -> Option<Issued> {
        let Self { facts, sent_at, .. } = self;
        let access_token = first_text(&facts.access_token, value)?;
        let refresh_token = first_text(&facts.refresh_token, value);
        let stated = ends_at(&facts.expires_in, &facts.expires_at, value, sent_at, came);
        let in_token = match came {
            Came::JustNow(skew) => {
                jwt::expiry(access_token, skew.theirs(sent_at)).map(|end| skew.ours(end))
            }
            Came::Sometime => jwt::expiry_ever(access_token, sent_at),
        };
        let refresh_expires_at = ends_at(
            &facts.refresh_expires_in,
            &facts.refresh_expires_at,
            value,
            sent_at,
            came,
        )
        .or_else(|| usual_refresh_end(self.entry, refresh_token.is_some(), sent_at));
        self.tell_oddities(value, stated.is_some(), refresh_token.is_some());
        Some(Issued {
            access_token: AccessToken::new(access_token.to_owned()),
            token_type: token_type(first_text(&facts.token_type, value)),
            expires_at: earlier(stated, in_token),
            refresh_token: refresh_token.map(|token| RefreshToken::new(token.to_owned())),
            refresh_expires_at,
            scopes: facts.scope.find(value).find_map(scopes),
            metadata: metadata(&facts.metadata, value),
            minted_by: None,
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
}

/// An end by our clock. What is relative counts from `sent_at`; what is absolute is by the provider's clock.
fn ends_at(
    relative: &Pointers,
    absolute: &Pointers,
    value: &Value,
    sent_at: Timestamp,
    came: Came,
) -> Option<Timestamp> {
    let from_then = || {
        let duration = relative.find(value).find_map(expiry::duration);
        duration.map(|duration| sent_at.plus(duration))
    };
    let mut points = absolute.find(value);
    match came {
        Came::JustNow(skew) => from_then().or_else(|| {
            points
                .find_map(|value| expiry::instant(value, skew.theirs(sent_at)))
                .map(|end| skew.ours(end))
        }),
        Came::Sometime => points
            .find_map(|value| expiry::instant_ever(value, sent_at))
            .or_else(from_then),
    }
}

/// The earlier of two ends, as far as they are known.
pub(crate) fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

pub(super) fn first_text<'v>(pointers: &'v Pointers, value: &'v Value) -> Option<&'v str> {
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

pub(super) fn account(names: &AccountNames, answer: &Value) -> Option<String> {
    let at = |pointer: &String| answer.pointer(pointer).and_then(scalar);
    names.0.iter().find_map(|name| {
        if name.with.as_ref().is_some_and(|with| at(with).is_none()) {
            return None;
        }
        let parts: Option<Vec<String>> = name.join.iter().map(at).collect();
        parts.map(|parts| parts.join(":"))
    })
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
