//! The gRPC edge: a method is parse, call, render.
//!
//! `tonic::Status` appears under this module and nowhere else. Every request passes the [`gate`], which recognises its [`caller`]
//! and hands the services a [`call`]. What callers see of an error in [`status`], and messages are converted in [`convert`].

pub mod audit;
pub mod call;
pub mod caller;
pub mod convert;
pub mod credential;
pub mod cursor;
pub mod deadline;
pub mod gate;
pub mod integration;
pub mod kill;
pub mod listener;
pub mod meter;
pub mod methods;
pub mod paging;
pub mod peer;
pub mod provider;
pub mod record;
#[cfg(test)]
mod sample;
mod standing;
pub mod status;
pub mod token;
pub mod transport;
pub mod watch;
