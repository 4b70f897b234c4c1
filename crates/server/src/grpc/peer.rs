//! Who is at the other end of a connection, as the connection tells.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use tonic::Extensions;

/// The other end of a connection. Its listener puts it, in an `Arc`, into the extensions of each request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Where it is; behind a proxy, where the proxy is.
    pub address: SocketAddr,
    /// The certificate that it showed, which an authority in `client_ca` vouches for; `None` if it showed none.
    pub certificate: Option<CertificateDer<'static>>,
}

impl Peer {
    /// The peer of a request; `None` if it came over no listener of ours.
    pub fn of(extensions: &Extensions) -> Option<&Arc<Self>> {
        extensions.get()
    }
}
