//! What Evergrant exists for, without I/O.

pub mod change;
pub mod clock;
pub mod coordinator;
pub mod events;
pub mod failure;
pub mod grant;
pub mod ids;
pub mod integration;
pub mod provider;
pub mod secret;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
