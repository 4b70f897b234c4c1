//! Gauges of what this process knows without asking anybody, shown as it is when somebody looks.

use std::sync::{Arc, OnceLock};

use ::metrics::gauge;
use evergrant_core::breaker::BreakerState;
use evergrant_core::broker::Broker;
use evergrant_core::events::tail::Tail;
use evergrant_core::ids::ClientKey;

use super::{count, set};

/// What is shown.
pub struct Here {
    /// Whose sizes, breakers and budgets are shown.
    pub broker: Arc<Broker>,
    /// The clients that are shown.
    pub clients: Vec<ClientKey>,
    /// Whose lag is shown.
    pub tail: Arc<Tail>,
    /// Whether Redis answers; `None` without Redis.
    pub redis: Option<tokio::sync::watch::Receiver<bool>>,
}

impl std::fmt::Debug for Here {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Here").finish_non_exhaustive()
    }
}

/// Where whoever is asked for metrics finds what is to be shown, once there is something. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct AtScrape(Arc<OnceLock<Here>>);

impl AtScrape {
    /// From now on this is shown. The first one stays.
    pub fn begin(&self, here: Here) {
        // Nobody begins twice.
        let _first = self.0.set(here);
    }

    /// Sets all gauges to what holds now. Does no I/O.
    pub fn show(&self) {
        if let Some(here) = self.0.get() {
            here.show();
        }
    }
}

impl Here {
    fn show(&self) {
        let (live, dead, flights) = self.broker.sizes();
        gauge!("evergrant_cache_grants", "state" => "live").set(count(live));
        gauge!("evergrant_cache_grants", "state" => "dead").set(count(dead));
        gauge!("evergrant_flights").set(count(flights));
        gauge!("evergrant_clients_rejected").set(count(self.broker.rejected_clients().len()));
        let unread = self.tail.head().borrow().read_at.elapsed();
        gauge!("evergrant_stream_lag_seconds").set(unread.as_secs_f64());
        if let Some(redis) = &self.redis {
            gauge!("evergrant_redis_up").set(if *redis.borrow() { 1.0 } else { 0.0 });
        }
        for client in &self.clients {
            self.show_client(client);
        }
    }

    fn show_client(&self, client: &ClientKey) {
        let state = match self.broker.breaker_state(client) {
            BreakerState::Closed => 0.0,
            BreakerState::HalfOpen => 1.0,
            BreakerState::Open => 2.0,
        };
        set("evergrant_client_breaker_state", client, state);
        let usage = self.broker.budget(client);
        let concurrent = count(usage.concurrent);
        set("evergrant_budget_concurrent", client, concurrent);
        set("evergrant_budget_in_use", client, count(usage.in_use));
        set("evergrant_budget_waiting", client, count(usage.waiting));
        let throttled = usage.throttled_for.unwrap_or_default().as_secs_f64();
        set("evergrant_client_throttled_seconds", client, throttled);
    }
}

#[cfg(test)]
mod tests;
