//! Finds out whether Redis is there, and keeps the subscription.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use fred::interfaces::{ClientLike, EventInterface, FredResult, PubsubInterface};
use fred::prelude::Client;
use fred::types::Value;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::link::Link;

/// How often Redis is asked.
const EVERY: Duration = Duration::from_secs(1);

/// So many answers missing in a row make a client connect anew, about three seconds after its connection died.
///
/// The client's own detection does not see it: it measures from the last command that was sent, so one that is
/// kept busy never looks unresponsive.
const MISSING_BEFORE_RECONNECT: u32 = 2;

/// Asks both connections until `closed`, at intervals and whenever one of them was made, and tells what comes of it.
///
pub(super) async fn keep(
    link: Arc<Link>,
    channel: String,
    up: watch::Sender<bool>,
    closed: CancellationToken,
) {
    closed.run_until_cancelled(ask(&link, &channel, &up)).await;
    up.send_replace(false);
}

async fn ask(link: &Link, channel: &str, up: &watch::Sender<bool>) -> Infallible {
    let mut made = link.commands.reconnect_rx();
    let mut subscriber_made = link.subscriber.reconnect_rx();
    let mut errors = link.commands.error_rx();
    let mut last_error = None;
    let (mut pings_missing, mut subscriptions_missing) = (0, 0);
    let mut is_first = true;
    loop {
        let (pinged, subscribed) =
            tokio::join!(ping(&link.commands), subscribe(&link.subscriber, channel));
        link.breaker.record(pinged.is_ok());
        replace_if_dead(&link.commands, &mut pings_missing, pinged.is_ok()).await;
        replace_if_dead(
            &link.subscriber,
            &mut subscriptions_missing,
            subscribed.is_ok(),
        )
        .await;
        tell(up, pinged.and(subscribed), last_error.take(), is_first);
        is_first = false;

        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            _ = made.recv() => {}
            _ = subscriber_made.recv() => {}
            Ok((error, _)) = errors.recv() => last_error = Some(error),
        }
    }
}

async fn ping(client: &Client) -> FredResult<()> {
    // A connection that subscribes answers with an array.
    client.ping::<Value>(None).await.map(drop)
}

/// Subscribes, again or for the first time, which mends a subscription that was lost. The client takes a
/// subscription for made when it is sent; the answer to what is sent next shows that it is.
async fn subscribe(client: &Client, channel: &str) -> FredResult<()> {
    client.subscribe(channel).await?;
    ping(client).await
}

async fn replace_if_dead(client: &Client, missing: &mut u32, answered: bool) {
    *missing = if answered { 0 } else { *missing + 1 };
    if *missing >= MISSING_BEFORE_RECONNECT && client.is_connected() {
        *missing = 0;
        // Asked, not awaited: an event tells of the new connection, and there may be none for long.
        let _ = timeout(Duration::ZERO, client.force_reconnection()).await;
    }
}

/// Logs a change once, with the connection's own error in place of the time-out that it led to.
/// The first answer is news in any case.
fn tell(
    up: &watch::Sender<bool>,
    answer: FredResult<()>,
    cause: Option<fred::error::Error>,
    is_first: bool,
) {
    let changed = up.send_if_modified(|up| std::mem::replace(up, answer.is_ok()) != answer.is_ok());
    let changed = changed || is_first;
    match answer {
        Ok(()) if changed => tracing::info!("redis is reachable"),
        Err(error) if changed => {
            let error = cause.unwrap_or(error);
            tracing::warn!(%error, "redis is out of reach; refreshing goes on without it, slower");
        }
        _ => {}
    }
}
