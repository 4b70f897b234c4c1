//! The listener for what providers report, from the start of a replica to its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use evergrant_core::broker::Broker;
use evergrant_core::clock::Clock;
use evergrant_providers::jwks::KeySets;
use tokio::net::TcpListener;

use super::StartError;
use super::socket::{listen, local_address};
use crate::clock::SystemClock;
use crate::config::inbound::Inbound;
use crate::grpc::transport::{Acceptor, Listener};
use crate::inbound::Inbox;
use crate::lifecycle::Lifecycle;
use crate::public_http::{self, Stop};

/// A listener that nobody is answered on yet.
pub(super) struct InboundListener<'a> {
    config: &'a Inbound,
    listener: TcpListener,
    tls: Option<Acceptor>,
}

impl<'a> InboundListener<'a> {
    pub(super) async fn open(config: &'a Inbound) -> Result<Self, StartError> {
        let tls = config.tls.as_ref();
        let tls = tls
            .map(|tls| Acceptor::new(tls, Listener::Inbound))
            .transpose();
        Ok(Self {
            config,
            listener: listen("inbound.listen", config.listen).await?,
            tls: tls.map_err(StartError::InboundTls)?,
        })
    }

    /// What takes its handshakes, if it speaks TLS.
    pub(super) fn tls(&self) -> Option<&Acceptor> {
        self.tls.as_ref()
    }

    /// Serves from now on, and until the drain begins; what was begun then gets `grace`. Answers the address.
    pub(super) fn serve(
        self,
        broker: &Broker,
        grace: Duration,
        life: &Lifecycle,
    ) -> Result<SocketAddr, StartError> {
        let address = local_address(&self.listener)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let inbox = Inbox::new(
            self.config,
            &Arc::new(KeySets::new(Arc::clone(&clock))?),
            broker.registry(),
            clock,
            life.tracker().clone(),
        );
        let stop = Stop {
            when: life.stop(),
            grace,
        };
        let served = public_http::serve(self.listener, self.tls, inbox, stop);
        life.tracker().spawn(served);
        Ok(address)
    }
}
