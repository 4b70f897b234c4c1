//! The caller's deadline, so that an answer can say more than the transport's "deadline exceeded".

use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;

/// What is kept back of the deadline for the way home: a long round trip, or a busy machine at its end.
const WAY_HOME: Duration = Duration::from_millis(100);

/// When the caller should have its answer: a little before its own deadline (the `grpc-timeout` header), so that
/// the answer arrives in time. `None` without a deadline, or with one that cannot be read.
pub fn of(metadata: &MetadataMap) -> Option<Instant> {
    let timeout = timeout(metadata.as_ref())?;
    let reserve = WAY_HOME.min(timeout / 10);
    Instant::now().checked_add(timeout - reserve)
}

/// The caller's whole deadline. `None` without one, or with one that cannot be read.
pub fn timeout(headers: &HeaderMap) -> Option<Duration> {
    parse(headers.get("grpc-timeout")?.to_str().ok()?)
}

/// `grpc-timeout`: up to eight digits and a unit.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(value * 3_600),
        "M" => Duration::from_secs(value * 60),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_of_the_header_is_read() {
        assert_eq!(parse("2H"), Some(Duration::from_secs(7_200)));
        assert_eq!(parse("3M"), Some(Duration::from_secs(180)));
        assert_eq!(parse("10S"), Some(Duration::from_secs(10)));
        assert_eq!(parse("50m"), Some(Duration::from_millis(50)));
        assert_eq!(parse("50u"), Some(Duration::from_micros(50)));
        assert_eq!(parse("99999999n"), Some(Duration::from_nanos(99_999_999)));
        for odd in ["", "S", "1", "-1S", "123456789S", "1X", "1é"] {
            assert_eq!(parse(odd), None, "{odd:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_answer_is_due_a_little_before_the_deadline() {
        let mut metadata = MetadataMap::new();
        for (timeout, due) in [("100m", 90), ("10S", 9_900)] {
            metadata.insert("grpc-timeout", timeout.parse().unwrap());
            let due = Instant::now() + Duration::from_millis(due);
            assert_eq!(of(&metadata), Some(due), "{timeout}");
        }
        assert_eq!(of(&MetadataMap::new()), None);
    }
}
