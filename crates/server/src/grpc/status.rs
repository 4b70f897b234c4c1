//! Errors as callers see them: the one table from what went wrong to a gRPC status.

use std::time::Duration;

use evergrant_core::brake::PROBE_EVERY;
use evergrant_core::broker::TokenError;
use evergrant_core::change::plan::{
    CreateError, CreateIntegrationError, ReconnectError, UpdateIntegrationError, UpdateLabelsError,
};
use evergrant_core::change::run::ChangeError;
use evergrant_core::clock::Timestamp;
use evergrant_core::failure::FailureReason;
use evergrant_core::provider::UnknownClient;
use evergrant_core::refresh::Failure;
use evergrant_core::registry::InvalidateError;
use evergrant_core::revocation::RevokeError;
use evergrant_core::store::StoreError;
use evergrant_proto::v1::ErrorReason;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The domain of every google.rpc.ErrorInfo.
pub const DOMAIN: &str = "evergrant.v1";

/// What a caller is asked to wait where nobody knows better.
const SOON: Duration = Duration::from_secs(1);

/// An error of an RPC.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError {
    reason: ErrorReason,
    message: String,
    retry_after: Option<Duration>,
    violations: Vec<(String, String)>,
    metadata: Vec<(&'static str, String)>,
}

impl ApiError {
    /// An error with this reason. The message is for people and holds no secret.
    pub fn new(reason: ErrorReason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            retry_after: None,
            violations: Vec::new(),
            metadata: Vec::new(),
        }
    }

    /// A field of the request is malformed.
    pub fn invalid(field: impl Into<String>, why: impl Into<String>) -> Self {
        let (field, why) = (field.into(), why.into());
        let mut error = Self::new(ErrorReason::InvalidRequest, format!("{field}: {why}"));
        error.violations.push((field, why));
        error
    }

    /// The same error, naming the field of the request that it is about.
    #[must_use]
    pub fn about(mut self, field: &str) -> Self {
        self.violations
            .push((field.to_owned(), self.message.clone()));
        self
    }

    /// The same error, with a fact for programs in its ErrorInfo. An empty one is left out.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: String) -> Self {
        if !value.is_empty() {
            self.metadata.push((name, value));
        }
        self
    }

    /// The same error, asking to be tried again after a while.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// A bug of ours: logged here, once, under an id that the caller gets instead of the details.
    pub fn internal(what: &str) -> Self {
        let id = uuid::Uuid::new_v4().simple().to_string();
        tracing::error!(error_id = id, error = what, "internal error");
        let mut error = Self::new(
            ErrorReason::Internal,
            format!("internal error, see error_id {id} in the log"),
        );
        error.metadata.push(("error_id", id));
        error
    }

    /// The reason, one of a few that a program can act on.
    pub fn reason(&self) -> ErrorReason {
        self.reason
    }

    /// The reason's name as ErrorInfo carries it, e.g. `CREDENTIAL_INVALIDATED`.
    pub fn reason_name(&self) -> &'static str {
        reason_name(self.reason)
    }

    /// The gRPC code.
    pub fn code(&self) -> Code {
        code_of(self.reason)
    }

    /// For people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// When to try again.
    pub fn wait(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The error as it goes over the wire, with google.rpc details.
    pub fn into_status(self) -> Status {
        let mut details = ErrorDetails::new();
        let metadata = self
            .metadata
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect::<std::collections::HashMap<_, _>>();
        details.set_error_info(reason_name(self.reason), DOMAIN, metadata);
        if let Some(wait) = self.retry_after {
            details.set_retry_info(Some(wait));
        }
        for (field, why) in self.violations {
            details.add_bad_request_violation(field, why);
        }
        Status::with_error_details(code_of(self.reason), self.message, details)
    }
}

/// The name of a reason without the prefix of its enum.
pub fn reason_name(reason: ErrorReason) -> &'static str {
    let name = reason.as_str_name();
    name.strip_prefix("ERROR_REASON_").unwrap_or(name)
}

