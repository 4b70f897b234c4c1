//! What can go wrong with a consent.

use evergrant_core::failure::FailureReason;
use evergrant_core::ids::CredentialKey;
use evergrant_core::provider::UnknownClient;
use evergrant_core::store::StoreError;
use evergrant_proto::v1::ErrorReason;
use thiserror::Error;

use super::authority::{Denied, Unfit};

/// Why a consent did not begin, or did not end with a credential. None of them holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConsentError {
    /// What is asked for cannot be; nothing has happened.
    #[error("{field}: {why}")]
    Invalid {
        /// The field of the request.
        field: String,
        /// Why.
        why: String,
    },
    /// The provider or the client is not known.
    #[error(transparent)]
    Unknown(#[from] UnknownClient),
    /// There is no such state, or no more.
    #[error("the state is unknown, was used before, or is older than ten minutes; begin again")]
    StateInvalid,
    /// It came to the server's own callback, and is to end at another redirect URI.
    #[error(
        "the consent was begun for another redirect URI than this callback; its state is still good there"
    )]
    Elsewhere,
    /// The provider or the user said no.
    #[error("{message}")]
    Refused {
        /// The provider's own error code; empty if none.
        code: String,
        /// For people.
        message: String,
    },
    /// Another account was connected than the credential's.
    #[error("credential {0} belongs to another account than the one connected now")]
    AccountMismatch(CredentialKey),
    /// The refresh token is that of this credential, which may be spending it.
    #[error(
        "the refresh token is that of credential {0}, which is being refreshed; the state is spent, begin again"
    )]
    HolderBusy(CredentialKey),
    /// The credential is there by now, and of another client or grant type.
    #[error("credential {0} exists already, and is not of this consent's client; begin again")]
    Exists(CredentialKey),
    /// The provider could not be asked, or its answer is of no use.
    #[error("{message}")]
    Failed {
        /// Why.
        reason: FailureReason,
        /// The provider's own error code; empty if none.
        code: String,
        /// For people.
        message: String,
    },
    /// The store could not do it, and no code was redeemed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The provider gave tokens, and the store could not take them.
    #[error("the tokens could not be stored: {0}; the state is spent, begin again")]
    NotStored(StoreError),
    /// A bug.
    #[error("{0}")]
    Internal(&'static str),
}

impl ConsentError {
    /// The reason on the wire.
    pub fn reason(&self) -> ErrorReason {
        match self {
            Self::Invalid { .. } => ErrorReason::InvalidRequest,
            Self::Unknown(UnknownClient::Provider(_)) => ErrorReason::UnknownProvider,
            Self::Unknown(UnknownClient::Client { .. } | UnknownClient::Unnamed { .. }) => {
                ErrorReason::UnknownClient
            }
            Self::StateInvalid | Self::Elsewhere => ErrorReason::AuthorizationStateInvalid,
            Self::Refused { .. } => ErrorReason::AuthorizationRefused,
            Self::AccountMismatch(_) => ErrorReason::AccountMismatch,
            Self::HolderBusy(_) => ErrorReason::GenerationConflict,
            Self::Exists(_) => ErrorReason::CredentialExists,
            Self::Failed { reason, .. } => match reason {
                FailureReason::ClientRejected => ErrorReason::ClientRejected,
                FailureReason::ProviderUnavailable => ErrorReason::ProviderUnavailable,
                FailureReason::ProviderRateLimited => ErrorReason::ProviderRateLimited,
                FailureReason::GrantUnusable => ErrorReason::GrantUnusable,
                _ => ErrorReason::ProviderProtocolError,
            },
            Self::Store(error) | Self::NotStored(error) => match error {
                StoreError::Unavailable(_) => ErrorReason::StoreUnavailable,
                StoreError::KeyUnavailable(_) => ErrorReason::KeyUnavailable,
                StoreError::Corrupt(_) => ErrorReason::Internal,
            },
            Self::Internal(_) => ErrorReason::Internal,
        }
    }

    /// What the user may know, who is no caller of ours: nothing of names or of how things are set up.
    pub fn for_users(&self) -> String {
        match self {
            Self::Refused { message, .. } => message.clone(),
            Self::StateInvalid => "the link was used before or is too old".to_owned(),
            Self::Elsewhere => {
                "this sign-in was begun by an application that ends it at an address of its own"
                    .to_owned()
            }
            Self::AccountMismatch(_) => {
                "this is another account than the one connected before".to_owned()
            }
            Self::Failed {
                reason: FailureReason::ProviderUnavailable | FailureReason::ProviderRateLimited,
                ..
            } => "the provider cannot be reached, try again later".to_owned(),
            _ => "something went wrong, try again later".to_owned(),
        }
    }
}

impl From<Denied> for ConsentError {
    fn from(denied: Denied) -> Self {
        let Denied {
            reason,
            code,
            message,
        } = denied;
        match reason {
            Some(reason) => Self::Failed {
                reason,
                code,
                message: format!("{message}; the state is spent, begin again"),
            },
            None => Self::Refused {
                code,
                message: format!("the provider refused the code: {message}"),
            },
        }
    }
}

impl From<Unfit> for ConsentError {
    fn from(unfit: Unfit) -> Self {
        let field = unfit.placeholder.map(|name| format!("placeholders.{name}"));
        Self::Invalid {
            field: field.unwrap_or_else(|| "credential.provider".to_owned()),
            why: unfit.why,
        }
    }
}
