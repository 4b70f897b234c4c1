//! Spans of time.

use std::time::Duration;

use toml::de::DeValue;

use super::{Located, Report, Section, string, wrong};

impl Section<'_> {
    /// A span of time: digits and a unit, e.g. `12h`.
    pub(in crate::catalogue) fn duration(
        &mut self,
        report: &mut Report<'_>,
        key: &str,
    ) -> Option<Located<Duration>> {
        let field = self.take(key)?;
        if !matches!(field.value, DeValue::String(_)) {
            let wanted = "a text of a number and a unit, such as \"12h\"";
            return wrong(report, field.at, &field.path, wanted, &field.value);
        }
        let text = string(field, report)?;
        let (at, path) = (text.at, text.path.clone());
        let value = text.parse(report, |text| parse_duration(&text))?;
        Some(Located { value, at, path })
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let mistake =
        || format!("must be a number and one of ms, s, m, h, d, such as \"12h\", not {text:?}");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| mistake())?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(mistake()),
    };
    number
        .checked_mul(millis)
        .map(Duration::from_millis)
        .ok_or_else(mistake)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_digits_and_a_unit() {
        for (text, seconds) in [("0s", 0), ("12h", 43_200), ("90d", 7_776_000), ("2m", 120)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)));
        }
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        for text in [
            "",
            "12",
            "h",
            "-1s",
            "1.5h",
            "1 h",
            "1w",
            "99999999999999999999s",
        ] {
            assert!(parse_duration(text).is_err(), "{text:?}");
        }
    }
}
