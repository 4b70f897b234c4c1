//! In-memory ports and one contract suite per port.

pub mod coordinator;
pub mod coordinator_contract;
pub mod store;
pub mod store_contract;
