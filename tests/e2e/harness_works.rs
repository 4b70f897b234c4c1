//! The harness does what the other tests rely on.

mod network;
mod oauth;
mod python;
mod servers;
