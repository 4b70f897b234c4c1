//! A TCP proxy that misbehaves as networks do.
//!
//! It runs on a thread of its own, so that a test that blocks does not hold up the network. Faults apply to
//! connections that are open and to new ones, until [`Proxy::resume`].

mod connection;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use self::connection::Connection;

/// A way through the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// What the client sends.
    ToServer,
    /// What the server sends.
    ToClient,
}

/// A proxy in front of one server.
pub struct Proxy {
    address: SocketAddr,
    faults: watch::Sender<Faults>,
    accepted: Arc<AtomicU64>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What befalls connections now.
#[derive(Debug, Clone, Default)]
struct Faults {
    to_server: Fault,
    to_client: Fault,
    /// Raised to reset all connections that are open.
    resets: u64,
}

/// What befalls the bytes of one direction now.
#[derive(Debug, Clone, Default)]
struct Fault {
    latency: Duration,
    held: bool,
    /// How many bytes may still pass before connections are reset.
    budget: Option<Arc<AtomicU64>>,
}

impl Faults {
    fn of(&self, direction: Direction) -> &Fault {
        match direction {
            Direction::ToServer => &self.to_server,
            Direction::ToClient => &self.to_client,
        }
    }

    fn of_mut(&mut self, direction: Direction) -> &mut Fault {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }
}

impl Proxy {
    /// A proxy on a free port in front of `server`, without faults. `server` need not listen yet.
    pub fn start(server: SocketAddr) -> Result<Self> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (faults, faults_seen) = watch::channel(Faults::default());
        let (stop, stopped) = oneshot::channel();
        let accepted = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&accepted);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = std::thread::Builder::new()
            .name("proxy".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        _ = stopped => {}
                        error = accept(listener, server, faults_seen, count) => {
                            eprintln!("the proxy of {server} ended: {error:?}");
                        }
                    }
                });
            })
            .context("cannot start the proxy's thread")?;
        Ok(Self {
            address,
            faults,
            accepted,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where the proxy listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections were accepted so far: a test can tell that the proxy was used.
    pub fn connections(&self) -> u64 {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Delays all bytes of one direction by `latency`. The throughput stays.
    pub fn delay(&self, direction: Direction, latency: Duration) {
        self.change(|faults| faults.of_mut(direction).latency = latency);
    }

    /// Lets nothing through in one direction, not even the end of a connection: bytes wait, as they do in a sender that
    /// sends them again and again, until [`resume`](Self::resume).
    pub fn hold(&self, direction: Direction) {
        self.change(|faults| faults.of_mut(direction).held = true);
    }

    /// Holds both directions: connections stay open and are dead.
    pub fn blackhole(&self) {
        self.change(|faults| {
            faults.to_server.held = true;
            faults.to_client.held = true;
        });
    }

    /// Lets `bytes` more bytes through in one direction, of all connections together, and resets the connection
    /// that has more to send. With 0, an answer is lost as soon as it is given.
    pub fn cut_after(&self, direction: Direction, bytes: u64) {
        let budget = Some(Arc::new(AtomicU64::new(bytes)));
        self.change(|faults| faults.of_mut(direction).budget = budget);
    }

    /// Resets all connections that are open (RST). New ones are served.
    pub fn reset(&self) {
        self.change(|faults| faults.resets += 1);
    }

    /// Ends all faults; held bytes go on their way.
    pub fn resume(&self) {
        self.change(|faults| {
            *faults = Faults {
                resets: faults.resets,
                ..Faults::default()
            };
        });
    }

    fn change(&self, change: impl FnOnce(&mut Faults)) {
        self.faults.send_modify(change);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // Its panic has been printed already.
            let _ = thread.join();
        }
    }
}

/// Serves connections until the future is dropped, which ends them. Returns only on an error.
async fn accept(
    listener: std::net::TcpListener,
    server: SocketAddr,
    faults: watch::Receiver<Faults>,
    accepted: Arc<AtomicU64>,
) -> Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await?;
        accepted.fetch_add(1, Ordering::SeqCst);
        while connections.try_join_next().is_some() {}
        connections.spawn(Connection::serve(client, server, faults.clone()));
    }
}
