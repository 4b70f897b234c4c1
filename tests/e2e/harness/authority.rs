//! A certificate authority of a test's own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// Vouches for certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
pub struct Issued {
    pub cert: String,
    pub key: String,
}

const A_DAY: Duration = Duration::from_secs(86_400);

impl Authority {
    /// An authority that nobody else knows.
    pub fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        Ok(Self(issuer))
    }

    /// Its own certificate, in PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate with these names, URIs or host names, that is good for a day.
    pub fn issue(&self, names: &[&str]) -> Result<Issued> {
        self.issue_for(A_DAY, names)
    }

    /// The same, good for as long from now.
    #[expect(
        clippy::disallowed_methods,
        reason = "an authority has a clock of its own"
    )]
    pub fn issue_for(&self, lifetime: Duration, names: &[&str]) -> Result<Issued> {
        let now = std::time::SystemTime::now();
        let mut params = CertificateParams::default();
        params.not_before = (now - A_DAY).into();
        params.not_after = (now + lifetime).into();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        for &name in names {
            let text = Ia5String::try_from(name)?;
            params.subject_alt_names.push(match name.contains("://") {
                true => SanType::URI(text),
                false => SanType::DnsName(text),
            });
        }
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.0)?;
        Ok(Issued {
            cert: certificate.pem(),
            key: key.serialize_pem(),
        })
    }

    /// How a client trusts this authority, and shows `identity` if there is one.
    pub fn client(&self, identity: Option<&Issued>) -> ClientTlsConfig {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(self.pem()))
            .domain_name("localhost");
        match identity {
            None => tls,
            Some(Issued { cert, key }) => tls.identity(Identity::from_pem(cert, key)),
        }
    }
}

/// Files of a listener that a test may change while the listener reads them.
pub struct TlsFiles {
    folder: tempfile::TempDir,
}

impl TlsFiles {
    /// A server's certificate, and the authority of its clients.
    pub fn new(server: &Issued, clients: &Authority) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("evergrant-e2e-tls-")
            .tempdir()?;
        let files = Self { folder };
        files.serve_with(server)?;
        files.trust(&clients.pem())?;
        Ok(files)
    }

    /// Changes the server's certificate and key, as Kubernetes would: by replacing what a link leads to.
    pub fn serve_with(&self, server: &Issued) -> Result<()> {
        let data = tempfile::tempdir_in(self.folder.path())?.keep();
        std::fs::write(data.join("tls.crt"), &server.cert)?;
        std::fs::write(data.join("tls.key"), &server.key)?;
        let (link, next) = (self.path("data"), self.path("next"));
        std::os::unix::fs::symlink(data, &next)?;
        Ok(std::fs::rename(next, link)?)
    }

    /// Changes the authorities of clients, in PEM.
    pub fn trust(&self, pem: &str) -> Result<()> {
        Ok(std::fs::write(self.client_ca(), pem)?)
    }

    pub fn cert(&self) -> PathBuf {
        self.path("data").join("tls.crt")
    }

    pub fn key(&self) -> PathBuf {
        self.path("data").join("tls.key")
    }

    pub fn client_ca(&self) -> PathBuf {
        self.path("ca.crt")
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new(self.folder.path()).join(name)
    }
}
