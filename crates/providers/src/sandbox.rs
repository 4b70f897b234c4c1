//! A strict OAuth token provider on loopback, for demonstrations, trials and tests.
//!
//! It rotates refresh tokens, revokes a whole grant when a spent one comes back, fails on request, and writes down
//! everything that reaches it in one total order. Tests in Rust start it with [`Sandbox::start`] and rule it through
//! [`Control`]; programs in any language talk to it over HTTP. It protects nothing and is meant for loopback alone.
//!
//! # How a request goes through
//!
//! 1. It is read and entered in the ledger: its arrival takes the next number. It takes the first fault rule that
//!    matches it.
//! 2. Closed gates and delays *before processing* hold it. From here on it runs to its end even if its client goes.
//! 3. It is processed under one lock: the client proves itself, the refresh token is spent and its successor issued.
//!    Of any number of simultaneous uses exactly one is the first. This takes a number too. Faults may take the place
//!    of processing, and then nothing is spent.
//! 4. Closed gates and delays *after processing* hold it.
//! 5. The answer is put into the dialect of the path and handed to the connection, or the connection is closed
//!    instead. This takes the last number.
//!
//! # The provider
//!
//! | Path | Does |
//! | --- | --- |
//! | `GET /authorize` | a page on which whoever looks at it approves or denies (RFC 6749 section 4.1, PKCE with S256) |
//! | `POST /token` | redeems a code, once, or refreshes (RFC 6749 section 6); mints for client credentials and assertions (RFC 7523), exchanges its own access tokens (RFC 8693), and is polled by devices; form or JSON; the client in the body, as HTTP Basic or by an assertion |
//! | `POST /slack/token` | the same in Slack's dialect: HTTP 200 with `{"ok": false, "error": "…"}` for failures |
//! | `POST /device_authorization` | a device begins (RFC 8628) |
//! | `GET /device` | the page on which a user enters a device's code, and approves or denies |
//! | `POST /revoke` | revocation (RFC 7009); a refresh token takes its family along |
//! | `POST /introspect` | introspection (RFC 7662) |
//! | `GET /resource` | 200 with a good access token as Bearer, else 401 |
//! | `/as/NAME/…` | any of that as the built-in catalogue has it of the provider NAME: its methods, names, proofs, answers and error codes; what its entry does not say is refused |
//!
//! A consent brings a strict grant of the scopes that were asked for. Codes are good for a minute; one that comes back
//! revokes what it brought.
//!
//! At the start there is one client, [`DEFAULT_CLIENT_ID`] with [`DEFAULT_CLIENT_SECRET`], and no grant.
//!
//! # The control API
//!
//! | Request | Body or query | Answer |
//! | --- | --- | --- |
//! | `POST /control/grants` | a [`GrantSpec`], `{}` for a strict one, or with `?as=NAME` for one as that provider gives them; `mode` is `"none"`, `"rotates"`, `"single_use"`, `"strict"` or `{"grace": {"seconds": 30, "max_uses": 2}}` | `{access_token, refresh_token, expires_in, metadata: {family}}`: token material as `evergrant credential create` takes it |
//! | `GET /control/grants/{family}` | | a [`GrantStatus`] |
//! | `POST /control/grants/{family}/revoke` | | the same |
//! | `POST /control/clients` | `{client_id, secrets: […], public_key: "PEM"}`, one of the two or both; an empty list and no key make it public | `{client_id}` |
//! | `POST /control/faults` | a [`FaultRule`], e.g. `{"faults": [{"kind": "delay", "milliseconds": 500}], "count": 3}` | the rules that wait |
//! | `GET`, `DELETE /control/faults` | | the rules that wait |
//! | `POST /control/gates` | a [`GateRule`], e.g. `{"where": "after_processing", "family": "grant-1"}` | a [`GateStatus`] |
//! | `GET /control/gates/{id}` | `?arrivals=N&timeout_ms=T` waits for the Nth call, T ms at most | a [`GateStatus`] |
//! | `POST /control/gates/{id}/open` | | a [`GateStatus`] |
//! | `GET /control/ledger` | `?since=N`: what is new or has changed after number N | a [`Ledger`] |
//! | `GET /control/violations` | `?calls=N`: also refresh tokens presented more than N times | `{last, violations: […]}` |
//! | `GET /control/catalogue` | `?name=N&dialect=slack&mode=grace&grace_seconds=30`, or `?as=NAME` for a provider that is played | a catalogue entry in TOML |
//!
//! A refused control request is answered with HTTP 400, 404 or 422 and `{"error": "…"}`.
//!
//! The ledger and the tokens are kept until the sandbox ends; a million refreshes take some hundreds of megabytes.

