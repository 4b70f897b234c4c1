//! When a token ends, however a provider writes that down.

use std::time::Duration;

use evergrant_core::clock::Timestamp;
use serde_json::Value;

const SECONDS_PER_YEAR: f64 = 365.25 * 86_400.0;
/// What lasts longer is a mistake, or a way to say "for ever".
const LONGEST_YEARS: f64 = 100.0;
/// Seconds since the epoch stay below this until the year 5138; a larger number is milliseconds.
const FIRST_MILLIS: f64 = 1e11;
/// In 2001. A smaller number of seconds is a duration, or a way to say "never".
const EARLIEST: Timestamp = Timestamp::from_millis(1_000_000_000_000);

/// A number of seconds from now: an integer, a fraction, or a text of one. `None` if it is 0, negative, no
/// number, or more than 100 years.
pub(super) fn duration(value: &Value) -> Option<Duration> {
    let seconds = number(value)?;
    let sane = seconds > 0.0 && seconds <= LONGEST_YEARS * SECONDS_PER_YEAR;
    sane.then(|| Duration::from_secs_f64(seconds))
}

/// A point in time: seconds or milliseconds since the epoch as a number or a text, or RFC 3339. `None` if it
/// is none of those, not after `now`, or more than 100 years after it.
pub(super) fn instant(value: &Value, now: Timestamp) -> Option<Timestamp> {
    let at = match number(value) {
        Some(number) if number.abs() >= FIRST_MILLIS => number,
        Some(number) => number * 1_000.0,
        None => rfc3339_millis(value.as_str()?)?,
    };
    let now_millis = now.as_millis() as f64;
    let latest = now_millis + LONGEST_YEARS * SECONDS_PER_YEAR * 1_000.0;
    (at > now_millis && at <= latest).then(|| Timestamp::from_millis(at as i64))
}

/// The same of a token that came at some time or other, so that its end may have passed. What would have ended before
/// anybody had such tokens is no point in time.
pub(super) fn instant_ever(value: &Value, now: Timestamp) -> Option<Timestamp> {
    let past = || instant(value, EARLIEST).filter(|end| *end <= now);
    instant(value, now).or_else(past)
}

fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

fn rfc3339_millis(text: &str) -> Option<f64> {
    let at: jiff::Timestamp = text.trim().parse().ok()?;
    Some(at.as_millisecond() as f64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    // A85, A92, W17
    #[test]
    fn a_number_of_seconds_may_be_written_in_many_ways() {
        for value in [
            json!(3600),
            json!(3600.0),
            json!(3.6e3),
            json!("3600"),
            json!(" 3600 "),
            json!("3600.0"),
            json!("3.6e3"),
            json!("3.6E+03"),
        ] {
            assert_eq!(duration(&value), Some(Duration::from_secs(3600)), "{value}");
        }
        assert_eq!(duration(&json!(0.5)), Some(Duration::from_millis(500)));
    }

    // A90, A92, W17
    #[test]
    fn what_cannot_be_a_number_of_seconds_is_unknown() {
        for value in [
            json!(0),
            json!(-1),
            json!("0"),
            json!("-1"),
            json!(-0.5),
            json!("NaN"),
            json!("inf"),
            json!("-inf"),
            json!("1e999"),
            json!(1e300),
            json!(3_155_760_001_u64),
            json!(""),
            json!("soon"),
            json!(null),
            json!(true),
            json!([3600]),
            json!({ "seconds": 3600 }),
        ] {
            assert_eq!(duration(&value), None, "{value}");
        }
    }

    #[test]
    fn a_point_in_time_may_be_written_in_many_ways() {
        for value in [
            json!(1_700_003_600),
            json!("1700003600"),
            json!(1.7000036e9),
            json!("1.7000036e9"),
            json!(1_700_003_600_000_i64),
            json!("1700003600000"),
            json!("2023-11-14T23:13:20Z"),
            json!("2023-11-15T00:13:20+01:00"),
            json!("2023-11-14T23:13:20.000Z"),
        ] {
            let expected = NOW.plus(Duration::from_secs(3600));
            assert_eq!(instant(&value, NOW), Some(expected), "{value}");
        }
    }

    #[test]
    fn an_end_that_has_passed_counts_for_a_token_that_may_be_old() {
        let past = NOW.minus(Duration::from_secs(3600));
        for value in [json!(1_699_996_400), json!("2023-11-14T21:13:20Z")] {
            assert_eq!(instant(&value, NOW), None, "{value}");
            assert_eq!(instant_ever(&value, NOW), Some(past), "{value}");
        }
        let ahead = json!(1_700_003_600);
        assert_eq!(instant_ever(&ahead, NOW), instant(&ahead, NOW));
        for never in [
            json!(0),
            json!(3600),
            json!(-1),
            json!("9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(instant_ever(&never, NOW), None, "{never}");
        }
    }

    #[test]
    fn what_cannot_be_a_future_point_in_time_is_unknown() {
        for value in [
            json!(0),
            json!(-1),
            json!(1_700_000_000),
            json!("2020-01-01T00:00:00Z"),
            json!("9999-12-31T23:59:59Z"),
            json!(1e300),
            json!("NaN"),
            json!("tomorrow"),
            json!(null),
            json!(false),
        ] {
            assert_eq!(instant(&value, NOW), None, "{value}");
        }
    }
}
