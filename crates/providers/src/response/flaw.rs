//! Why there are no tokens in an answer that looks like a success.

use serde_json::Value;

use super::body::Body;
use super::{Context, MAX_TOKEN_BYTES, oddity};
use crate::catalogue::{FailureRule, Pointers};

/// What keeps an answer from being taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Flaw<'a> {
    /// It is neither JSON nor a form.
    NoObject,
    /// The catalogue says that this marks a failure.
    Failure(&'a FailureRule),
    /// An expiry is no number where the provider writes numbers alone.
    OddExpiry,
    /// No header could carry its access token.
    OddToken,
    /// There is no access token.
    NoToken,
}

impl Context<'_> {
    /// The flaw by the keys and the pointers of the entry; no word of the answer is repeated.
    pub(super) fn in_words(self, flaw: &Flaw<'_>, body: &Body) -> String {
        match flaw {
            Flaw::NoObject => what_it_is(body).to_owned(),
            Flaw::Failure(rule) => {
                let pointer = &rule.pointer;
                format!("it is a refusal and no success: response.failure says so of {pointer}")
            }
            Flaw::OddExpiry => {
                let (relative, absolute) = (&self.facts.expires_in, &self.facts.expires_at);
                let pointers = listed(&[relative, absolute]);
                format!(
                    "response.numbers_only wants a number where the expiry is, at one of {pointers}"
                )
            }
            Flaw::OddToken => {
                let pointers = listed(&[&self.facts.access_token]);
                format!(
                    "response.access_token leads to one that is no visible ASCII of at most {MAX_TOKEN_BYTES} bytes, \
                     at one of {pointers}"
                )
            }
            Flaw::NoToken => self.lacking(body),
        }
    }

    fn lacking(self, body: &Body) -> String {
        let Body::Value(value @ Value::Object(_)) = body else {
            return "it is JSON, and no object".to_owned();
        };
        let wanted = &self.facts.access_token;
        let pointers = listed(&[wanted]);
        if let Some((pointer, odd)) = first(wanted, value) {
            let kind = oddity::kind(odd);
            return format!(
                "response.access_token leads to {kind} at {pointer}, where a token should be"
            );
        }
        let lack = format!("response.access_token leads to nothing, at {pointers}");
        match first(&self.facts.error, value) {
            Some((pointer, _)) => format!("{lack}; there is an error at {pointer}"),
            None => lack,
        }
    }
}

fn what_it_is(body: &Body) -> &'static str {
    match body {
        Body::Value(_) => "it is JSON",
        Body::Empty => "it is empty",
        Body::Torn => "it is JSON that ends too early",
        Body::Page => "it is a page of HTML or XML",
        Body::Foreign => "it is neither JSON nor a form with an access_token",
    }
}

fn first<'v>(pointers: &'v Pointers, value: &'v Value) -> Option<(&'v str, &'v Value)> {
    let mut named = pointers.0.iter();
    named.find_map(|pointer| {
        let found = value.pointer(pointer).filter(|found| !found.is_null())?;
        Some((pointer.as_str(), found))
    })
}

fn listed(pointers: &[&Pointers]) -> String {
    let all = pointers.iter().flat_map(|pointers| &pointers.0);
    let all: Vec<&str> = all.map(String::as_str).collect();
    match all.as_slice() {
        [] => "no pointer".to_owned(),
        some => some.join(", "),
    }
}
