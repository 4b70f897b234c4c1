//! A network that forgets connections without telling either end.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::RedisServer;

/// Passes connections on to a server.
pub struct Proxy {
    address: SocketAddr,
    forgotten: watch::Sender<u64>,
    _passing: JoinSet<()>,
}

impl Proxy {
    /// A proxy in front of `server`.
    pub async fn before(server: &RedisServer) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (forgotten, forget) = watch::channel(0);
        let mut passing = JoinSet::new();
        passing.spawn(accept(listener, server.port(), forget));
        Self {
            address,
            forgotten,
            _passing: passing,
        }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// From now on nothing passes over the connections that there are. They stay open, and new ones work.
    pub fn forget_connections(&self) {
        self.forgotten.send_modify(|times| *times += 1);
    }
}

async fn accept(listener: TcpListener, port: u16, forget: watch::Receiver<u64>) {
    let mut passing = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let mut forget = forget.clone();
        forget.mark_unchanged();
        passing.spawn(pass(client, port, forget));
    }
}

async fn pass(mut client: TcpStream, port: u16, mut forget: watch::Receiver<u64>) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await else {
        return;
    };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        Ok(()) = forget.changed() => std::future::pending().await,
    }
}