fn code_of(reason: ErrorReason) -> Code {
    use ErrorReason as Reason;
    match reason {
        Reason::Unspecified | Reason::Internal => Code::Internal,
        Reason::InvalidRequest | Reason::UnknownProvider | Reason::UnknownClient => {
            Code::InvalidArgument
        }
        Reason::Unauthenticated => Code::Unauthenticated,
        Reason::PermissionDenied => Code::PermissionDenied,
        Reason::CallerRateLimited
        | Reason::ProviderRateLimited
        | Reason::ScopeSetLimit
        | Reason::StreamLimit => Code::ResourceExhausted,
        Reason::StoreUnavailable
        | Reason::IssuerUnavailable
        | Reason::ShuttingDown
        | Reason::Starting
        | Reason::ProviderUnavailable
        | Reason::ProviderProtocolError
        | Reason::RefreshCoolingDown
        | Reason::ClientBraked
        | Reason::StreamRotated
        | Reason::EventLogUnreachable => Code::Unavailable,
        Reason::KeyUnavailable
        | Reason::CredentialInvalidated
        | Reason::AccountMismatch
        | Reason::AuthorizationStateInvalid
        | Reason::AuthorizationRefused
        | Reason::ClientRejected
        | Reason::SubjectInvalid
        | Reason::GrantUnusable
        | Reason::CursorEpochMismatch
        | Reason::FilterChanged => Code::FailedPrecondition,
        Reason::CredentialNotFound | Reason::IntegrationNotFound | Reason::KillNotFound => {
            Code::NotFound
        }
        Reason::CredentialExists | Reason::IntegrationExists => Code::AlreadyExists,
        Reason::GenerationConflict | Reason::EtagMismatch | Reason::SlowConsumer => Code::Aborted,
        Reason::RefreshInProgress => Code::DeadlineExceeded,
        Reason::CursorExpired => Code::OutOfRange,
    }
}

/// The wire's reason for a failed refresh. A failure that is only remembered is a cool-down, unless an operator
/// must act: then saying so again helps more.
pub fn failure_reason(failure: &Failure) -> ErrorReason {
    match failure.reason {
        FailureReason::ClientRejected => ErrorReason::ClientRejected,
        FailureReason::ClientBraked => ErrorReason::ClientBraked,
        FailureReason::UnknownClient => ErrorReason::UnknownClient,
        FailureReason::KeyUnavailable => ErrorReason::KeyUnavailable,
        FailureReason::SubjectInvalid => ErrorReason::SubjectInvalid,
        FailureReason::GrantUnusable => ErrorReason::GrantUnusable,
        FailureReason::Internal => ErrorReason::Internal,
        FailureReason::ProviderRateLimited => ErrorReason::ProviderRateLimited,
        _ if failure.cooling => ErrorReason::RefreshCoolingDown,
        FailureReason::ProviderUnavailable => ErrorReason::ProviderUnavailable,
        FailureReason::ProviderProtocolError => ErrorReason::ProviderProtocolError,
        FailureReason::StoreUnavailable => ErrorReason::StoreUnavailable,
        FailureReason::ShuttingDown => ErrorReason::ShuttingDown,
    }
}

/// The error of a `GetToken`, told at `now`.
pub fn token_error(error: TokenError, now: Timestamp) -> ApiError {
    let message = error.to_string();
    match error {
        TokenError::NotFound(_) => ApiError::new(ErrorReason::CredentialNotFound, message),
        TokenError::Scopes { .. } => {
            ApiError::new(ErrorReason::InvalidRequest, message).about("scopes")
        }
        TokenError::TooManyScopeSets(_) => ApiError::new(ErrorReason::ScopeSetLimit, message),
        TokenError::Invalidated {
            generation,
            invalidation,
            ..
        } => {
            let reason = super::convert::invalidation_name(invalidation.reason);
            ApiError::new(ErrorReason::CredentialInvalidated, message)
                .with("generation", generation.to_string())
                .with("invalidation_reason", reason.to_owned())
                .with("provider_error", invalidation.provider_error)
        }
        TokenError::InProgress(_) => {
            ApiError::new(ErrorReason::RefreshInProgress, message).retry_after(SOON)
        }
        TokenError::Store(error) => store_error(&error),
        TokenError::Failed { failure, .. } => failed(&failure, message, now),
    }
}

/// The error of a deletion that was to revoke first, told at `now`.
pub fn revoke_error(error: RevokeError, now: Timestamp) -> ApiError {
    let message = error.to_string();
    match error {
        RevokeError::NotFound(_) => ApiError::new(ErrorReason::CredentialNotFound, message),
        RevokeError::InProgress(_) => {
            let message = format!("{message}; it may be deleted yet, and asking again is safe");
            ApiError::new(ErrorReason::RefreshInProgress, message).retry_after(SOON)
        }
        // Whether a write took place whose answer is missing is unknown.
        RevokeError::Failed { failure, .. }
            if failure.reason == FailureReason::StoreUnavailable =>
        {
            failed(&failure, message, now)
        }
        RevokeError::Failed { failure, .. } => {
            failed(&failure, format!("{message}; nothing was deleted"), now)
        }
    }
}

