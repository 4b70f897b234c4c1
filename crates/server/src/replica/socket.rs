//! Listening sockets.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tracing::warn;

use super::StartError;

pub(super) async fn listen(
    key: &'static str,
    address: SocketAddr,
) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|error| StartError::Listen(key, format!("cannot listen on {address}: {error}")))
}

pub(super) fn local_address(listener: &TcpListener) -> Result<SocketAddr, StartError> {
    listener
        .local_addr()
        .map_err(|error| StartError::Listen("server.listen", error.to_string()))
}

/// Two handles of one listening socket, for the two servers that listen on it one after the other.
pub(super) fn share(listener: TcpListener) -> Result<(TcpListener, TcpListener), StartError> {
    let shared = || -> std::io::Result<(TcpListener, TcpListener)> {
        let first = listener.into_std()?;
        let second = first.try_clone()?;
        Ok((
            TcpListener::from_std(first)?,
            TcpListener::from_std(second)?,
        ))
    };
    shared().map_err(|error| {
        warn!(%error, "the listener cannot be shared");
        StartError::Listen("server.listen", error.to_string())
    })
}
