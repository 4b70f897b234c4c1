//! Holds what was sent and what was understood against a row.

mod answer;

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use evergrant_providers::ConsentError;
use serde_json::Value;
use url::Url;

pub use self::answer::{check_answer, stated};
use crate::facts::{Answer, Assertion, Authorize, Exchange};
use crate::perform::NOW;
use crate::provider::Seen;

/// Where rows and program differ.
#[derive(Default)]
pub struct Mistakes {
    subject: String,
    found: BTreeSet<String>,
}

impl Mistakes {
    /// What the next mistakes are about.
    pub fn of(&mut self, subject: String) {
        self.subject = subject;
    }

    /// One that no comparison finds.
    pub fn note(&mut self, mistake: String) {
        self.found.insert(format!("{}: {mistake}", self.subject));
    }

    /// Notes it unless both are the same.
    pub fn equal<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, is: &T, documented: &T) {
        if is != documented {
            self.note(format!("{what} is {is:?}, documented is {documented:?}"));
        }
    }

    /// Fails with all of them.
    pub fn none(self) {
        let list: Vec<String> = self.found.into_iter().collect();
        assert!(list.is_empty(), "\n{}", list.join("\n"));
    }
}

/// The user is sent to the documented place with the documented parameters, each of them once.
pub fn check_authorization(
    row: &Authorize,
    is: Result<Url, ConsentError>,
    mistakes: &mut Mistakes,
) {
    let mut url = match is {
        Ok(url) => url,
        Err(error) => return mistakes.note(format!("there is no URL: {error}")),
    };
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let query: BTreeMap<String, String> = pairs.iter().cloned().collect();
    mistakes.equal("the number of parameters", &pairs.len(), &query.len());
    same("query", &query, &row.query, mistakes);
    url.set_query(None);
    mistakes.equal("the url", &url.as_str(), &row.url.as_str());
}

/// Exactly one request was sent, and it is the documented one.
pub fn check_request(row: &Exchange, seen: &[Seen], mistakes: &mut Mistakes) {
    let [seen] = seen else {
        mistakes.note(format!("{} requests were sent", seen.len()));
        return;
    };
    mistakes.equal("the method", &seen.method, &row.method);
    mistakes.equal("the url", &seen.url, &row.url);
    same("query", &seen.query, &row.query, mistakes);
    same("body", &fields(seen, mistakes), &row.body, mistakes);
    mistakes.equal(
        "the content type",
        &seen.headers.get("content-type"),
        &row.content_type.as_ref(),
    );
    for (name, documented) in &row.headers {
        let name = name.to_lowercase();
        match seen.headers.get(&name) {
            Some(value) if documented == "*" || value == documented => {}
            value => mistakes.note(format!("header {name} is {value:?}, not {documented:?}")),
        }
    }
    let mut absent = row.absent.clone();
    if !row
        .headers
        .keys()
        .any(|name| name.eq_ignore_ascii_case("authorization"))
    {
        absent.push("authorization".to_owned());
    }
    for name in absent {
        if seen.headers.contains_key(&name.to_lowercase()) {
            mistakes.note(format!("there is a header {name}"));
        }
    }
    if let Some(assertion) = &row.assertion {
        check_assertion(assertion, &fields(seen, mistakes), mistakes);
    }
}

/// The first request and then the second one were sent, and they are the documented ones. What passes by itself is tried
/// again, and nothing else is.
pub fn check_requests(
    first: &Exchange,
    second: &Exchange,
    answer: &Answer,
    seen: &[Seen],
    mistakes: &mut Mistakes,
) {
    let (before, after) = seen.split_at(seen.len().min(1));
    check_request(first, before, mistakes);
    let passes = answer.verdict.as_deref() == Some("transient");
    if (after.len() > 1) != passes {
        mistakes.note(format!("the second request was sent {} times", after.len()));
    }
    for request in after.chunks(1) {
        check_request(second, request, mistakes);
    }
}

fn fields(seen: &Seen, mistakes: &mut Mistakes) -> BTreeMap<String, String> {
    if seen.body.is_empty() {
        return BTreeMap::new();
    }
    let json = seen
        .headers
        .get("content-type")
        .is_some_and(|kind| kind.contains("json"));
    let read = if json {
        serde_json::from_str(&seen.body).map_err(|error| error.to_string())
    } else {
        serde_urlencoded::from_str(&seen.body).map_err(|error| error.to_string())
    };
    read.unwrap_or_else(|error| {
        mistakes.note(format!("the body cannot be read: {error}"));
        BTreeMap::new()
    })
}

fn same(
    what: &str,
    is: &BTreeMap<String, String>,
    documented: &BTreeMap<String, String>,
    mistakes: &mut Mistakes,
) {
    let keys = |map: &BTreeMap<String, String>| map.keys().cloned().collect::<Vec<_>>();
    mistakes.equal(&format!("{what} keys"), &keys(is), &keys(documented));
    for (key, documented) in documented {
        if let Some(value) = is.get(key) {
            let any = documented == "*" && !value.is_empty();
            if !any {
                mistakes.equal(&format!("{what} {key}"), value, documented);
            }
        }
    }
}

fn check_assertion(row: &Assertion, fields: &BTreeMap<String, String>, mistakes: &mut Mistakes) {
    let token = ["assertion", "client_assertion"]
        .into_iter()
        .find_map(|name| fields.get(name));
    let Some([header, claims]) = token.and_then(|token| decoded(token)) else {
        mistakes.note("there is no signed assertion".to_owned());
        return;
    };
    for (name, documented) in &row.header {
        mistakes.equal(
            &format!("assertion header {name}"),
            &header.get(name),
            &Some(&Value::from(documented.as_str())),
        );
    }
    let times = ["exp", "iat", "nbf", "jti"];
    let stated: BTreeMap<String, Value> = claims
        .as_object()
        .map(|claims| {
            claims
                .clone()
                .into_iter()
                .filter(|(name, _)| !times.contains(&name.as_str()))
                .collect()
        })
        .unwrap_or_default();
    mistakes.equal("claims", &stated, &row.claims);
    let now = NOW.as_millis() / 1000;
    let issued = claims.get("iat").and_then(Value::as_i64).unwrap_or(now);
    let ends = claims.get("exp").and_then(Value::as_i64).unwrap_or(0);
    if !(now - 120..=now).contains(&issued) || !(now + 60..=now + 3600).contains(&ends) {
        mistakes.note(format!(
            "the assertion runs from {issued} to {ends}, and it is {now}"
        ));
    }
}

/// Header and claims of a JWT.
fn decoded(token: &str) -> Option<[Value; 2]> {
    let mut parts = token.split('.');
    let mut part = || {
        let bytes = URL_SAFE_NO_PAD.decode(parts.next()?).ok()?;
        serde_json::from_slice(&bytes).ok()
    };
    Some([part()?, part()?])
}
