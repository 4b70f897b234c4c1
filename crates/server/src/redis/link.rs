//! The connections to Redis, and one call over them.

use std::time::Duration;

use evergrant_core::coordinator::Unreachable;
use evergrant_core::coordinator::local::BUS_CAPACITY;
use fred::clients::WithOptions;
use fred::interfaces::{ClientLike, FredResult};
use fred::prelude::{Builder, Client, Config, ReconnectPolicy};
use fred::types::config::{Options, UnresponsiveConfig};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::breaker::Breaker;
use super::{BadRedisUrl, SERVICE};

/// How long a command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_millis(500);

/// The client's own time-out comes first, since it also withdraws a command that still waits to be sent. This one
/// holds if the client itself is stuck.
const CALL_TIMEOUT: Duration = Duration::from_millis(600);

/// How long connecting, or one step of the greeting that follows, may take.
pub(super) const CONNECTION_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection that owes an answer for so long is given up.
const UNRESPONSIVE_AFTER: Duration = Duration::from_secs(3);

const RECONNECT_MIN_MS: u32 = 100;
const RECONNECT_MAX_MS: u32 = 5_000;
const RECONNECT_JITTER_MS: u32 = 100;

/// How long to wait before a client that gave up is started again.
const RESTART_AFTER: Duration = Duration::from_secs(1);

/// The connections to Redis.
pub(super) struct Link {
    /// For commands.
    pub(super) commands: Client,
    /// For the subscription.
    pub(super) subscriber: Client,
    /// Fed by every command.
    pub(super) breaker: Breaker,
}

impl Link {
    /// Clients for the server of that URL, not connected yet.
    pub(super) fn new(url: &str) -> Result<Self, BadRedisUrl> {
        let bad = |error: fred::error::Error| BadRedisUrl(error.details().to_owned());
        let scheme = url.split_once("://").map(|(scheme, _)| scheme);
        if !matches!(scheme, Some("redis" | "rediss")) {
            return Err(BadRedisUrl(
                "it must begin with redis:// or rediss://".to_owned(),
            ));
        }
        let builder = settings(Config::from_url_centralized(url).map_err(bad)?);
        Ok(Self {
            commands: builder.build().map_err(bad)?,
            subscriber: builder.build().map_err(bad)?,
            breaker: Breaker::default(),
        })
    }

    /// Makes one call with a client whose commands fail at once while there is no connection. Dropping it leaves
    /// open whether Redis acts.
    pub(super) async fn call<T, F>(
        &self,
        command: impl FnOnce(WithOptions<Client>) -> F,
    ) -> Result<T, Unreachable>
    where
        F: Future<Output = FredResult<T>>,
    {
        if self.breaker.is_open() {
            return Err(unreachable("it did not answer lately"));
        }
        let fail_fast = Options {
            fail_fast: true,
            ..Options::default()
        };
        let client = self.commands.with_options(&fail_fast);
        let answer = match timeout(CALL_TIMEOUT, command(client)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(unreachable(error)),
            Err(_) => Err(unreachable("no answer in time")),
        };
        self.breaker.record(answer.is_ok());
        answer
    }
}

pub(super) fn unreachable(message: impl ToString) -> Unreachable {
    Unreachable {
        service: SERVICE,
        message: message.to_string(),
    }
}

fn settings(config: Config) -> Builder {
    let mut builder = Builder::from_config(config);
    builder
        .with_performance_config(|performance| {
            performance.default_command_timeout = COMMAND_TIMEOUT;
            performance.broadcast_channel_capacity = BUS_CAPACITY;
        })
        .with_connection_config(|connection| {
            connection.connection_timeout = CONNECTION_TIMEOUT;
            connection.internal_command_timeout = CONNECTION_TIMEOUT;
            // A command that may have been executed is asked again by whoever knows what that means.
            connection.max_command_attempts = 1;
            connection.unresponsive = UnresponsiveConfig {
                max_timeout: Some(UNRESPONSIVE_AFTER),
                interval: Duration::from_secs(1),
            };
            // A password may be corrected on the server's side.
            connection.reconnect_on_auth_error = true;
        })
        .set_policy(reconnect_policy());
    builder
}

fn reconnect_policy() -> ReconnectPolicy {
    const FOR_EVER: u32 = 0;
    let mut policy =
        ReconnectPolicy::new_exponential(FOR_EVER, RECONNECT_MIN_MS, RECONNECT_MAX_MS, 2);
    policy.set_jitter(RECONNECT_JITTER_MS);
    policy
}

/// Keeps a client connected until `closed`.
pub(super) async fn keep_connected(client: Client, closed: CancellationToken) {
    loop {
        let mut connection = client.connect();
        tokio::select! {
            ended = &mut connection => {
                // The pulse tells an operator, once.
                tracing::debug!(error = ?ended, "the redis client gave up, starting it again");
            }
            () = closed.cancelled() => {
                // Redis may be away, and then there is nobody to take leave of.
                let _ = timeout(CALL_TIMEOUT, client.quit()).await;
                connection.abort();
                return;
            }
        }
        if closed
            .run_until_cancelled(tokio::time::sleep(RESTART_AFTER))
            .await
            .is_none()
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_credentials_a_database_and_tls() {
        for (url, tls) in [
            ("redis://user:hush@localhost:7000/3", false),
            ("rediss://user:hush@localhost:7000/3", true),
        ] {
            let config = Link::new(url).unwrap().commands.client_config();
            assert_eq!(config.username.as_deref(), Some("user"));
            assert_eq!(config.password.as_deref(), Some("hush"));
            assert_eq!(config.database, Some(3));
            assert_eq!(config.uses_rustls(), tls);
        }
    }

    #[test]
    fn a_bad_url_is_refused_without_showing_it() {
        for url in [
            "",
            "localhost:6379",
            "http://u:hush@localhost",
            "redis://:hush@localhost:99999",
            "redis://:hush@",
            "redis://:hush@localhost/hush",
            "redis-cluster://:hush@localhost",
        ] {
            let message = Link::new(url).err().expect(url).to_string();
            assert!(!message.contains("hush"), "{url}: {message}");
        }
    }

    #[tokio::test]
    async fn an_open_breaker_fails_a_call_before_it_is_made() {
        let link = Link::new("redis://localhost").unwrap();
        for _ in 0..3 {
            link.breaker.record(false);
        }
        let answer: Result<(), _> = link.call(|_| async { panic!("it is called") }).await;
        assert_eq!(
            answer.unwrap_err().to_string(),
            "redis is out of reach: it did not answer lately"
        );
    }
}
