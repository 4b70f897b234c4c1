//! How figures are shown.

use std::time::Duration;

/// Prints a figure of both servers, and how many times the bare one's Evergrant's is.
pub fn ratio(what: &str, ours: Duration, theirs: Duration) {
    println!(
        "  {what:<34} evergrant {ours:>10.1?}   bare {theirs:>10.1?}   ratio {:.2}",
        ours.as_secs_f64() / theirs.as_secs_f64()
    );
}
