//! `[server]`: where the service listens, and with which certificate.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::defaults;
use super::error::ConfigError;
use super::print::Printer;
use super::section::{Key, Section};

/// Where the service listens.
#[derive(Debug, Clone)]
pub struct Server {
    /// Address of the gRPC listener; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Address of the HTTP listener for metrics and probes; `None` turns it off.
    pub admin_listen: Option<SocketAddr>,
    /// How long flights may take to finish after SIGTERM.
    pub shutdown_timeout: Duration,
    /// Certificate and key of the gRPC listener; `None` serves plaintext.
    pub tls: Option<Tls>,
}

/// Certificate and key of a listener, read when the configuration was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The certificate chain, leaf first.
    pub cert: PemFile,
    /// The private key.
    pub key: PemFile,
    /// Authorities of client certificates. Without them a client is asked for none.
    pub client_ca: Option<PemFile>,
    /// Whether a client must show a certificate of theirs.
    pub client_auth: ClientAuth,
}

/// Whether clients must show a certificate where `client_ca` is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientAuth {
    /// Nobody else is served.
    #[default]
    Required,
    /// One that is shown must be good; who shows none may have a token.
    Optional,
}

/// A PEM file and its contents. `Debug` shows only its path.
#[derive(Clone, PartialEq, Eq)]
pub struct PemFile {
    /// Where it was read.
    pub path: PathBuf,
    /// What was in it.
    pub pem: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for PemFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PemFile({})", self.path.display())
    }
}

impl Server {
    /// The section, and the key of `listen` for what other sections say about it.
    pub(super) fn read(mut section: Section<'_>) -> Result<(Self, Key), ConfigError> {
        let form = "must be an address and a port such as \"127.0.0.1:7070\"";
        let (listen_key, listen) =
            section.parsed("listen", defaults::LISTEN, form, |text| text.parse().ok())?;
        let (_, admin_listen) = section.parsed(
            "admin_listen",
            defaults::ADMIN_LISTEN,
            form,
            |text| match text {
                "" => Some(None),
                text => text.parse().ok().map(Some),
            },
        )?;
        let (_, shutdown_timeout) =
            section.duration("shutdown_timeout", defaults::SHUTDOWN_TIMEOUT)?;
        let tls = section
            .optional_section("tls")?
            .map(Tls::read)
            .transpose()?;
        section.finish()?;
        let server = Self {
            listen,
            admin_listen,
            shutdown_timeout,
            tls,
        };
        Ok((server, listen_key))
    }

    pub(super) fn print(&self, out: &mut Printer) {
        let Self {
            listen,
            admin_listen,
            shutdown_timeout,
            tls,
        } = self;
        out.section("[server]");
        out.text("listen", listen);
        match admin_listen {
            Some(address) => out.text("admin_listen", address),
            None => out.text("admin_listen", ""),
        }
        out.duration("shutdown_timeout", *shutdown_timeout);
        if let Some(tls) = tls {
            out.section("[server.tls]");
            tls.print(out);
        }
    }
}

impl Tls {
    pub(super) fn read(mut section: Section<'_>) -> Result<Self, ConfigError> {
        let (at, path) = section.required("cert")?;
        let cert = read_certificates(&at, &path)?;
        let (at, path) = section.required("key")?;
        let key = read_pem(&at, &path)?;
        if PrivateKeyDer::from_pem_slice(&key.pem).is_err() {
            return Err(at.refuse(format!("{path} holds no private key in PEM")));
        }
        let client_ca = section
            .text("client_ca")?
            .map(|(at, path)| read_certificates(&at, &path))
            .transpose()?;
        let form = "must be \"required\" or \"optional\"";
        let read = |text: &str| match text {
            "required" => Some(ClientAuth::Required),
            "optional" => Some(ClientAuth::Optional),
            _ => None,
        };
        let (at, client_auth) = section.parsed("client_auth", "required", form, read)?;
        if client_ca.is_none() && client_auth == ClientAuth::Optional {
            return Err(at.refuse("says nothing without client_ca"));
        }
        section.finish()?;
        Ok(Self {
            cert,
            key,
            client_ca,
            client_auth,
        })
    }

    /// The keys of the section, whose header is written already.
    pub(super) fn print(&self, out: &mut Printer) {
        let Self {
            cert,
            key,
            client_ca,
            client_auth,
        } = self;
        out.text("cert", cert.path.display());
        out.text("key", key.path.display());
        if let Some(authorities) = client_ca {
            out.text("client_ca", authorities.path.display());
            out.text(
                "client_auth",
                match client_auth {
                    ClientAuth::Required => "required",
                    ClientAuth::Optional => "optional",
                },
            );
        }
    }
}

pub(super) fn read_certificates(key: &Key, path: &str) -> Result<PemFile, ConfigError> {
    let file = read_pem(key, path)?;
    let certificates = CertificateDer::pem_slice_iter(&file.pem).collect::<Result<Vec<_>, _>>();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(file),
        _ => Err(key.refuse(format!("{path} holds no certificate in PEM"))),
    }
}

fn read_pem(key: &Key, path: &str) -> Result<PemFile, ConfigError> {
    let pem = std::fs::read(Path::new(path))
        .map_err(|error| key.refuse(format!("{path} cannot be read: {error}")))?;
    Ok(PemFile {
        path: path.into(),
        pem: Zeroizing::new(pem),
    })
}
