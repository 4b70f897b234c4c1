//! Makes the real HTTP client ask the stand-in what a row describes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use evergrant_core::clock::{Clock, Timestamp};
use evergrant_core::ids::{ClientKey, ClientName, ProviderName};
use evergrant_core::provider::{CallError, Issued, Providers};
use evergrant_providers::{Catalogue, HttpProviders, OAuthClient};

use crate::facts::{Answer, Exchange};
use crate::provider::Provider;

/// When the table is held against the program: the first second of 2026.
pub const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// The stand-in for all providers, and keys to sign with.
pub struct Bench {
    pub provider: Provider,
}

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        NOW
    }
}
