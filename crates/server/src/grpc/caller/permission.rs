//! What a caller may be allowed to do.

/// A right of a caller. None includes another, except `admin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Permission {
    /// `token.get`
    TokenGet,
    /// `event.watch`
    EventWatch,
    /// `credential.read`
    CredentialRead,
    /// `credential.write`
    CredentialWrite,
    /// `integration.read`
    IntegrationRead,
    /// `integration.write`
    IntegrationWrite,
    /// `audit.read`
    AuditRead,
    /// `admin`: everything.
    Admin,
}

impl Permission {
    /// Every permission.
    pub const ALL: [Self; 8] = [
        Self::TokenGet,
        Self::EventWatch,
        Self::CredentialRead,
        Self::CredentialWrite,
        Self::IntegrationRead,
        Self::IntegrationWrite,
        Self::AuditRead,
        Self::Admin,
    ];

    /// The name in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TokenGet => "token.get",
            Self::EventWatch => "event.watch",
            Self::CredentialRead => "credential.read",
            Self::CredentialWrite => "credential.write",
            Self::IntegrationRead => "integration.read",
            Self::IntegrationWrite => "integration.write",
            Self::AuditRead => "audit.read",
            Self::Admin => "admin",
        }
    }

    /// The permission of that name in the configuration.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|permission| permission.as_str() == name)
    }
}
