//! Drives the engine through real HTTP on loopback.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod alternates;
mod bodies;
mod brought;
mod clients;
mod clocks;
mod configured;
mod consents;
mod device;
mod doors;
mod expiry;
mod faults;
mod grant_specific;
mod keys;
mod minted;
mod quirks;
mod requests;
mod revoked;
mod skew;
mod support;
mod two_requests;
mod usable;
mod userinfo;
