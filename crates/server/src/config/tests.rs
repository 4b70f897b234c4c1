use std::fs;
use std::time::Duration;

use super::telemetry::LogFormat;
use super::*;
use crate::grpc::caller::{Identity, Permission};

mod callers;
mod clients;
mod mistakes;

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
fn a_variable_reaches_names_with_other_characters_unless_two_would_fit() {
    let client = "provider = \"slack\"\nclient_id = \"file\"\n";
    let file = format!("[clients.Slack-Main]\n{client}");
    let variable = ("EVERGRANT__CLIENTS__SLACK_MAIN__CLIENT_ID", "env");
    let config = load(&file, &[variable]).unwrap();
    assert_eq!(config.clients.len(), 1);
    let found = config.clients.values().next().unwrap();
    assert_eq!(found.client_id, "env");

    let both = format!("{file}[clients.slack_main]\n{client}");
    assert_eq!(
        complaint(&both, &[variable]),
        "EVERGRANT__CLIENTS__SLACK_MAIN__CLIENT_ID is ambiguous: it names both \"Slack-Main\" and \"slack_main\""
    );

    let provider = ("EVERGRANT__CLIENTS__SLACK_MAIN__PROVIDER", "slack");
    let config = load("", &[variable, provider]).unwrap();
    assert_eq!(config.clients.keys().next().unwrap().as_str(), "slack_main");
}

#[test]
fn variables_set_lists_callers_and_secret_references() {
    let token = "ab".repeat(32);
    let config = load(
        "",
        &[
            ("EVERGRANT__CALLERS__0__NAME", "billing"),
            ("EVERGRANT__CALLERS__0__TOKEN_SHA256", &token),
            ("EVERGRANT__CALLERS__0__TENANTS", "acme, globex"),
            ("EVERGRANT__CALLERS__0__ALLOW", "token.get,event.watch"),
            ("EVERGRANT__KEYS__ACTIVE", "k1"),
            ("EVERGRANT__KEYS__K1__ENV", "SEALING_KEY"),
            ("SEALING_KEY", KEY),
        ],
    )
    .unwrap();
    let caller = &config.callers[0];
    assert_eq!(caller.identity, Identity::Token([0xab; 32]));
    assert_eq!(caller.tenants.as_ref().unwrap().len(), 2);
    assert_eq!(caller.allow, [Permission::TokenGet, Permission::EventWatch]);
    let (active, keys) = config.sealing_keys().unwrap();
    assert_eq!((active.as_str(), keys["k1"].expose()[31]), ("k1", 31));

    let file = format!(
        "[[callers]]\nname = \"a\"\ntoken_sha256 = \"{token}\"\ntenants = [\"t\"]\nallow = [\"admin\"]"
    );
    let config = load(&file, &[("EVERGRANT__CALLERS__0__TENANTS", "*")]).unwrap();
    assert_eq!(config.callers[0].tenants, None);
    assert_eq!(
        complaint(&file, &[("EVERGRANT__CALLERS__2__NAME", "c")]),
        "EVERGRANT__CALLERS__2__NAME names no item of a list: \"2\" is not a position from 0 to 1"
    );
}

#[test]
fn a_variable_with_a_mistake_is_named() {
    for (name, value, line) in [
        (
            "EVERGRANT__STORE__URLL",
            "x",
            "store.urll: is unknown; is url meant? known here: url, pooler, max_connections, orphan_retention (EVERGRANT__STORE__URLL)",
        ),
        (
            "EVERGRANT__STORE____URL",
            "x",
            "EVERGRANT__STORE____URL names no key: sections and keys are divided by exactly two underscores",
        ),
        (
            "EVERGRANT__STORE",
            "x",
            "store: must be a section (EVERGRANT__STORE)",
        ),
        (
            "EVERGRANT__EVENTS__MAX_STREAMS",
            "many",
            "events.max_streams: must be a whole number from 1 to 1000000 (EVERGRANT__EVENTS__MAX_STREAMS)",
        ),
    ] {
        assert_eq!(complaint("", &[(name, value)]), line);
    }
}

#[test]
fn secrets_come_from_text_environment_and_file_and_are_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    fs::write(&path, "hush-file\n").unwrap();
    let text = format!(
        "[clients.a]\nprovider = \"slack\"\nclient_id = \"id\"\n\
         client_secret = [\"hush-text\", {{ env = \"S\" }}, {{ file = \"{}\" }}]\n\
         [redis]\nurl = \"redis://user:hush-redis@cache:6379?x=hush\"\n\
         [store]\nurl = \"postgres://user:hush-pg@db/evergrant\"\n\
         [keys]\nactive = \"k1\"\nk1 = \"{KEY}\"",
        path.display()
    );
    let config = load(&text, &[("S", "hush-env")]).unwrap();
    let secrets: Vec<_> = config
        .clients
        .values()
        .next()
        .unwrap()
        .client_secret
        .iter()
        .map(Secret::expose)
        .collect();
    assert_eq!(secrets, ["hush-text", "hush-env", "hush-file"]);
    assert_eq!(config.store.url.to_string(), "postgres://db:5432/evergrant");

    let printed = config.to_toml();
    let shown = format!("{printed}\n{config:?}");
    assert!(!shown.contains("hush") && !shown.contains(KEY), "{shown}");
    assert!(
        printed.contains("url = \"postgres://user:redacted@db/evergrant\""),
        "{printed}"
    );
    assert!(
        printed.contains("client_secret = [\"[redacted]\", { env = \"S\" }, { file = "),
        "{printed}"
    );
}

