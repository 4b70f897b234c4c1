//! TLS of a listener: one protocol only, and client certificates where their authorities are configured.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::server::Tls;

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

/// What takes handshakes of clients that speak `protocol`, e.g. `h2` (RFC 7301), or do not say what they speak.
pub fn acceptor(tls: &Tls, protocol: &str) -> Result<TlsAcceptor, TlsError> {
    let Tls {
        cert,
        key,
        client_ca,
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
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
            config.with_client_cert_verifier(verifier)
        }
    };
    let chain = CertificateDer::pem_slice_iter(&cert.pem).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(&key.pem)?;
    let mut config = config.with_single_cert(chain, key)?;
    config.alpn_protocols.push(protocol.into());
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The certificate that a client showed, which the handshake verified; `None` if it was asked for none.
pub(super) fn client_certificate<S>(socket: &TlsStream<S>) -> Option<CertificateDer<'static>> {
    let (_, connection) = socket.get_ref();
    let leaf = connection.peer_certificates()?.first()?;
    Some(leaf.clone().into_owned())
}

#[cfg(test)]
mod tests;
