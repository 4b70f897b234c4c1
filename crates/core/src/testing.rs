//! In-memory ports, a clock and a provider under a test's control, and one contract suite per port.

pub mod attempts;
pub mod clock;
pub mod coordinator;
pub mod coordinator_contract;
pub mod held;
pub mod provider;
pub mod sample;
pub mod store;
pub mod store_contract;
