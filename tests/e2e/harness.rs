//! What a test starts and breaks. Everything listens on a free port of the loopback interface, keeps its files
//! in a folder of its own and ends with the value that stands for it.
//!
//! - [`postgres`], [`redis`]: servers that can be stopped, killed, frozen and started again on the same port.
//! - [`oidc`]: a certified OAuth server of another project; [`browser`] is a person who consents there, and
//!   [`application`] where they come back to.
//! - [`issuer`]: a token endpoint that mints tokens; [`jwt_issuer`] signs those that callers show.
//! - [`authority`]: certificates of both sides, and files of a listener that change.
//! - [`sandbox`]: a strict OAuth server of our own, with faults, gates and a ledger.
//! - [`scene`]: the usual set of them; [`caller`] asks and stores in few words.
//! - [`pgbouncer`]: between replicas and their PostgreSQL.
//! - [`load`]: callers who never stop; [`stage`] sets them on replicas.
//! - [`table`]: the event log as the database holds it.
//! - [`watcher`] follows events as a client should.
//! - [`replica`]: the program under test, with the configuration that a test writes; [`metrics`] reads its figures.
//! - [`cli`]: the program under test as a command that ends.
//! - [`collector`]: where a replica's traces go.
//! - [`promtool`]: what evaluates alerts.
//! - [`proxy`]: a network between two of them, with faults.
//! - [`python`]: a client in another language.
//! - [`process`], [`background`], [`eventually`], [`http`], [`ports`]: what those are made of.

pub mod application;
pub mod authority;
pub mod background;
pub mod browser;
pub mod caller;
pub mod cli;
pub mod collector;
pub mod eventually;
pub mod http;
pub mod issuer;
pub mod jwt_issuer;
pub mod load;
pub mod metrics;
pub mod oidc;
pub mod pgbouncer;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod promtool;
pub mod proxy;
pub mod python;
pub mod redis;
pub mod replica;
pub mod sandbox;
pub mod scene;
pub mod stage;
pub mod table;
pub mod watcher;
pub mod webhook;
