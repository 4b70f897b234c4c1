//! Values of the wire as JSON and tables show them, and back.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

/// A time in RFC 3339, UTC. `None` if it is unset or out of range.
pub fn rfc3339(time: Option<prost_types::Timestamp>) -> Option<String> {
    let time = time?;
    let time = Timestamp::new(time.seconds, time.nanos).ok()?;
    Some(time.to_string())
}

/// A time as the wire has it.
pub fn to_wire(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.as_second(),
        nanos: time.subsec_nanosecond(),
    }
}

/// A duration as the wire has it.
pub fn duration_to_wire(duration: std::time::Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos())
            .expect("a second has fewer than 2^31 nanoseconds"),
    }
}

/// A duration of the wire; `None` if it is unset or negative.
pub fn duration_from_wire(duration: Option<prost_types::Duration>) -> Option<std::time::Duration> {
    duration?.try_into().ok()
}

/// A map in the order of its keys.
pub fn sorted(map: HashMap<String, String>) -> BTreeMap<String, String> {
    map.into_iter().collect()
}

/// A map on one line, `a=1, b=2`.
pub fn on_one_line(map: &BTreeMap<String, String>) -> String {
    let pairs: Vec<_> = map
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    pairs.join(", ")
}

/// The name of an enum's value, e.g. `CREDENTIAL_STATE_ACTIVE`; its number if this version does not know it.
pub fn name_of<E: TryFrom<i32>>(number: i32, name: impl Fn(&E) -> &'static str) -> String {
    match E::try_from(number) {
        Ok(value) => name(&value).to_owned(),
        Err(_) => number.to_string(),
    }
}

/// The name of an enum's value as people read it: `active` for `CREDENTIAL_STATE_ACTIVE`.
pub fn short(name: &str, prefix: &str) -> String {
    match name.strip_prefix(prefix) {
        Some("UNSPECIFIED") => String::new(),
        Some(rest) => rest.to_ascii_lowercase(),
        None => name.to_owned(),
    }
}

/// The full name that [`short`] was made of; a hyphen may stand for an underscore.
pub fn full(short: &str, prefix: &str) -> String {
    format!("{prefix}{}", short.replace('-', "_").to_ascii_uppercase())
}

/// Reads the argument `key=value`.
pub fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".into()),
    }
}

/// Reads how many are wanted at most.
pub fn parse_limit(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(limit @ 1..) => Ok(limit),
        _ => Err("write a whole number of 1 or more".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_and_nonsense_is_nothing() {
        let time = |seconds, nanos| Some(prost_types::Timestamp { seconds, nanos });
        assert_eq!(rfc3339(time(0, 0)).unwrap(), "1970-01-01T00:00:00Z");
        assert_eq!(
            rfc3339(time(1_700_000_000, 5_000_000)).unwrap(),
            "2023-11-14T22:13:20.005Z"
        );
        assert_eq!(rfc3339(time(i64::MAX, 0)), None);
        assert_eq!(rfc3339(None), None);
        let there: Timestamp = "2023-11-14T22:13:20.005Z".parse().unwrap();
        assert_eq!(Some(to_wire(there)), time(1_700_000_000, 5_000_000));
    }

    #[test]
    fn short_names_lead_back_to_full_ones() {
        let (prefix, name) = ("EVENT_TYPE_", "EVENT_TYPE_CLIENT_REJECTED");
        assert_eq!(short(name, prefix), "client_rejected");
        assert_eq!(full("client_rejected", prefix), name);
        assert_eq!(full("client-rejected", prefix), name);
        assert_eq!(short("EVENT_TYPE_UNSPECIFIED", prefix), "");
        assert_eq!(short("9", prefix), "9");
    }
}
