//! TLS of a listener: one protocol only, and client certificates where their authorities are configured.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::server::{ClientAuth, PemFile, Tls};
use crate::grpc::peer::ClientCertificate;
pub use refused::Cause;
use refused::Refusals;

mod refused;

/// Why a certificate and its key are of no use.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file does not hold what it should.
    #[error("a file is no PEM: {0}")]
    Pem(#[from] PemError),
    /// Certificate and key do not fit, or are of a kind that is not supported.
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
    /// The authorities of client certificates are unusable.
    #[error("client_ca: {0}")]
    ClientCa(#[from] VerifierBuilderError),
}

/// A listener that may speak TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// The one of the API.
    Grpc,
    /// The one for what providers report.
    Inbound,
}

impl Listener {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Grpc, Self::Inbound];

    /// Its name in logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Inbound => "inbound",
        }
    }

    /// The one protocol that is spoken on it (RFC 7301).
    const fn protocol(self) -> &'static str {
        match self {
            Self::Grpc => "h2",
            Self::Inbound => "http/1.1",
        }
    }
}

/// Takes handshakes with the certificate of now, which may be replaced. Clones share it.
#[derive(Clone)]
pub struct Acceptor {
    shared: Arc<Shared>,
}

struct Shared {
    listener: Listener,
    refusals: Refusals,
    current: RwLock<Arc<ServerConfig>>,
    /// Changes with the authorities of client certificates, which it holds.
    authorities: watch::Sender<Option<PemFile>>,
}

impl Acceptor {
    /// For clients that speak the protocol of `listener`, or do not say what they speak.
    pub fn new(tls: &Tls, listener: Listener) -> Result<Self, TlsError> {
        let shared = Shared {
            current: RwLock::new(server_config(tls, listener)?),
            authorities: watch::Sender::new(tls.client_ca.clone()),
            refusals: Refusals::of(listener),
            listener,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// What puts `tls` in place of what there is, once it is told to. Fails if it is of no use.
    ///
    /// Connections stay, except that one whose client showed a certificate takes no further request if its authority may
    /// have been withdrawn.
    pub fn replacement(&self, tls: &Tls) -> Result<impl FnOnce() + use<>, TlsError> {
        let shared = Arc::clone(&self.shared);
        let config = server_config(tls, shared.listener)?;
        let authorities = tls.client_ca.clone();
        Ok(move || {
            let current = shared.current.write();
            *current.unwrap_or_else(PoisonError::into_inner) = config;
            shared.authorities.send_if_modified(|current| {
                let is_new = *current != authorities;
                *current = authorities;
                is_new
            });
        })
    }

    /// Takes one handshake with the client at `address`, who gets `patience` for it. `None`: it failed, which is counted
    /// and told. Dropping the future breaks the connection off.
    pub async fn handshake<S>(
        &self,
        socket: S,
        address: SocketAddr,
        patience: Duration,
    ) -> Option<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        match tokio::time::timeout(patience, self.accept(socket)).await {
            Ok(Ok(socket)) => return Some(socket),
            Ok(Err(error)) => self.shared.refusals.failed(address, &error),
            Err(_) => self.shared.refusals.timed_out(address),
        }
        None
    }

    async fn accept<S>(&self, socket: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = {
            let current = self.shared.current.read();
            Arc::clone(&*current.unwrap_or_else(PoisonError::into_inner))
        };
        TlsAcceptor::from(config).accept(socket).await
    }

    /// Changes once the authorities of client certificates are others.
    pub(super) fn authorities(&self) -> watch::Receiver<Option<PemFile>> {
        self.shared.authorities.subscribe()
    }
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acceptor").finish_non_exhaustive()
    }
}

fn server_config(tls: &Tls, listener: Listener) -> Result<Arc<ServerConfig>, TlsError> {
    let Tls {
        cert,
        key,
        client_ca,
        client_auth,
    } = tls;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let config = match client_ca {
        None => config.with_no_client_auth(),
        Some(authorities) => {
            let mut roots = RootCertStore::empty();
            for authority in CertificateDer::pem_slice_iter(&authorities.pem) {
                roots.add(authority?)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = match client_auth {
                ClientAuth::Required => verifier,
                ClientAuth::Optional => verifier.allow_unauthenticated(),
            };
            config.with_client_cert_verifier(verifier.build()?)
        }
    };
    let chain = CertificateDer::pem_slice_iter(&cert.pem).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(&key.pem)?;
    let mut config = config.with_single_cert(chain, key)?;
    config.alpn_protocols.push(listener.protocol().into());
    Ok(Arc::new(config))
}

/// The certificate that a client showed, which the handshake verified; `None` if it was asked for none.
pub(super) fn client_certificate<S>(socket: &TlsStream<S>) -> Option<ClientCertificate> {
    let (_, connection) = socket.get_ref();
    let leaf = connection.peer_certificates()?.first()?;
    ClientCertificate::parse(leaf)
}

#[cfg(test)]
mod tests;
