//! The Evergrant service.

mod build_info;

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
pub mod telemetry;

pub use build_info::Build;
pub use cli::run;