mod answer;
mod authorize;
mod body;
mod call;
mod catalogue;
mod client;
mod codes;
mod control;
mod control_api;
mod device_page;
mod devices;
mod dialect;
mod exchange;
mod fault;
mod fault_queue;
mod gate;
mod grants;
mod kept;
mod ledger;
mod mode;
mod page;
mod proof;
mod refusal;
mod routes;
mod server;
mod state;
mod token;
mod token_call;
mod violation;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use self::client::{DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET};
pub use self::control::{Control, ControlError, NewGrant};
pub use self::fault::{ExpiresIn, Fault, FaultRule, Point};
pub use self::gate::{Gate, GateRule, GateStatus};
pub use self::grants::GrantStatus;
pub use self::ledger::{Endpoint, Entry, Ledger, Outcome};
pub use self::mode::{GrantSpec, RotationMode};
pub use self::refusal::{Dialect, Refusal};
pub use self::token::Fingerprint;
pub use self::violation::Violation;

use self::state::Shared;

/// How a sandbox is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxOptions {
    /// Where it listens; port 0 takes a free one. `127.0.0.1:0` by default.
    pub listen: SocketAddr,
}

impl Default for SandboxOptions {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
        }
    }
}

/// A running sandbox. Dropping it does not end it: cancelling the token that it was started with does.
#[derive(Debug)]
pub struct Sandbox {
    addr: SocketAddr,
    control: Control,
}

impl Sandbox {
    /// Listens and serves until `shutdown` is cancelled. It takes connections from when this returns.
    ///
    /// Errors: the address cannot be listened on. At shutdown every connection is closed, held calls included.
    pub async fn start(options: SandboxOptions, shutdown: CancellationToken) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared::new(base_url(addr), shutdown));
        let router = routes::router()
            .merge(control_api::router())
            .with_state(Arc::clone(&shared));
        shared
            .tracker
            .spawn(server::serve(listener, router, Arc::clone(&shared)));
        shared.tracker.close();
        tracing::info!(address = %addr, "sandbox provider listens");
        Ok(Self {
            addr,
            control: Control(shared),
        })
    }

    /// Where it listens, with the port that it got.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn base_url(&self) -> &str {
        &self.control.0.base_url
    }

    /// URL of the token endpoint.
    pub fn token_url(&self) -> String {
        format!("{}/token", self.base_url())
    }

    /// URL of the token endpoint in Slack's dialect.
    pub fn slack_token_url(&self) -> String {
        format!("{}/slack/token", self.base_url())
    }

    /// A handle to rule it.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// A catalogue entry in TOML that describes it as the provider `name` with single-use refresh tokens.
    pub fn catalogue_entry(&self, name: &str) -> String {
        self.catalogue_entry_for(name, Dialect::Rfc6749, RotationMode::SingleUse)
    }

    /// The same for its endpoint in Slack's dialect.
    pub fn catalogue_entry_slack(&self, name: &str) -> String {
        self.catalogue_entry_for(name, Dialect::Slack, RotationMode::SingleUse)
    }

    /// The same for any dialect and for grants of any one mode.
    pub fn catalogue_entry_for(&self, name: &str, dialect: Dialect, mode: RotationMode) -> String {
        catalogue::entry(name, self.base_url(), dialect, mode)
    }

    /// Waits until it has ended after a shutdown and its port is free. Cancelling changes nothing.
    pub async fn closed(&self) {
        self.control.0.tracker.wait().await;
    }
}

/// The wildcard address is no destination: there its own host stands in.
fn base_url(addr: SocketAddr) -> String {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, addr.port()))
}

#[cfg(test)]
mod tests;
