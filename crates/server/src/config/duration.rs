//! Durations as people write them: a whole number and a unit.

use std::time::Duration;

const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Reads `15s`, `250ms`, `30d`: one whole number and one of the units ms, s, m, h, d.
pub fn parse(text: &str) -> Option<Duration> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number
        .parse::<u64>()
        .ok()?
        .checked_mul(*millis)
        .map(Duration::from_millis)
}

/// Writes a duration so that [`parse`] reads it back, in the largest unit that needs no fraction.
pub fn display(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".into();
    }
    UNITS
        .iter()
        .find(|(_, size)| millis.is_multiple_of(*size))
        .map(|(unit, size)| format!("{}{unit}", millis / size))
        .expect("every number is a multiple of 1 ms")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_and_a_unit_and_reads_back() {
        for (text, millis) in [
            ("250ms", 250),
            ("15s", 15_000),
            ("90s", 90_000),
            ("5m", 300_000),
            ("36h", 129_600_000),
            ("30d", 2_592_000_000),
        ] {
            let duration = parse(text).unwrap();
            assert_eq!(duration, Duration::from_millis(millis));
            assert_eq!(parse(&display(duration)), Some(duration), "{text}");
        }
        assert_eq!(display(Duration::from_secs(37)), "37s");
        assert_eq!(display(Duration::ZERO), "0s");
    }

    #[test]
    fn anything_else_is_no_duration() {
        for text in [
            "",
            "15",
            "s",
            "1.5s",
            "-1s",
            "1 s",
            "1h30m",
            "99999999999999999d",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
