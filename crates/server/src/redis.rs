//! Coordination through Redis: locks, escrow and bus, shared by all replicas.
//!
//! Redis makes refreshing fast, and the database makes it right, so nothing here waits for Redis: a command ends
//! within about half a second, fails at once while Redis is known to be away, and works again as soon as it is
//! back, without a restart. Two connections are kept, one for commands and one for the subscription, since a
//! connection that subscribes can do nothing else in RESP2.
//!
//! Keys are `{prefix}:lock:{grant}` (the owner's token, ends with the lock) and `{prefix}:escrow:{grant}`
//! (`{base}:{sealed entry}`, ends after 25 hours); notices go over the channel `{prefix}:tok`.

use std::sync::Arc;

use evergrant_core::coordinator::Notice;
use evergrant_core::coordinator::local::BUS_CAPACITY;
use evergrant_core::ids::GrantId;
use fred::interfaces::EventInterface;
use thiserror::Error;
use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::seal::Sealer;

use self::bus::Outgoing;
use self::link::Link;
use self::throttle::Throttle;

mod breaker;
mod bus;
mod escrow;
mod link;
mod locks;
mod notice;
mod pulse;
mod survey;
mod throttle;

pub use self::survey::{SurveyError, escrow_key_use};

const SERVICE: &str = "redis";

/// What the keys of escrow entries have after the prefix.
const ESCROW: &str = "escrow";

/// The URL does not name a Redis server. The message holds nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the redis url is unusable: {0}")]
pub struct BadRedisUrl(String);

/// Locks, escrow and bus in one Redis (7.0 or newer is tested; nothing newer than 2.6.12 is used).
pub struct RedisCoordinator {
    link: Arc<Link>,
    prefix: String,
    sealer: Sealer,
    notices: broadcast::Sender<Notice>,
    outgoing: Outgoing,
    up: watch::Receiver<bool>,
}

impl RedisCoordinator {
    /// Begins to connect to `redis[s]://[[user]:password@]host[:port][/database]` and returns at once, whether
    /// Redis is there or not. Keys and the channel begin with `prefix`.
    ///
    /// Needs a tokio runtime, and runs its tasks on `tracker`. They end soon after `shutdown` is cancelled, when the
    /// notices that wait are sent; every later command fails, so it is cancelled when nothing else needs Redis.
    pub fn connect(
        url: &str,
        prefix: &str,
        sealer: Sealer,
        tracker: &TaskTracker,
        shutdown: CancellationToken,
    ) -> Result<Arc<Self>, BadRedisUrl> {
        let link = Arc::new(Link::new(url)?);
        let channel = format!("{prefix}:tok");
        let notices = broadcast::Sender::new(BUS_CAPACITY);
        let (queue, queued) = mpsc::channel(bus::QUEUE);
        let (told, up) = watch::channel(false);
        let outgoing = Outgoing::new(queue);
        let closed = CancellationToken::new();

        let forward = bus::forward(
            link.subscriber.message_rx(),
            notices.clone(),
            outgoing.instance().to_owned(),
        );
        tracker.spawn(closed.clone().run_until_cancelled_owned(forward));
        tracker.spawn(pulse::keep(
            link.clone(),
            channel.clone(),
            told,
            closed.clone(),
        ));
        for client in [&link.commands, &link.subscriber] {
            tracker.spawn(link::keep_connected(client.clone(), closed.clone()));
        }
        tracker.spawn({
            let link = link.clone();
            async move {
                bus::send(&link, channel, queued, shutdown).await;
                closed.cancel();
            }
        });
        Ok(Arc::new(Self {
            link,
            prefix: prefix.to_owned(),
            sealer,
            notices,
            outgoing,
            up,
        }))
    }

    /// Whether Redis answered lately, to a command and to the subscription.
    pub fn is_up(&self) -> bool {
        *self.up.borrow()
    }

    /// Follows [`is_up`](Self::is_up). Notices of other replicas may have been missed before each change to `true`.
    pub fn up(&self) -> watch::Receiver<bool> {
        self.up.clone()
    }

    fn key(&self, kind: &str, grant: &GrantId) -> String {
        format!("{}:{kind}:{grant}", self.prefix)
    }
}
