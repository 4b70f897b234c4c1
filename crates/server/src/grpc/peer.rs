//! Who is at the other end of a connection, as the connection tells.

use std::net::SocketAddr;
use std::sync::Arc;

use evergrant_core::clock::Timestamp;
use tonic::Extensions;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use super::caller::San;

/// The other end of a connection. Its listener puts it, in an `Arc`, into the extensions of each request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Where it is; behind a proxy, where the proxy is.
    pub address: SocketAddr,
    /// The certificate that it showed, which an authority in `client_ca` vouches for; `None` if it showed none.
    pub certificate: Option<ClientCertificate>,
}

/// What counts of a client's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Its URIs and host names.
    pub names: Vec<San>,
    /// When it ends. A connection may live longer.
    pub not_after: Timestamp,
}

impl Peer {
    /// The peer of a request; `None` if it came over no listener of ours.
    pub fn of(extensions: &Extensions) -> Option<&Arc<Self>> {
        extensions.get()
    }
}

impl ClientCertificate {
    /// Reads a certificate in DER. `None`: it is none. That somebody vouches for it was seen to before.
    pub fn parse(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let not_after = certificate.validity().not_after.timestamp();
        let names = certificate.subject_alternative_name().ok()?;
        let names = names
            .into_iter()
            .flat_map(|names| &names.value.general_names);
        let names = names.filter_map(|name| match name {
            GeneralName::URI(uri) => Some(San::Uri((*uri).to_owned())),
            GeneralName::DNSName(name) => San::dns(name),
            _ => None,
        });
        Some(Self {
            names: names.collect(),
            not_after: Timestamp::from_millis(not_after.saturating_mul(1_000)),
        })
    }
}
