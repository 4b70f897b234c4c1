//! What can go wrong with a refresh, in the few words that callers can act on.

use std::fmt;

/// Why a token could not be renewed although its grant is not known to be dead.
///
/// The wire's `ErrorReason` has the same names; [`as_str`](Self::as_str) gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureReason {
    /// The provider rejects the OAuth client; an operator must act.
    ClientRejected,
    /// The provider refuses so many grants of the OAuth client at once that its refusals are held; an operator must
    /// look.
    ClientBraked,
    /// The provider cannot be reached, times out or answers with a fault of its own.
    ProviderUnavailable,
    /// The provider throttles.
    ProviderRateLimited,
    /// The provider's answer makes no sense, or it rejects the form of our request.
    ProviderProtocolError,
    /// The database cannot be reached.
    StoreUnavailable,
    /// The key that sealed the stored token set is not configured.
    KeyUnavailable,
    /// This process is ending.
    ShuttingDown,
    /// The provider or the client of the credential is no longer configured.
    UnknownClient,
    /// The credential whose token is to be exchanged is missing or dead, or needs this one in turn.
    SubjectInvalid,
    /// No request can be made of what the grant, its client and the catalogue entry have: a value or a key is missing,
    /// or does not fit.
    GrantUnusable,
    /// A bug: the attempt panicked. Or this replica's clock is wrong.
    Internal,
}

impl FailureReason {
    /// Every reason, in the order of declaration.
    pub const ALL: [Self; 12] = [
        Self::ClientRejected,
        Self::ClientBraked,
        Self::ProviderUnavailable,
        Self::ProviderRateLimited,
        Self::ProviderProtocolError,
        Self::StoreUnavailable,
        Self::KeyUnavailable,
        Self::ShuttingDown,
        Self::UnknownClient,
        Self::SubjectInvalid,
        Self::GrantUnusable,
        Self::Internal,
    ];

    /// The name on the wire, e.g. `PROVIDER_UNAVAILABLE`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientRejected => "CLIENT_REJECTED",
            Self::ClientBraked => "CLIENT_BRAKED",
            Self::ProviderUnavailable => "PROVIDER_UNAVAILABLE",
            Self::ProviderRateLimited => "PROVIDER_RATE_LIMITED",
            Self::ProviderProtocolError => "PROVIDER_PROTOCOL_ERROR",
            Self::StoreUnavailable => "STORE_UNAVAILABLE",
            Self::KeyUnavailable => "KEY_UNAVAILABLE",
            Self::ShuttingDown => "SHUTTING_DOWN",
            Self::UnknownClient => "UNKNOWN_CLIENT",
            Self::SubjectInvalid => "SUBJECT_INVALID",
            Self::GrantUnusable => "GRANT_UNUSABLE",
            Self::Internal => "INTERNAL",
        }
    }

    /// The reason of that name on the wire.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}

impl fmt::Display for FailureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_found_by_its_name() {
        for reason in FailureReason::ALL {
            assert_eq!(FailureReason::from_name(reason.as_str()), Some(reason));
        }
        assert_eq!(FailureReason::from_name("NONSENSE"), None);
    }
}
