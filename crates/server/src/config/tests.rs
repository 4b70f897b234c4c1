use std::fs;
use std::time::Duration;

use super::telemetry::LogFormat;
use super::*;
use crate::grpc::caller::{Identity, Permission};

mod callers;
mod clients;
mod mistakes;
mod sources;
mod writable;

const EXAMPLE: &str = include_str!("../../../../evergrant.example.toml");
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Loads `text` as a file named evergrant.toml, with `environment` around it.
pub(super) fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let path = Path::new("evergrant.toml");
    let environment: BTreeMap<_, _> = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.to_string().into()))
        .collect();
    let mut root = document::parse(path, text)?;
    overlay::lay_environment(&mut root, environment.iter())?;
    let sources = Sources::new(None, environment.clone(), Vec::new());
    Config::understand(Section::root(root, &environment, Commands::Run), sources)
}

pub(super) fn complaint(text: &str, environment: &[(&str, &str)]) -> String {
    match load(text, environment) {
        Ok(_) => panic!("this must be refused:\n{text}\n{environment:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_example_is_exactly_the_defaults() {
    let example = load(EXAMPLE, &[]).unwrap();
    let nothing = Config::load(None, std::iter::empty(), Vec::new()).unwrap();
    assert_eq!(example.to_toml(), nothing.to_toml());
}

#[test]
fn the_example_names_every_key_that_is_printed() {
    for line in load(EXAMPLE, &[]).unwrap().to_toml().lines() {
        let key = line.split(" = ").next().unwrap();
        let named = EXAMPLE
            .lines()
            .any(|line| line.trim_start_matches('#').starts_with(key));
        assert!(named, "{key} is not in the example");
    }
}

#[test]
fn what_the_example_leaves_out_is_valid_too() {
    let folder = tempfile::tempdir().unwrap();
    let k1 = folder.path().join("k1");
    fs::write(&k1, KEY).unwrap();
    let full: String = EXAMPLE
        .split("#[server.tls]")
        .flat_map(|part| part.split_inclusive('\n'))
        .filter(|line| {
            ![
                "#cert",
                "#key =",
                "#client_ca",
                "#client_auth",
                "#[inbound.tls]",
            ]
            .iter()
            .any(|key| line.starts_with(key))
        })
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with([' ', '\n']) => setting,
            _ => line,
        })
        .collect();
    let full = full.replace("/etc/evergrant/k1", k1.to_str().unwrap());
    let environment = [
        ("SLACK_SECRET", "hush"),
        ("SLACK_SIGNING_SECRET", "hush"),
        ("GITHUB_WEBHOOK_SECRET", "hush"),
    ];
    let config = load(&full, &environment).unwrap();
    assert_eq!(config.sealing_keys().unwrap().0, "k1");
    assert_eq!(config.clients.len(), 1);
    assert_eq!(config.callers.len(), 1);
    assert_eq!(config.inbound.unwrap().receivers.len(), 3);
}

#[test]
fn a_file_that_is_no_toml_or_not_there_is_told_in_one_line() {
    let line = complaint("[store]\nurl = \n", &[]);
    assert!(line.ends_with("(evergrant.toml:2)"), "{line}");
    assert!(!line.contains('\n'), "{line}");
    let missing = Config::load(Some(Path::new("/nowhere.toml")), std::iter::empty(), vec![]);
    assert_eq!(
        missing.unwrap_err().to_string(),
        "/nowhere.toml cannot be read: No such file or directory (os error 2)"
    );
}

