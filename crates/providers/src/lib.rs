//! Token endpoints as data.

pub mod sandbox;
