//! Drives the engine through real HTTP on loopback.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod clients;
mod consents;
mod faults;
mod quirks;
mod requests;
mod support;