#[test]
fn the_environment_wins_over_the_file_and_the_command_line_over_both() {
    let environment = [
        ("EVERGRANT__REFRESH__LEASE", "50s"),
        ("EVERGRANT__EVENTS__MAX_STREAMS", "7"),
        ("EVERGRANT__TELEMETRY__FORMAT", "json"),
        ("EVERGRANT__TELEMETRY__OTLP_ENDPOINT", "http://otel:4317"),
        ("EVERGRANT__TELEMETRY__TRACE_RATIO", "0.25"),
        ("EVERGRANT_SERVER", "not ours"),
        ("PATH", "/bin"),
    ];
    let config = load("[refresh]\nlease = \"60s\"", &environment).unwrap();
    assert_eq!(config.refresh.lease, Duration::from_secs(50));
    assert_eq!(config.events.max_streams, 7);
    assert_eq!(config.telemetry.format, LogFormat::Json);
    let endpoint = config.telemetry.otlp_endpoint.unwrap();
    assert_eq!(endpoint, "http://otel:4317");
    assert_eq!(config.telemetry.trace_ratio, 0.25);

    let listen = |value: &str| {
        let given = Override {
            key: "server.listen",
            value: value.into(),
            argument: "--listen",
        };
        let environment = [("EVERGRANT__SERVER__LISTEN", "127.0.0.1:1")];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Config::load(None, environment.into_iter(), vec![given])
    };
    assert_eq!(
        listen("[::1]:0").unwrap().server.listen.to_string(),
        "[::1]:0"
    );
    assert_eq!(
        listen("x").unwrap_err().to_string(),
        "server.listen: must be an address and a port such as \"127.0.0.1:7070\", not \"x\" (--listen)"
    );
}

#[test]
fn what_is_printed_is_a_configuration_that_means_the_same() {
    let text = format!(
        "[clients.\"a.b\"]\nprovider = \"slack\"\nclient_id = \"id\"\nclient_secret = {{ env = \"S\" }}\n\
         private_key = {{ env = \"K\" }}\nkey_id = \"k 1\"\nalternates = [\"b\"]\n\
         redirect_uris = [\"http://127.0.0.1:9/cb\"]\n\
         parameters = {{ tenant = \"a b\" }}\n\
         limits = {{ concurrent = 8, per_minute = 600 }}\n\
         [[callers]]\nname = \"a\"\ntoken_sha256 = \"{}\"\ntenants = [\"t\"]\nallow = [\"admin\"]\n\
         [server]\nlisten = \"0.0.0.0:1\"\nadmin_listen = \"\"\n[refresh]\njournal = \"\"\n\
         [providers]\ndir = \"\"",
        "1".repeat(64)
    );
    let environment = [("S", "hush"), ("K", "hush")];
    let config = load(&text, &environment).unwrap();
    assert!(config.server.admin_listen.is_none() && config.refresh.journal.is_none());
    let client = config.clients.values().next().unwrap();
    assert_eq!(client.parameters["tenant"], "a b");
    assert_eq!(client.limits.concurrent, Some(8));
    assert_eq!(client.limits.per_minute, Some(600));
    let printed = config.to_toml();
    assert_eq!(load(&printed, &environment).unwrap().to_toml(), printed);
}

#[test]
fn key_file_and_journal_are_beside_an_sqlite_database() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("e.db");
    let store = format!("[store]\nurl = \"sqlite://{}\"", database.display());
    let config = load(&store, &[]).unwrap();
    assert_eq!(config.store.url.sqlite_path(), Some(database.as_path()));
    assert_eq!(
        config.refresh.journal,
        Some(folder.path().join("e.db.journal"))
    );
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        0,
        "loading makes nothing"
    );

    let (active, keys) = config.sealing_keys().unwrap();
    assert!(keys.contains_key(&active));
    assert!(folder.path().join("e.db.key").exists());
    assert_eq!(config.sealing_keys().unwrap().0, active);

    let postgres =
        format!("[store]\nurl = \"postgres://db/x\"\n[keys]\nactive = \"k\"\nk = \"{KEY}\"");
    assert_eq!(load(&postgres, &[]).unwrap().refresh.journal, None);
}

