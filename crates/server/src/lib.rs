//! The Evergrant service.

pub mod admin;
pub mod app;
pub mod cli;
pub mod config;
pub mod escrow;
pub mod grpc;
pub mod journal;
pub mod redis;
pub mod seal;
pub mod store;
