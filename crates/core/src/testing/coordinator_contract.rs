//! What every implementation of a coordination port must do.
//!
//! A suite is a macro that makes one test of each claim. It is given an `async` block that builds a fresh
//! [`Pair`]:
//!
//! ```text
//! evergrant_core::locks_contract!(async {
//!     let memory = MemoryCoordinator::new();
//!     Pair::new(memory.clone() as Arc<dyn Locks>, memory)
//! });
//! ```

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::coordinator::EscrowEntry;
use crate::grant::{Means, TokenSet};
use crate::ids::{Epoch, Generation, GrantId};
use crate::secret::{AccessToken, RefreshToken};

pub mod bus;
pub mod escrow;
pub mod locks;

/// How long a claim waits for what must come.
const PATIENCE: Duration = Duration::from_secs(10);

/// A port as two replicas of one service see it.
pub struct Pair<P: ?Sized> {
    /// The port of one replica.
    pub one: Arc<P>,
    /// The port of another; the same one where a port serves one process.
    pub other: Arc<P>,
    _kept: Option<Box<dyn Any + Send>>,
}

impl<P: ?Sized> Pair<P> {
    /// Two ports of one service.
    pub fn new(one: Arc<P>, other: Arc<P>) -> Self {
        Self {
            one,
            other,
            _kept: None,
        }
    }

    /// Keeps `thing`, e.g. a server process or a folder, for as long as the ports are tested.
    pub fn keeping(self, thing: impl Any + Send) -> Self {
        Self {
            _kept: Some(Box::new(thing)),
            ..self
        }
    }
}

/// An entry with every field of its token set filled in, different for each base.
pub fn entry(grant: &GrantId, base: u64) -> EscrowEntry {
    EscrowEntry {
        grant: grant.clone(),
        base: Generation(base),
        epoch: Epoch(base + 100),
        tokens: TokenSet {
            access_token: AccessToken::new(format!("access-{base}\"\\\n")),
            token_type: "Bearer".into(),
            expires_at: Some(Timestamp::from_millis(1_700_000_000_000)),
            refresh_token: Some(RefreshToken::new(format!("refresh-{base}"))),
            refresh_expires_at: Some(Timestamp::from_millis(-1)),
            scopes: vec!["read".into(), "write".into()],
            metadata: BTreeMap::from([("instance_url".into(), "https://example.com".into())]),
            means: Means::default(),
            minted_by: None,
        },
        issued_at: Timestamp::from_millis(1_699_999_000_000 + i64::try_from(base).unwrap_or(0)),
    }
}
