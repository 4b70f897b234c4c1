//! The configuration of a replica, as a test writes it.

use std::path::{Path, PathBuf};

use anyhow::Result;
use toml::{Table, Value};

/// The sealing key of all replicas of the tests: 32 bytes in base64.
const SEALING_KEY: &str = "ZXZlcmdyYW50LWUyZS1zZWFsaW5nLWtleS0zMmJ5dGU=";

/// What `evergrant.toml`, `providers.d` and the environment of a replica hold. Several replicas may share one.
#[derive(Debug, Clone)]
pub struct ReplicaConfig {
    name: String,
    program: PathBuf,
    settings: Table,
    catalogue: Vec<(String, String)>,
    environment: Vec<(String, String)>,
    log: Option<PathBuf>,
}

impl ReplicaConfig {
    /// A replica on free ports of the loopback interface, with its state in the database at `store_url`, without Redis
    /// and with a sealing key that all replicas of the tests share.
    pub fn new(store_url: impl Into<String>) -> Self {
        let empty = Self {
            name: "evergrant".to_owned(),
            program: env!("CARGO_BIN_EXE_evergrant").into(),
            settings: Table::new(),
            catalogue: Vec::new(),
            environment: Vec::new(),
            log: None,
        };
        empty
            .set("server.listen", "127.0.0.1:0")
            .set("server.admin_listen", "127.0.0.1:0")
            .set("store.url", store_url.into())
            .set("keys.active", "k1")
            .set("keys.k1", SEALING_KEY)
            .set("telemetry.level", "debug,h2=info,fred=info,hyper_util=info,reqwest=info,rustls=info,sqlx=warn,tower=info")
    }

    /// The name of the replica in messages of the tests.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Runs another build of the program.
    pub fn program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = program.into();
        self
    }

    /// Lets replicas coordinate through this Redis.
    pub fn redis(self, url: impl Into<String>) -> Self {
        self.set("redis.url", url.into())
    }

    /// Adds an entry to the catalogue, or replaces it: the text of its TOML file.
    pub fn provider(mut self, name: impl Into<String>, entry: impl Into<String>) -> Self {
        let name = name.into();
        self.catalogue.retain(|(known, _)| *known != name);
        self.catalogue.push((name, entry.into()));
        self
    }

    /// Adds an OAuth client.
    pub fn client(self, name: &str, provider: &str, id: &str, secret: &str) -> Self {
        self.set(&format!("clients.{name}.provider"), provider)
            .set(&format!("clients.{name}.client_id"), id)
            .set(&format!("clients.{name}.client_secret"), secret)
    }

    /// Sets one key, written with dots: `refresh.lease`. Names between the dots may not hold a dot.
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        let (sections, key) = match key.rsplit_once('.') {
            Some((sections, key)) => (sections.split('.').collect(), key),
            None => (Vec::new(), key),
        };
        let mut table = &mut self.settings;
        for section in sections {
            table = table
                .entry(section)
                .or_insert_with(|| Value::Table(Table::new()))
                .as_table_mut()
                .expect("a key with a value is no section");
        }
        table.insert(key.to_owned(), value.into());
        self
    }

    /// Takes one key out, written with dots.
    pub fn unset(mut self, key: &str) -> Self {
        let (section, key) = key.rsplit_once('.').expect("a key is in a section");
        if let Some(Value::Table(section)) = self.settings.get_mut(section) {
            section.remove(key);
        }
        self
    }

    /// Keeps the whole log in a new file, too.
    pub fn log_to(mut self, file: impl Into<PathBuf>) -> Self {
        self.log = Some(file.into());
        self
    }

    /// Sets an environment variable of the replica.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    pub(in super::super) fn executable(&self) -> &Path {
        &self.program
    }

    pub(super) fn log(&self) -> Option<&Path> {
        self.log.as_deref()
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(in super::super) fn environment(&self) -> impl Iterator<Item = (&str, &str)> {
        self.environment
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Writes the configuration and the catalogue to `folder`, and gives the configuration's path.
    pub(in super::super) fn write_to(&self, folder: &Path) -> Result<PathBuf> {
        let catalogue = folder.join("providers.d");
        std::fs::create_dir(&catalogue)?;
        for (name, entry) in &self.catalogue {
            std::fs::write(catalogue.join(format!("{name}.toml")), entry)?;
        }
        let config = self
            .clone()
            .set("providers.dir", catalogue.to_string_lossy().into_owned());
        let file = folder.join("evergrant.toml");
        std::fs::write(&file, toml::to_string(&config.settings)?)?;
        Ok(file)
    }
}

#[test]
fn a_configuration_is_written_with_its_catalogue() {
    let folder = tempfile::tempdir().unwrap();
    let config = ReplicaConfig::new("postgres://127.0.0.1/x")
        .redis("redis://127.0.0.1:1")
        .provider("acme", "name = \"acme\"\n")
        .client("acme-main", "acme", "id", "secret")
        .set("refresh.lease", "5s");

    let file = config.write_to(folder.path()).unwrap();

    let written: Table = toml::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let catalogue = written["providers"]["dir"].as_str().unwrap();
    assert_eq!(written["server"]["listen"].as_str(), Some("127.0.0.1:0"));
    assert_eq!(
        written["redis"]["url"].as_str(),
        Some("redis://127.0.0.1:1")
    );
    assert_eq!(written["refresh"]["lease"].as_str(), Some("5s"));
    assert_eq!(
        written["clients"]["acme-main"]["client_secret"].as_str(),
        Some("secret")
    );
    assert_eq!(
        std::fs::read_to_string(Path::new(catalogue).join("acme.toml")).unwrap(),
        "name = \"acme\"\n"
    );
}
