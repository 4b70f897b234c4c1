//! Waiting for a condition, for a bounded time.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::Instant;

const POLL: Duration = Duration::from_millis(5);

/// Asks `condition` every few milliseconds until it answers, for at most `within`. `what` names it in the error.
pub async fn eventually<T>(
    what: &str,
    within: Duration,
    mut condition: impl AsyncFnMut() -> Option<T>,
) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(answer) = condition().await {
            return Ok(answer);
        }
        if Instant::now() >= deadline {
            bail!("waited {within:?} in vain for {what}");
        }
        tokio::time::sleep(POLL).await;
    }
}
