//! A caller as configured.

use std::path::PathBuf;
use std::sync::Arc;

use evergrant_core::ids::TenantId;

use super::{Permission, Rate, San};

/// A caller as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerRule {
    /// Its name, for logs and limits.
    pub name: String,
    /// How it proves who it is.
    pub identity: Identity,
    /// Its tenants; `None` for all.
    pub tenants: Option<Vec<TenantId>>,
    /// What it may do.
    pub allow: Vec<Permission>,
    /// How often it may ask one replica; `None`: as often as it likes.
    pub rate: Option<Rate>,
}

/// How a caller proves who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// By a bearer token with this SHA-256.
    Token([u8; 32]),
    /// By a client certificate with this name.
    San(San),
    /// By a JSON web token.
    Jwt(JwtRule),
}

impl Identity {
    /// Whether whoever showed this one could show the other one. Keys that an issuer changes make no difference.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Jwt(one), Self::Jwt(other)) => {
                let name = |rule: &JwtRule| {
                    let JwtRule {
                        issuer,
                        audience,
                        subject,
                        keys: _,
                    } = rule.clone();
                    (issuer, audience, subject)
                };
                name(one) == name(other)
            }
            _ => self == other,
        }
    }
}

/// What the token of a caller must say (RFC 7519 section 4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtRule {
    /// Its `iss`.
    pub issuer: String,
    /// Its `aud` is or holds this.
    pub audience: String,
    /// Its `sub`.
    pub subject: String,
    /// Where the keys are that may have signed it.
    pub keys: KeySource,
}

/// Where the keys of an issuer are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KeySource {
    /// Where its discovery document says.
    Discovered(KeyAccess),
    /// At this URL.
    Url(String, KeyAccess),
    /// In a file, which had this in it.
    File(PathBuf, Arc<[u8]>),
}

/// What it takes to fetch the keys of an issuer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct KeyAccess {
    /// The only authorities to trust, where the file is and what was in it; `None` for those of the system.
    pub authorities: Option<(PathBuf, Arc<[u8]>)>,
    /// The file of the bearer token to send, read for each fetch.
    pub bearer: Option<PathBuf>,
}
