//! The configuration: a TOML file, the environment over it, the command line over both.
//!
//! Each key may also be given as an environment variable, `EVERGRANT__STORE__URL` for `store.url`: the parts
//! between double underscores name keys without regard to case, and an underscore also stands for the
//! characters that a variable's name cannot have, so `EVERGRANT__CLIENTS__SLACK_MAIN__CLIENT_ID` sets
//! `clients.slack-main.client_id` if the file has that client, and that of a new client `slack_main` if not.
//! A variable that could mean two keys is refused. Lists of texts are divided by commas; `[[callers]]` are numbered from 0,
//! as in `EVERGRANT__CALLERS__0__NAME`; `…__CLIENT_SECRET__FILE` stands for `{ file = … }`.
//!
//! Unknown keys are refused wherever they come from, and relative paths begin at the working directory.

mod callers;
mod command;
mod defaults;
mod document;
mod error;
mod listeners;
mod overlay;
mod print;
mod secret;
mod section;
mod sources;
mod spelling;
mod writable;

pub mod audit;
pub mod authorization;
pub mod clients;
pub mod duration;
pub mod events;
pub mod inbound;
pub mod key_file;
pub mod keys;
pub mod limits;
pub mod providers;
pub mod redis;
pub mod refresh;
pub mod server;
pub mod store;
pub mod telemetry;

use std::collections::BTreeMap;
use std::path::Path;

use evergrant_core::ids::ClientName;
use evergrant_providers::{Catalogue, OAuthClient};
use zeroize::Zeroizing;

use self::audit::Audit;
use self::authorization::Authorization;
use self::clients::Client;
pub use self::error::ConfigError;
use self::error::Origin;
use self::events::Events;
use self::inbound::Inbound;
use self::keys::Keys;
use self::limits::Limits;
use self::listeners::ListenerKeys;
pub use self::overlay::Override;
use self::print::Printer;
use self::providers::Providers;
use self::redis::Redis;
use self::refresh::Refresh;
pub use self::secret::Secret;
use self::section::{Commands, Section};
use self::server::Server;
pub use self::sources::Sources;
use self::store::Store;
use self::telemetry::Telemetry;
use crate::grpc::caller::CallerRule;
use crate::seal::SealingKey;

/// All sections, as `understand` reads them.
const SECTIONS: [&str; 14] = [
    "server",
    "store",
    "redis",
    "keys",
    "providers",
    "clients",
    "callers",
    "limits",
    "authorization",
    "refresh",
    "events",
    "audit",
    "inbound",
    "telemetry",
];

/// The whole configuration, each value checked as far as it can be without a network. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the service listens.
    pub server: Server,
    /// The database.
    pub store: Store,
    /// The Redis server that replicas share.
    pub redis: Redis,
    /// Where the sealing keys are.
    pub keys: Keys,
    /// Where own catalogue entries are.
    pub providers: Providers,
    /// The OAuth clients by name.
    pub clients: BTreeMap<ClientName, Client>,
    /// Who may call. Empty: everyone who reaches the loopback listener.
    pub callers: Vec<CallerRule>,
    /// How often they may ask.
    pub limits: Limits,
    /// The server's own callback for users' consents.
    pub authorization: Authorization,
    /// How refreshes run.
    pub refresh: Refresh,
    /// Events and their streams.
    pub events: Events,
    /// The audit trail.
    pub audit: Audit,
    /// Where providers report by themselves; `None` while that is off.
    pub inbound: Option<Inbound>,
    /// What is logged, and how.
    pub telemetry: Telemetry,
    /// What all of this was read from.
    pub sources: Sources,
}