#[test]
fn a_client_must_fit_its_provider() {
    let client = "[clients.a]\nclient_id = \"x\"\nprovider = ";
    let catalogue = |text: &str| load(text, &[]).unwrap().catalogue();
    let complaint = |text: &str| catalogue(text).unwrap_err().to_string();
    assert_eq!(
        complaint(&format!("{client}\"slak\"")),
        "clients.a.provider: \"slak\" is not in the catalogue (evergrant.toml:3)"
    );
    assert_eq!(
        complaint(&format!("{client}\"slack\"")),
        "clients.a.client_secret: is missing, and provider slack demands one"
    );
    let whole = format!("{client}\"slack\"\nclient_secret = [\"hush\", \"old\"]");
    assert!(catalogue(&whole).is_ok());
    let oauth = load(&whole, &[]).unwrap().oauth_clients();
    assert_eq!(
        (oauth[0].name.as_str(), oauth[0].client_secrets.len()),
        ("a", 2)
    );
}

#[test]
fn two_listeners_on_one_port_are_a_mistake() {
    let callback = "[authorization]\ncallback_listen = ";
    let inbound = "[inbound.receivers.github]\nkind = \"github\"\nprovider = \"github\"\nsecret = \"s\"\n\
                   [inbound]\nlisten = ";
    for (text, line) in [
        (
            "[server]\nlisten = \"127.0.0.1:7071\"".to_owned(),
            "server.admin_listen: 127.0.0.1:7071 is taken by server.listen",
        ),
        (
            "[server]\nadmin_listen = \"127.0.0.1:7070\"".to_owned(),
            "server.admin_listen: 127.0.0.1:7070 is taken by server.listen (evergrant.toml:2)",
        ),
        (
            format!("{callback}\"0.0.0.0:7070\""),
            "authorization.callback_listen: 0.0.0.0:7070 is taken by server.listen (evergrant.toml:2)",
        ),
        (
            format!("{callback}\"127.0.0.1:1\"\n{inbound}\"[::]:1\""),
            "inbound.listen: [::]:1 is taken by authorization.callback_listen (evergrant.toml:8)",
        ),
    ] {
        assert_eq!(complaint(&text, &[]), line);
    }
    for text in [
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"".to_owned(),
        "[server]\nadmin_listen = \"\"\n[authorization]\ncallback_listen = \"127.0.0.1:7071\""
            .to_owned(),
        format!("{callback}\"127.0.0.2:7070\""),
    ] {
        load(&text, &[]).unwrap();
    }
}

#[test]
fn own_entries_are_read_from_their_folder_and_a_broken_one_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("acme.toml");
    let text = format!("[providers]\ndir = \"{}\"", folder.path().display());
    let catalogue = || load(&text, &[]).unwrap().catalogue();
    let acme = evergrant_core::ids::ProviderName::parse("acme").unwrap();

    fs::write(
        &own,
        "name = \"acme\"\ntoken_url = \"https://acme.example/token\"\nsources = [\"https://acme.example\"]",
    )
    .unwrap();
    assert!(catalogue().unwrap().get(&acme).is_some());

    fs::write(&own, "name = \"acme\"").unwrap();
    let why = catalogue().unwrap_err().to_string();
    assert!(
        why.starts_with("providers.dir: ") && why.ends_with("(evergrant.toml:2)"),
        "{why}"
    );
}

#[test]
fn a_key_pair_is_read_and_must_hold_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pem");
    fs::write(
        &path,
        "-----BEGIN NOTHING-----\nAAAA\n-----END NOTHING-----\n",
    )
    .unwrap();
    let path = path.display();
    assert_eq!(
        complaint(
            &format!("[server.tls]\ncert = \"{path}\"\nkey = \"{path}\""),
            &[]
        ),
        format!("server.tls.cert: {path} holds no certificate in PEM (evergrant.toml:2)")
    );
    let cert = folder.path().join("cert.pem");
    fs::write(
        &cert,
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    let cert = cert.display();
    assert_eq!(
        complaint(
            &format!("[server.tls]\ncert = \"{cert}\"\nkey = \"{path}\""),
            &[]
        ),
        format!("server.tls.key: {path} holds no private key in PEM (evergrant.toml:3)")
    );
}
