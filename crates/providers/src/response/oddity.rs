//! What is odd in an answer and left out of what is made of it: told in the log, and not too often.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use evergrant_core::clock::Timestamp;
use evergrant_core::ids::ProviderName;
use serde_json::Value;

/// How long one field of one provider's answers stays untold after it was told.
const QUIET: Duration = Duration::from_secs(600);

/// When which field of whose answers was told last.
#[derive(Debug, Default)]
pub(crate) struct Oddities(Mutex<BTreeMap<(ProviderName, &'static str), Timestamp>>);

impl Oddities {
    /// Tells that what stands where the entry's `field` points to is left out. `what` is that in words.
    pub(super) fn tell(
        &self,
        provider: &ProviderName,
        field: &'static str,
        what: &str,
        now: Timestamp,
    ) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (provider.clone(), field);
        if told.get(&key).is_some_and(|last| now.since(*last) < QUIET) {
            return;
        }
        told.insert(key, now);
        drop(told);
        tracing::warn!(%provider, field, "an answer holds {what} there, which is left out");
    }

    #[cfg(test)]
    pub(super) fn told(&self) -> Vec<(String, &'static str, Timestamp)> {
        let told = self.0.lock().unwrap();
        let told = told.iter();
        told.map(|((provider, field), at)| (provider.to_string(), *field, *at))
            .collect()
    }
}

/// What an expiry is: itself if it is a number, since that is no secret.
pub(super) fn of_expiry(value: &Value) -> String {
    match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) if text.trim().parse::<f64>().is_ok() => {
            text.trim().chars().take(32).collect()
        }
        _ => kind(value).to_owned(),
    }
}

/// What kind of value it is.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(text) if text.is_empty() => "an empty text",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_is_told_once_in_ten_minutes_and_each_provider_for_itself() {
        let oddities = Oddities::default();
        let [acme, acne] = ["acme", "acne"].map(|name| ProviderName::parse(name).unwrap());
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1_000);
        for (provider, seconds) in [(&acme, 0), (&acme, 599), (&acne, 5), (&acme, 601)] {
            oddities.tell(provider, "response.expires_in", "-1", at(seconds));
        }
        let field = "response.expires_in";
        let expected = [
            ("acme".to_owned(), field, at(601)),
            ("acne".to_owned(), field, at(5)),
        ];
        assert_eq!(oddities.told(), expected);
    }

    #[test]
    fn no_text_is_repeated() {
        for (value, words) in [
            (json!(-5), "-5"),
            (json!("0"), "0"),
            (json!("hush"), "a text"),
            (json!(["hush"]), "a list"),
            (json!({ "hush": 1 }), "an object"),
            (json!(true), "a boolean"),
        ] {
            assert_eq!(of_expiry(&value), words);
        }
        assert_eq!(kind(&json!(4711)), "a number");
    }
}