#[test]
fn a_command_is_run_for_who_uses_its_secret_and_not_for_who_looks() {
    let folder = tempfile::tempdir().unwrap();
    let (file, ran) = (folder.path().join("e.toml"), folder.path().join("ran"));
    let print_key = format!("echo ran >> {}; echo {KEY}", ran.display());
    let text = format!(
        "[keys]\nactive = \"k1\"\nk1 = {{ command = [\"sh\", \"-c\", \"{print_key}\"] }}\n\
         [redis]\nurl = {{ command = [\"echo\", \"redis://hush\"] }}\n\
         [store]\nurl = {{ command = [\"echo\", \"postgres://hush/x\"] }}"
    );
    fs::write(&file, &text).unwrap();
    let none = || std::iter::empty();

    let seen = Config::load_without_commands(Some(&file), none(), vec![]).unwrap();
    assert!(!ran.exists());
    let printed = seen.to_toml();
    assert!(
        printed.contains("url = { command = [\"echo\", \"redis://hush\"] }"),
        "{printed}"
    );

    let used = Config::load(Some(&file), none(), vec![]).unwrap();
    assert_eq!(used.sealing_keys().unwrap().1["k1"].expose()[31], 31);
    assert_eq!(used.store.url.to_string(), "postgres://hush:5432/x");
    assert_eq!(fs::read_to_string(&ran).unwrap(), "ran\n", "once");
    assert_eq!(used.to_toml(), printed);

    let variable = ("EVERGRANT__KEYS__K1__COMMAND", "echo, ".to_owned() + KEY);
    let keys = "[keys]\nactive = \"k1\"";
    let config = load(keys, &[(variable.0, &variable.1)]).unwrap();
    assert_eq!(config.sealing_keys().unwrap().1["k1"].expose()[31], 31);
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
fn an_alternate_is_another_client_of_the_same_provider() {
    let client = |name: &str, provider: &str, rest: &str| {
        format!(
            "[clients.{name}]\nprovider = \"{provider}\"\nclient_id = \"x\"\nclient_secret = \"s\"\n{rest}\n"
        )
    };
    let catalogue = |alternate: &str| {
        let alternates = format!("alternates = [\"{alternate}\"]");
        let text = client("a", "slack", &alternates)
            + &client("b", "slack", "")
            + &client("c", "google", "");
        load(&text, &[]).unwrap().catalogue()
    };
    assert!(catalogue("b").is_ok());
    for stranger in ["a", "c", "d"] {
        assert_eq!(
            catalogue(stranger).unwrap_err().to_string(),
            format!(
                "clients.a.alternates: names {stranger}, which is no other client of provider slack (evergrant.toml:5)"
            )
        );
    }
}

#[test]
fn a_private_key_is_demanded_where_the_provider_takes_signatures_alone() {
    let folder = tempfile::tempdir().unwrap();
    let entry = "name = \"acme\"\ntoken_url = \"https://acme.example/token\"\n\
                 authorize_url = \"https://acme.example/a\"\n[request]\nclient_auth = \"private_key_jwt\"";
    fs::write(folder.path().join("acme.toml"), entry).unwrap();
    let text = format!(
        "[providers]\ndir = \"{}\"\n[clients.a]\nprovider = \"acme\"\nclient_id = \"x\"\n",
        folder.path().display()
    );
    let complaint = load(&text, &[]).unwrap().catalogue().unwrap_err();
    assert_eq!(
        complaint.to_string(),
        "clients.a.private_key: is missing, and provider acme demands one"
    );
    let with_key = |key: &str| {
        let text = format!("{text}private_key = {{ env = \"KEY\" }}\nkey_id = \"k1\"");
        load(&text, &[("KEY", key)]).unwrap()
    };
    let elliptic = elliptic_key();
    for odd in ["hush", "-----BEGIN PRIVATE KEY-----\nhush", &elliptic] {
        assert_eq!(
            with_key(odd).catalogue().unwrap_err().to_string(),
            "clients.a.private_key: must be a private key in PEM or a service account's JSON that signs as provider acme demands (evergrant.toml:6)"
        );
    }
    let entry = format!("{entry}\n[client_assertion]\nalgorithm = \"ES256\"");
    fs::write(folder.path().join("acme.toml"), entry).unwrap();
    let config = with_key(&elliptic);
    assert!(config.catalogue().is_ok());
    let shown = format!("{}\n{config:?}", config.to_toml());
    let secret = elliptic.lines().nth(1).unwrap();
    assert!(!shown.contains(secret), "{shown}");
    let client = &config.oauth_clients()[0];
    assert_eq!(client.key_id.as_deref(), Some("k1"));
    assert!(client.private_key.is_some());
}

/// A private key on P-256, in PEM.
fn elliptic_key() -> String {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let der = pair.to_pkcs8v1().unwrap();
    let text = STANDARD.encode(der.as_ref());
    format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
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
fn a_database_that_cannot_be_written_is_told_and_the_look_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let check = |path: &str| {
        let config = load(&format!("[store]\nurl = \"sqlite://{path}\""), &[]);
        config.unwrap().check_store()
    };
    let database = folder.path().join("e.db");
    let database = database.to_str().unwrap();
    check(database).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    fs::write(database, "x").unwrap();
    check(database).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    // Nobody, not even root, can make files there.
    for (path, place) in [
        ("/proc/e.db", "/proc"),
        ("/nowhere/e.db", "/nowhere"),
        (
            folder.path().to_str().unwrap(),
            folder.path().to_str().unwrap(),
        ),
    ] {
        let why = check(path).unwrap_err().to_string();
        let start = format!("store.url: {place} cannot be written: ");
        assert!(why.starts_with(&start), "{why}");
        assert!(why.ends_with("(evergrant.toml:2)"), "{why}");
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