impl Config {
    /// Reads `file` if one is named, lays the variables of `environment` and then `overrides` over it, resolves secrets and
    /// checks every value. It makes no file and opens no connection. A command that prints a secret is run once, and may
    /// block for half a minute.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        overrides: Vec<Override>,
    ) -> Result<Self, ConfigError> {
        Self::load_with(file, environment, overrides, Commands::Run)
    }

    /// The same without running commands, for whoever only looks at the configuration: a secret that a command prints is
    /// neither checked nor there, and a store whose address it prints is taken for Postgres.
    pub fn load_without_commands(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        overrides: Vec<Override>,
    ) -> Result<Self, ConfigError> {
        Self::load_with(file, environment, overrides, Commands::Skip)
    }

    fn load_with(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        overrides: Vec<Override>,
        commands: Commands,
    ) -> Result<Self, ConfigError> {
        let environment = environment.map(|(name, value)| (name, Zeroizing::new(value)));
        Sources::new(file, environment.collect(), overrides).read(commands)
    }

    fn understand(mut root: Section<'_>, sources: Sources) -> Result<Self, ConfigError> {
        root.knows(&SECTIONS)?;
        let listeners = ListenerKeys::of(&root);
        let (server, listen) = Server::read(root.section("server")?)?;
        let store = Store::read(root.section("store")?)?;
        let callers = root.sections("callers")?;
        let limits = Limits::read(root.section("limits")?)?;
        let around = callers::Surroundings {
            has_client_ca: server
                .tls
                .as_ref()
                .is_some_and(|tls| tls.client_ca.is_some()),
            rate: limits.caller_rate,
        };
        let config = Self {
            redis: Redis::read(root.section("redis")?)?,
            keys: Keys::read(root.section("keys")?, &store.url)?,
            providers: Providers::read(root.section("providers")?)?,
            clients: Client::read_all(root.section("clients")?)?,
            callers: callers::read_all(callers, around)?,
            limits,
            authorization: Authorization::read(root.section("authorization")?)?,
            refresh: Refresh::read(root.section("refresh")?, &store.url)?,
            events: Events::read(root.section("events")?)?,
            audit: Audit::read(root.section("audit")?)?,
            inbound: Inbound::read(root.optional_section("inbound")?)?,
            telemetry: Telemetry::read(root.section("telemetry")?)?,
            server,
            store,
            sources,
        };
        root.finish()?;
        if config.callers.is_empty() && !config.server.listen.ip().is_loopback() {
            return Err(listen.refuse(format!(
                "{} is not a loopback address, and without [[callers]] everyone there would be trusted",
                config.server.listen
            )));
        }
        listeners.refuse_shared([
            Some(config.server.listen),
            config.server.admin_listen,
            config.authorization.callback_listen,
            config.inbound.as_ref().map(|inbound| inbound.listen),
        ])?;
        Ok(config)
    }

    /// The catalogue: the built-in entries, and those of `providers.dir` over them. Each client was checked
    /// against it, and so was each receiver, without a call to anyone.
    pub fn catalogue(&self) -> Result<Catalogue, ConfigError> {
        let catalogue = self.providers.catalogue()?;
        self.clients
            .iter()
            .try_for_each(|(name, client)| client.check(name, &self.clients, &catalogue))?;
        if let Some(inbound) = &self.inbound {
            inbound.check(&catalogue, &self.clients)?;
        }
        Ok(catalogue)
    }

    /// That the database can be written where it is a file of this machine. Leaves nothing behind.
    pub fn check_store(&self) -> Result<(), ConfigError> {
        self.store.check_writable()
    }

    /// The same of the file that lines of the audit trail go to, if they go to one.
    pub fn check_audit_lines(&self) -> Result<(), ConfigError> {
        self.audit.check_lines()
    }

    /// The OAuth clients as the engine takes them.
    pub fn oauth_clients(&self) -> Vec<OAuthClient> {
        let clients = self.clients.iter();
        clients
            .map(|(name, client)| client.to_oauth(name))
            .collect()
    }

    /// The id of the key that seals, and all keys by id: what [`Sealer::new`](crate::seal::Sealer::new) takes.
    ///
    /// With an SQLite store and no keys configured, the key file beside the database is read, and made first if
    /// there is none.
    pub fn sealing_keys(&self) -> Result<(String, BTreeMap<String, SealingKey>), ConfigError> {
        match &self.keys {
            Keys::Ring {
                active,
                keys,
                lost: _,
            } => {
                let keys = keys.iter().map(|(id, secret)| {
                    let key = keys::decode(secret.expose()).expect("checked when it was read");
                    (id.clone(), key)
                });
                Ok((active.clone(), keys.collect()))
            }
            Keys::File { path, lost: _ } => {
                let (id, key) = key_file::read_or_make(path)
                    .map_err(|why| ConfigError::new("keys", why, Origin::Default))?;
                Ok((id.clone(), BTreeMap::from([(id, key)])))
            }
        }
    }

    /// The configuration as TOML, defaults included and secrets left out: of a secret it shows where it is found.
    pub fn to_toml(&self) -> String {
        let Self {
            server,
            store,
            redis,
            keys,
            providers,
            clients,
            callers,
            limits,
            authorization,
            refresh,
            events,
            audit,
            inbound,
            telemetry,
            sources: _,
        } = self;
        let mut out = Printer::default();
        server.print(&mut out);
        store.print(&mut out);
        redis.print(&mut out);
        keys.print(&mut out);
        providers.print(&mut out);
        for (name, client) in clients {
            client.print(name, &mut out);
        }
        for caller in callers {
            callers::print(caller, &mut out);
        }
        limits.print(&mut out);
        authorization.print(&mut out);
        refresh.print(&mut out);
        events.print(&mut out);
        audit.print(&mut out);
        if let Some(inbound) = inbound {
            inbound.print(&mut out);
        }
        telemetry.print(&mut out);
        out.finish()
    }
}

#[cfg(test)]
mod tests;
