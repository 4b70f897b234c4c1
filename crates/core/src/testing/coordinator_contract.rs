//! coordinator_contract
