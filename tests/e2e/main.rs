//! End-to-end tests: the built binary as a process, among the real things that it talks to.
//!
//! [`harness`] starts those things; every other module holds the tests of one promise.

mod ageing;
mod audit;
mod bad_input;
mod brake;
mod brought;
mod callers;
mod client_rejected;
mod coherence;
mod command_line;
mod consent;
mod documents;
mod explain;
mod failover;
mod handbook;
mod harness;
mod harness_works;
mod health;
mod inbound;
mod invalidation;
mod kill;
mod minting;
mod observability;
mod pgbouncer;
mod played;
mod python;
mod reconnect;
mod replica_works;
mod restore;
mod revocation;
mod rotation;
mod sealing_keys;
mod secrecy;
mod shutdown;
mod simultaneous;
mod streams;
mod traces;
mod unusable;
mod upgrade;
