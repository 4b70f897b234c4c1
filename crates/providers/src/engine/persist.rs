//! Requests that follow the redemption of a code, and may be repeated.

use std::time::Duration;

use evergrant_core::provider::{CallError, Delivery, Verdict};
use tokio::time::{Instant, sleep};

use super::HttpProviders;
use super::ask::{Ask, Outcome};
use super::client::Client;
use crate::client::Answer;
use crate::response::{Context, Refusal};

/// Between a failure that passes and the next try; twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

impl HttpProviders {
    /// Asks until the deadline, for as long as failures pass. Unlike a refresh, this can be repeated without harm: the
    /// code is spent, so whatever became of a request, without its answer the consent is lost anyway.
    pub(super) async fn persist<'c, T>(
        &'c self,
        client: &'c Client,
        ask: &Ask<'_>,
        deadline: Instant,
        read: impl Fn(Context<'_>, &Answer) -> Result<T, Refusal> + Copy,
    ) -> Result<Outcome<'c, T>, CallError> {
        let mut pause = FIRST_PAUSE;
        let mut said: Option<CallError> = None;
        loop {
            let error = match self.ask(client, ask, deadline, read).await {
                Ok(outcome) => return Ok(outcome),
                Err(error) => error,
            };
            let wait = wait(&error, pause);
            // What the provider said tells more than that it said nothing the next time.
            let error = match said {
                Some(said) if error.delivery != Delivery::Answered => said,
                _ => error,
            };
            match wait {
                Some(wait) if Instant::now() + wait < deadline => sleep(wait).await,
                _ => return Err(error),
            }
            said = Some(error).filter(|error| error.delivery == Delivery::Answered);
            pause *= 2;
        }
    }
}

/// How long to wait before the next try; `None` if there is none. A limit is waited for only if the provider says how
/// long, since asking early may lengthen it.
fn wait(error: &CallError, pause: Duration) -> Option<Duration> {
    match (error.verdict, error.retry_after) {
        (Verdict::Transient, stated) => Some(stated.unwrap_or_default().max(pause)),
        (Verdict::RateLimit, Some(stated)) => Some(stated.max(pause)),
        _ => None,
    }
}
