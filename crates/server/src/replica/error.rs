//! Why a replica does not start.

use std::path::PathBuf;

use evergrant_core::store::StoreError;
use evergrant_providers::ClientConfigError;
use thiserror::Error;

use crate::audit::lines::LinesError;
use crate::config::ConfigError;
use crate::grpc::transport::TlsError;
use crate::redis::BadRedisUrl;
use crate::seal::KeyRingError;
use crate::store::{OpenStoreError, WrongKey};

/// Why a replica does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// A configured value turned out to be unusable.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A listener cannot be had.
    #[error("{0}: {1}")]
    Listen(&'static str, String),
    /// Certificate and key of the listener are unusable.
    #[error("server.tls: {0}")]
    Tls(#[from] TlsError),
    /// Certificate and key of the listener for what providers report are unusable.
    #[error("inbound.tls: {0}")]
    InboundTls(TlsError),
    /// The sealing keys do not fit together.
    #[error("keys: {0}")]
    Keys(#[from] KeyRingError),
    /// The key of this id is not configured, and the store or the journal holds what it sealed.
    #[error(
        "keys: sealing key {0} is not configured, and is needed to open what it sealed; \
         if it is gone for good, name it in keys.lost"
    )]
    MissingKey(String),
    /// A key of the right name is not the one that sealed.
    #[error("keys: {0}")]
    WrongKey(#[source] WrongKey),
    /// There is no key file, and a new one would not open what is stored.
    #[error("keys: the key file {} does not exist, and the store holds what key {id} sealed", path.display())]
    MissingKeyFile {
        /// Where it should be.
        path: PathBuf,
        /// The key that it held, or another one that is needed.
        id: String,
    },
    /// The database cannot be opened.
    #[error("store.url: {0}")]
    OpenStore(OpenStoreError),
    /// The database was opened and then failed.
    #[error("store.url: {0}")]
    Store(StoreError),
    /// The journal cannot be opened.
    #[error("refresh.journal: {0}")]
    Journal(#[source] std::io::Error),
    /// The lines of the audit trail cannot be written.
    #[error("audit.lines: {0}")]
    AuditLines(#[source] LinesError),
    /// The Redis URL is unusable.
    #[error("redis.url: {0}")]
    Redis(#[from] BadRedisUrl),
    /// A client is configured by half.
    #[error(transparent)]
    Client(#[from] ClientConfigError),
    /// A task of the start panicked.
    #[error("a task of the start failed: {0}")]
    Task(String),
}

impl From<OpenStoreError> for StartError {
    fn from(error: OpenStoreError) -> Self {
        match error {
            OpenStoreError::Store(StoreError::KeyUnavailable(id)) => Self::MissingKey(id),
            OpenStoreError::WrongKey(wrong) => Self::WrongKey(wrong),
            error => Self::OpenStore(error),
        }
    }
}

impl From<StoreError> for StartError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::KeyUnavailable(id) => Self::MissingKey(id),
            error => Self::Store(error),
        }
    }
}

impl StartError {
    pub(super) fn task(error: tokio::task::JoinError) -> Self {
        Self::Task(error.to_string())
    }

    /// Whether an operator must mend the configuration, rather than a dependency.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Config(_)
            | Self::Tls(_)
            | Self::InboundTls(_)
            | Self::Keys(_)
            | Self::MissingKey(_)
            | Self::MissingKeyFile { .. }
            | Self::WrongKey(_)
            | Self::Redis(_)
            | Self::Client(_)
            | Self::OpenStore(
                OpenStoreError::NoFolder(_)
                | OpenStoreError::NoFile(_)
                | OpenStoreError::NoSchema
                | OpenStoreError::Pooler(_),
            ) => true,
            Self::Listen(..)
            | Self::OpenStore(_)
            | Self::Store(_)
            | Self::Journal(_)
            | Self::AuditLines(_)
            | Self::Task(_) => false,
        }
    }

    /// Whether a dependency is out of reach, so that a later start may succeed.
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Store(StoreError::Unavailable(_))
                | Self::OpenStore(OpenStoreError::Store(StoreError::Unavailable(_)))
        )
    }
}
