//! The Evergrant service.

mod build_info;

pub mod admin;
pub mod app;
pub mod attempts;
pub mod audit;
pub mod callback;
pub mod cli;
pub mod clock;
pub mod config;
pub mod consent;
pub mod demo;
pub mod escrow;
pub mod grpc;
pub mod health;
pub mod inbound;
pub mod journal;
pub mod kill;
pub mod lifecycle;
pub mod page;
pub mod public_http;
pub mod redis;
pub mod replica;
pub mod retention;
pub mod rotation;
pub mod seal;
pub mod sight;
pub mod store;
pub mod telemetry;

pub use build_info::Build;
pub use cli::run;
