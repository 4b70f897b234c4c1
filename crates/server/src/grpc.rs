//! The gRPC edge: a method is parse, call, render.
//!
//! `tonic::Status` appears under this module and nowhere else. What callers may do is decided in [`caller`], what they
//! see of an error in [`status`], and messages are converted in [`convert`].

pub mod caller;
pub mod convert;
pub mod credential;
pub mod cursor;
pub mod deadline;
pub mod integration;
pub mod listener;
pub mod meter;
pub mod provider;
#[cfg(test)]
mod sample;
pub mod status;
pub mod token;
pub mod transport;
pub mod watch;
