//! Where the keys of an issuer are.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use url::Url;

use super::VerifyError;
use super::key_set::KeySet;
use crate::catalogue::UrlTemplate;

/// Where the keys of an issuer are.
#[derive(Debug, Clone)]
pub enum Location {
    /// The key set is at this URL, which must be https unless it leads to a loopback address.
    Url(String),
    /// The discovery document of this issuer says where (OpenID Connect Discovery 1.0 section 4).
    Issuer(String),
    /// They are at hand.
    Known(KnownKeys),
}

/// A key set that is at hand, e.g. from a file.
#[derive(Clone)]
pub struct KnownKeys(pub(super) Arc<KeySet>);

impl KnownKeys {
    /// Reads a JSON web key set (RFC 7517 section 5). `None`: it is none, or no key of it verifies signatures.
    pub fn parse(json: &[u8]) -> Option<Self> {
        let set = KeySet::parse(json)?;
        (!set.is_empty()).then(|| Self(Arc::new(set)))
    }
}

impl fmt::Debug for KnownKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownKeys").finish_non_exhaustive()
    }
}

/// What it takes to fetch the keys of an issuer that is not for everyone, e.g. of a Kubernetes cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// The only authorities, in PEM, whose certificates are trusted; `None` for those of the system.
    pub authorities: Option<Vec<u8>>,
    /// A file with the bearer token to send, read anew for each fetch, since such tokens are replaced.
    pub bearer: Option<PathBuf>,
}

/// Where a set is, or where it is said where it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) url: Url,
    /// A credential decides which host that is: then it must be a public address.
    pub(crate) guarded: bool,
    /// At `url` is the discovery document of this issuer instead.
    pub(crate) issuer: Option<String>,
}

impl Place {
    pub(super) fn of_set(url: &str) -> Result<Self, VerifyError> {
        Ok(Self {
            url: checked(url)?,
            guarded: false,
            issuer: None,
        })
    }

    pub(super) fn of_issuer(issuer: &str) -> Result<Self, VerifyError> {
        let document = format!(
            "{}/.well-known/openid-configuration",
            issuer.trim_end_matches('/')
        );
        Ok(Self {
            url: checked(&document)?,
            guarded: false,
            issuer: Some(issuer.to_owned()),
        })
    }
}

/// Reads where an issuer's discovery document says that its keys are.
pub(super) fn discovered(document: &[u8], issuer: &str) -> Result<Url, String> {
    #[derive(Deserialize)]
    struct Document {
        issuer: String,
        jwks_uri: String,
    }
    let document: Document = serde_json::from_slice(document)
        .map_err(|_| "the answer is no discovery document".to_owned())?;
    // Section 4.3: else it is the document of another one.
    if document.issuer != issuer {
        return Err("the discovery document is of another issuer".to_owned());
    }
    checked(&document.jwks_uri).map_err(|error| error.to_string())
}

fn checked(url: &str) -> Result<Url, VerifyError> {
    UrlTemplate::parse(url, &[])
        .and_then(|url| url.fill(|_| None, &[]))
        .map_err(VerifyError::Url)
}