fn failed(failure: &Failure, message: String, now: Timestamp) -> ApiError {
    let reason = failure_reason(failure);
    if reason == ErrorReason::Internal {
        return ApiError::internal(&message);
    }
    let mut wait = failure.next_at.map_or(SOON, |next_at| next_at.since(now));
    if reason == ErrorReason::ClientBraked {
        // Its turn may be hours away, and a release come at any time.
        wait = wait.min(PROBE_EVERY);
    }
    let passes = code_of(reason) != Code::InvalidArgument
        && !matches!(
            reason,
            ErrorReason::KeyUnavailable | ErrorReason::SubjectInvalid | ErrorReason::GrantUnusable
        );
    let api = ApiError::new(reason, message);
    if passes { api.retry_after(wait) } else { api }
}

/// The error of a store that could not do what was asked.
pub fn store_error(error: &StoreError) -> ApiError {
    match error {
        StoreError::Unavailable(why) => {
            tracing::warn!(error = why, "the store is unavailable");
            ApiError::new(
                ErrorReason::StoreUnavailable,
                "the database is out of reach",
            )
            .retry_after(SOON)
        }
        StoreError::KeyUnavailable(_) => {
            ApiError::new(ErrorReason::KeyUnavailable, error.to_string())
        }
        StoreError::Corrupt(_) => ApiError::internal(&error.to_string()),
    }
}

/// The error of a change, whose refusal `refused` tells.
pub fn change_error<E>(error: ChangeError<E>, refused: impl FnOnce(E) -> ApiError) -> ApiError {
    match error {
        ChangeError::Refused(error) => refused(error),
        ChangeError::Store(error) => store_error(&error),
    }
}

impl From<CreateError> for ApiError {
    fn from(error: CreateError) -> Self {
        let message = error.to_string();
        match error {
            CreateError::Exists(_) => Self::new(
                ErrorReason::CredentialExists,
                format!("{message}; use ReconnectCredential"),
            ),
            CreateError::AccountMismatch(_) => Self::new(ErrorReason::AccountMismatch, message),
        }
    }
}

impl From<ReconnectError> for ApiError {
    fn from(error: ReconnectError) -> Self {
        let message = error.to_string();
        match error {
            ReconnectError::NotFound(_) => Self::new(ErrorReason::CredentialNotFound, message),
            ReconnectError::AccountMismatch { .. } => {
                Self::new(ErrorReason::AccountMismatch, message)
            }
            ReconnectError::HolderBusy(_) => Self::new(ErrorReason::GenerationConflict, message),
        }
    }
}

impl From<UpdateLabelsError> for ApiError {
    fn from(error: UpdateLabelsError) -> Self {
        let message = error.to_string();
        match error {
            UpdateLabelsError::NotFound(_) => Self::new(ErrorReason::CredentialNotFound, message),
            UpdateLabelsError::EtagMismatch(_) => Self::new(ErrorReason::EtagMismatch, message),
        }
    }
}

impl From<InvalidateError> for ApiError {
    fn from(error: InvalidateError) -> Self {
        let message = error.to_string();
        match error {
            InvalidateError::NotFound(_) => Self::new(ErrorReason::CredentialNotFound, message),
            InvalidateError::GenerationConflict { .. } => {
                Self::new(ErrorReason::GenerationConflict, message)
            }
        }
    }
}

impl From<CreateIntegrationError> for ApiError {
    fn from(error: CreateIntegrationError) -> Self {
        let message = error.to_string();
        match error {
            CreateIntegrationError::Exists(_) => Self::new(ErrorReason::IntegrationExists, message),
            CreateIntegrationError::CredentialNotFound(_) => {
                Self::new(ErrorReason::CredentialNotFound, message)
            }
        }
    }
}

impl From<UpdateIntegrationError> for ApiError {
    fn from(error: UpdateIntegrationError) -> Self {
        let message = error.to_string();
        match error {
            UpdateIntegrationError::NotFound(_) => {
                Self::new(ErrorReason::IntegrationNotFound, message)
            }
            UpdateIntegrationError::CredentialNotFound(_) => {
                Self::new(ErrorReason::CredentialNotFound, message)
            }
            UpdateIntegrationError::EtagMismatch(_) => {
                Self::new(ErrorReason::EtagMismatch, message)
            }
        }
    }
}

impl From<UnknownClient> for ApiError {
    fn from(error: UnknownClient) -> Self {
        let message = error.to_string();
        match error {
            UnknownClient::Provider(_) => {
                Self::new(ErrorReason::UnknownProvider, message).about("credential.provider")
            }
            UnknownClient::Client { .. } | UnknownClient::Unnamed { .. } => {
                Self::new(ErrorReason::UnknownClient, message).about("credential.client")
            }
        }
    }
}

#[cfg(test)]
mod tests;
