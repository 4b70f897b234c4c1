//! Every default of the configuration, in the form in which a file would hold it.

pub(super) const LISTEN: &str = "127.0.0.1:7070";
pub(super) const ADMIN_LISTEN: &str = "127.0.0.1:7071";
/// Kubernetes kills after 30 s unless told otherwise; this leaves time for the last lines of the log.
pub(super) const SHUTDOWN_TIMEOUT: &str = "25s";

pub(super) const STORE_URL: &str = "sqlite://evergrant.db";
pub(super) const STORE_POOLER: &str = "none";
pub(super) const STORE_MAX_CONNECTIONS: u32 = 16;
pub(super) const ORPHAN_RETENTION: &str = "30d";

pub(super) const REDIS_PREFIX: &str = "evergrant";

pub(super) const PROVIDERS_DIR: &str = "providers.d";

pub(super) const ATTEMPT_TIMEOUT: &str = "15s";
pub(super) const STORE_TIMEOUT: &str = "5s";
pub(super) const LEASE: &str = "45s";
pub(super) const CONCURRENCY: u32 = 256;
pub(super) const PER_PROVIDER: u32 = 64;

pub(super) const RETENTION: &str = "30d";
/// Three missed heartbeats still fit in the 60 s after which common load balancers end an idle stream.
pub(super) const HEARTBEAT: &str = "15s";
pub(super) const STREAM_LIFETIME: &str = "30m";
pub(super) const MAX_STREAMS: u32 = 10_000;
pub(super) const MAX_STREAMS_PER_CALLER: u32 = 32;
pub(super) const MAX_SNAPSHOTS: u32 = 4;

pub(super) const AUDIT_MODE: &str = "available";
pub(super) const AUDIT_RETENTION: &str = "90d";
pub(super) const AUDIT_FLUSH: &str = "1s";
pub(super) const AUDIT_QUEUE: u32 = 100_000;

/// RFC 8417 section 2.3.
pub(super) const SET_TYPE: &str = "secevent+jwt";

pub(super) const LEVEL: &str = "info";
pub(super) const FORMAT: &str = "text";
/// The default of OpenTelemetry: whoever turns traces on sees them.
pub(super) const TRACE_RATIO: f64 = 1.0;
