//! Users' consents, and the listener to which providers send users back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use evergrant_core::broker::Broker;
use evergrant_providers::HttpProviders;
use evergrant_providers::jwks::KeySets;
use tokio::net::TcpListener;

use super::error::StartError;
use super::{listen, local_address};
use crate::callback;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::consent::{Consents, HttpAuthority, Parts};
use crate::lifecycle::Lifecycle;
use crate::public_http::Stop;
use crate::store::SqlStore;

/// Consents that end in credentials of `broker`.
pub(super) fn consents(
    config: &Config,
    store: &Arc<SqlStore>,
    broker: &Arc<Broker>,
    providers: &Arc<HttpProviders>,
    life: &Lifecycle,
) -> Result<Consents, StartError> {
    let clock = Arc::new(SystemClock);
    let key_sets = Arc::new(KeySets::new(clock.clone())?);
    Ok(Consents::new(Parts {
        registry: broker.registry(),
        store: store.clone(),
        authority: Arc::new(HttpAuthority::new(
            providers.clone(),
            key_sets,
            broker.clone(),
        )),
        clock,
        return_urls: config.authorization.return_urls.clone(),
        timeout: config.refresh.attempt_timeout,
        tasks: life.tracker().clone(),
    }))
}

/// The callback's listener, which accepts nothing before it is served.
pub(super) struct Callback {
    listener: TcpListener,
    pub(super) address: SocketAddr,
}

impl Callback {
    /// Listens, if the configuration says so.
    pub(super) async fn listen(config: &Config) -> Result<Option<Self>, StartError> {
        let Some(address) = config.authorization.callback_listen else {
            return Ok(None);
        };
        let listener = listen("authorization.callback_listen", address).await?;
        Ok(Some(Self {
            address: local_address(&listener)?,
            listener,
        }))
    }

    /// Serves until draining begins. Who came before that is answered within `grace`.
    pub(super) fn serve(self, consents: Consents, grace: Duration, life: &Lifecycle) {
        let stop = Stop {
            when: life.stop(),
            grace,
        };
        let served = callback::serve(self.listener, consents, stop);
        life.tracker().spawn(served);
    }
}
