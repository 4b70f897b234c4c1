//! Names of a certificate.

use std::fmt;

use url::Url;

/// A subject alternative name (RFC 5280 section 4.2.1.6) that names a caller.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum San {
    /// A URI, e.g. a SPIFFE ID, `spiffe://example.org/ns/billing/sa/api`. It is compared letter by letter.
    Uri(String),
    /// A host name, in lower case. A wildcard names nobody.
    Dns(String),
}

impl San {
    /// A URI if there is a `://` in it, else a host name. `None`: it is neither.
    pub fn parse(text: &str) -> Option<Self> {
        if text.contains("://") {
            let is_uri = Url::parse(text).is_ok() && !text.contains(char::is_whitespace);
            return is_uri.then(|| Self::Uri(text.to_owned()));
        }
        Self::dns(text)
    }

    /// A host name of labels with letters, digits and hyphens.
    pub(in crate::grpc) fn dns(text: &str) -> Option<Self> {
        let is_label = |label: &str| {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            !label.is_empty() && label.len() <= 63 && label.bytes().all(fits)
        };
        let is_name = text.len() <= 253 && text.split('.').all(is_label);
        is_name.then(|| Self::Dns(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for San {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uri(name) | Self::Dns(name) => f.write_str(name),
        }
    }
}
