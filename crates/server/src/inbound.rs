//! What providers report by themselves: that grants died, before anybody tried to refresh them.
//!
//! The path of one delivery: [`public_http`](crate::public_http) takes the connection and bounds it in size and time;
//! [`Inbox::answer`] finds the receiver by its path and reads the body; the receiver's kind (`set`, `slack`, `github`)
//! tells whether the word is the provider's, and what it says; the [`Registry`] invalidates, and remembers the delivery in
//! the same change. Only then is it answered: whatever fails before is answered with 503 and can be delivered again.
//!
//! Nothing of a delivery is logged but the name of its event. Who is unknown here is answered like everyone else.

mod answer;
mod body;
mod github;
mod receiver;
#[cfg(test)]
mod sample;
mod set;
mod signature;
mod slack;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use evergrant_core::clock::Clock;
use evergrant_core::registry::Registry;
use evergrant_providers::jwks::KeySets;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use self::answer::Answer;
use self::receiver::Receiver;
use crate::config::inbound::Inbound;
use crate::public_http::Respond;

/// Deliveries that are dealt with at once; others wait.
const AT_ONCE: usize = 64;
/// What a delivery gets to be dealt with, once it was read. Providers wait for three seconds and more.
const DEALT_WITHIN: Duration = Duration::from_secs(15);

/// All receivers, by name.
#[derive(Clone)]
pub struct Inbox(Arc<Shared>);

struct Shared {
    receivers: BTreeMap<String, Arc<Receiver>>,
    registry: Registry,
    clock: Arc<dyn Clock>,
    turns: Arc<Semaphore>,
    /// On which deliveries are dealt with, so that a provider that hangs up interrupts nothing.
    tasks: TaskTracker,
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").finish_non_exhaustive()
    }
}

impl Respond for Inbox {
    type Body = Full<Bytes>;

    async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        self.answer(request).await
    }
}

impl Inbox {
    /// The receivers of `config`, which invalidate through `registry` in tasks on `tasks`.
    pub fn new(
        config: &Inbound,
        key_sets: &Arc<KeySets>,
        registry: Registry,
        clock: Arc<dyn Clock>,
        tasks: TaskTracker,
    ) -> Self {
        let receivers = config.receivers.iter().map(|(name, receiver)| {
            let receiver = Receiver::new(name, receiver, key_sets);
            (name.to_string(), Arc::new(receiver))
        });
        Self(Arc::new(Shared {
            receivers: receivers.collect(),
            registry,
            clock,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            tasks,
        }))
    }

    /// Answers one request. Cancelled while it is read, it had no effect; later, it takes its course.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let name = request.uri().path().trim_start_matches('/');
        let Some(receiver) = self.0.receivers.get(name) else {
            return Answer::UnknownPath.into_response(None);
        };
        let answer = self.take(receiver, request).await;
        let outcome = answer.outcome();
        metrics::counter!("evergrant_inbound_total", "receiver" => receiver.name(), "outcome" => outcome)
            .increment(1);
        answer.into_response(Some(receiver.style()))
    }

    async fn take<B>(&self, receiver: &Arc<Receiver>, request: Request<B>) -> Answer
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        if head.method != Method::POST {
            return Answer::WrongMethod;
        }
        if !receiver.takes(&head.headers) {
            return Answer::WrongType;
        }
        match body::read(&head.headers, body).await {
            Ok(body) => self.deal_with(receiver, head.headers, body).await,
            Err(answer) => answer,
        }
    }

    async fn deal_with(&self, receiver: &Arc<Receiver>, headers: HeaderMap, body: Bytes) -> Answer {
        let (shared, receiver) = (Arc::clone(&self.0), Arc::clone(receiver));
        let dealt = self.0.tasks.spawn(async move {
            let turn = Arc::clone(&shared.turns).acquire_owned();
            let dealt = async {
                let _turn = turn.await.expect("the semaphore is never closed");
                let now = shared.clock.now();
                receiver
                    .deal_with(&headers, &body, now, &shared.registry)
                    .await
            };
            let dealt = tokio::time::timeout(DEALT_WITHIN, dealt).await;
            dealt.unwrap_or_else(|_| Answer::unavailable("it takes too long"))
        });
        let dealt = dealt.await;
        dealt.unwrap_or_else(|_| Answer::unavailable("it was aborted"))
    }
}

#[cfg(test)]
mod tests;
