//! The bus: within the process at once, to other replicas over a Redis channel.

use async_trait::async_trait;
use evergrant_core::coordinator::{Bus, Notice, Unreachable};
use fred::interfaces::{ClientLike, PubsubInterface};
use fred::types::{Message, Value};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::link::Link;
use super::{RedisCoordinator, Throttle, notice};

/// Notices that may wait to be sent.
pub(super) const QUEUE: usize = 4096;

/// Notices that are sent together.
const BATCH: usize = 64;

/// The way out for the notices of this process.
pub(super) struct Outgoing {
    instance: String,
    queue: mpsc::Sender<String>,
    overflow: Throttle,
}

impl Outgoing {
    /// A process with a new name that puts its notices into `queue`.
    pub(super) fn new(queue: mpsc::Sender<String>) -> Self {
        Self {
            instance: Uuid::new_v4().simple().to_string(),
            queue,
            overflow: Throttle::default(),
        }
    }

    /// The name by which this process knows its own notices.
    pub(super) fn instance(&self) -> &str {
        &self.instance
    }

    fn push(&self, notice: &Notice) {
        let text = notice::encode(&self.instance, notice);
        if self.queue.try_send(text).is_err()
            && let Some(dropped) = self.overflow.due(1)
        {
            tracing::warn!(
                dropped,
                "notices come faster than redis takes them; other replicas miss some"
            );
        }
    }
}

#[async_trait]
impl Bus for RedisCoordinator {
    async fn publish(&self, notice: Notice) {
        self.outgoing.push(&notice);
        // Without a subscriber there is nobody to tell, which is no failure.
        let _ = self.notices.send(notice);
    }

    fn subscribe(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }
}

/// Sends what is queued until `shutdown`, and then what is queued still.
pub(super) async fn send(
    link: &Link,
    channel: String,
    mut queue: mpsc::Receiver<String>,
    shutdown: CancellationToken,
) {
    let loss = Throttle::default();
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let count = tokio::select! {
            biased;
            () = shutdown.cancelled(), if !queue.is_closed() => {
                queue.close();
                continue;
            }
            count = queue.recv_many(&mut batch, BATCH) => count,
        };
        if count == 0 {
            return;
        }
        if let Err(error) = send_batch(link, &channel, batch.drain(..)).await
            && let Some(dropped) = loss.due(count as u64)
        {
            tracing::warn!(dropped, %error, "notices did not reach redis; other replicas miss them");
        }
    }
}

async fn send_batch(
    link: &Link,
    channel: &str,
    texts: impl Iterator<Item = String>,
) -> Result<(), Unreachable> {
    link.call(|client| async move {
        let pipeline = client.pipeline().with_options(client.options());
        for text in texts {
            let () = pipeline.publish(channel, text).await?;
        }
        pipeline.all::<Value>().await.map(drop)
    })
    .await
}

/// Hands on what other replicas tell.
pub(super) async fn forward(
    mut messages: broadcast::Receiver<Message>,
    notices: broadcast::Sender<Notice>,
    instance: String,
) {
    let strange = Throttle::default();
    let missed = Throttle::default();
    loop {
        match messages.recv().await {
            Ok(message) => match heard(&message.value) {
                Some((from, _)) if from == instance => {}
                Some((_, notice)) => {
                    let _ = notices.send(notice);
                }
                None => {
                    if let Some(count) = strange.due(1) {
                        tracing::warn!(
                            count,
                            "messages on the channel that are no notices are ignored"
                        );
                    }
                }
            },
            Err(RecvError::Lagged(count)) => {
                if let Some(count) = missed.due(count) {
                    tracing::warn!(
                        count,
                        "notices came faster than they were handed on, and are missed"
                    );
                }
            }
            Err(RecvError::Closed) => return,
        }
    }
}

fn heard(value: &Value) -> Option<(String, Notice)> {
    let text = value.as_str()?;
    let (from, notice) = notice::decode(&text)?;
    Some((from.to_owned(), notice))
}
