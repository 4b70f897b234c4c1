use super::*;

const BUILD: Build = Build {
    version: "1.2.3",
    revision: "abc",
    profile: "dev",
};

/// Runs the program: its exit code, standard output and standard error.
fn evergrant(arguments: &[&str]) -> (u8, String, String) {
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    let arguments = ["evergrant"].iter().chain(arguments).map(OsString::from);
    let exit = run_with(BUILD, arguments, &mut out, &mut notes);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (exit as u8, text(out), text(notes))
}

#[test]
fn the_definition_of_the_arguments_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn the_version_names_revision_and_profile() {
    let error = parse(BUILD, ["evergrant", "--version"].map(OsString::from)).unwrap_err();
    assert_eq!(error.to_string(), "evergrant 1.2.3 (abc, dev)\n");
}

#[test]
fn help_succeeds_and_bad_usage_is_64() {
    assert_eq!(evergrant(&["--help"]).0, 0);
    assert_eq!(evergrant(&["watch", "--help"]).0, 0);
    for mistake in [
        &["--nonsense"][..],
        &[],
        &["token"],
        &["token", "get"],
        &["watch", "--count", "0"],
        &["watch", "--once", "--count", "2"],
        &["watch", "--type", "nonsense"],
        &["credential", "create", "a"],
        &["credential", "list", "--state", "unspecified"],
        &[
            "credential",
            "create",
            "a",
            "--provider",
            "p",
            "--grant-type",
            "device-code",
        ],
        &["integration", "update", "a"],
        &["forecast", "--within", "soon"],
        &["forecast", "--limit", "0"],
        &["kill"],
        &["kill", "--tenant", "acme"],
        &["credential", "list", "--limit", "0"],
        &["token", "get", "a", "--server", "localhost:7070"],
        &["token", "get", "a", "--tls-ca", "/nowhere"],
        &["token", "get", "a", "--rejected-token", "/nowhere"],
        &["config", "check", "--config", "/nowhere.toml"],
    ] {
        assert_eq!(evergrant(mistake).0, 64, "{mistake:?}");
    }
}

/// A verb that decides for all tenants offers no limit that it would not keep.
#[test]
fn a_brake_is_released_for_all_tenants_or_not_at_all() {
    let told = |end: &[&str]| {
        let arguments = ["evergrant", "provider", "release", "slack", "--invalidate"];
        let arguments = arguments.iter().chain(end).map(OsString::from);
        parse(BUILD, arguments).unwrap_err().to_string()
    };
    let refused = told(&["--tenant", "t1"]);
    assert!(
        refused.contains("unexpected argument '--tenant'"),
        "{refused}"
    );
    let help = told(&["--help"]);
    assert!(
        help.contains("of all tenants") && !help.contains("EVERGRANT_TENANT"),
        "{help}"
    );
}

#[test]
fn a_server_that_is_not_there_is_69_in_one_line() {
    // A port that was free a moment ago.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    for verb in [
        &["token", "get", "a"][..],
        &["watch"],
        &["credential", "list"],
        &["forecast"],
    ] {
        let arguments: Vec<_> = verb.iter().copied().chain(["--server", &server]).collect();
        let (code, out, notes) = evergrant(&arguments);
        assert_eq!((code, out.as_str()), (69, ""), "{verb:?}");
        let start = format!("evergrant: server {server} cannot be reached: ");
        assert!(
            notes.starts_with(&start) && notes.lines().count() == 1,
            "{notes}"
        );
    }
}

#[test]
fn the_catalogue_can_be_listed_although_a_server_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let list = ["provider", "list", "--server", &server];
    assert_eq!(evergrant(&list).0, 69);
    let offline: Vec<_> = list.into_iter().chain(["--offline"]).collect();
    let (code, out, notes) = evergrant(&offline);
    assert_eq!((code, notes.as_str()), (0, ""));
    assert!(out.contains("slack"), "{out}");
}

#[test]
fn a_configuration_is_checked_and_printed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("evergrant.toml");
    let file = path.to_str().unwrap();
    std::fs::write(&path, "[refresh]\nlease = \"50s\"\n").unwrap();
    assert_eq!(
        evergrant(&["config", "check", "--config", file]),
        (0, "ok\n".into(), String::new())
    );
    let (code, printed, _) = evergrant(&["config", "print", "--config", file]);
    assert!(
        code == 0 && printed.contains("lease = \"50s\""),
        "{printed}"
    );

    std::fs::write(&path, "[refresh]\nlease = \"5s\"\n").unwrap();
    let line = format!(
        "evergrant: refresh.lease: must be at least 37s, which is 2 x attempt_timeout + store_timeout + 2s; \
         it is 5s ({file}:2)\n"
    );
    for verb in [&["config", "check"][..], &["serve"], &["migrate"]] {
        let arguments: Vec<_> = verb.iter().copied().chain(["--config", file]).collect();
        assert_eq!(evergrant(&arguments), (64, String::new(), line.clone()));
    }
}

#[test]
fn a_generated_key_is_accepted_and_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("k1");
    let (code, _, _) = evergrant(&["keys", "generate", "--out", key.to_str().unwrap()]);
    assert_eq!(code, 0);
    let text = std::fs::read(&key).unwrap();
    assert_eq!(
        evergrant(&["keys", "generate", "--out", key.to_str().unwrap()]).0,
        1
    );
    assert_eq!(std::fs::read(&key).unwrap(), text);

    let (_, printed, _) = evergrant(&["keys", "generate"]);
    let config = folder.path().join("evergrant.toml");
    let keys = format!(
        "[keys]\nactive = \"k2\"\nk1 = {{ file = {key:?} }}\nk2 = \"{}\"\n",
        printed.trim()
    );
    std::fs::write(&config, keys).unwrap();
    let verified = evergrant(&["keys", "verify", "--config", config.to_str().unwrap()]);
    assert_eq!(
        verified,
        (
            0,
            "k1  opens            not needed: may be retired\n\
             k2  seals and opens  needed by 0 values\n"
                .into(),
            String::new()
        )
    );
}

#[test]
fn verifying_makes_no_key_file() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("evergrant.toml");
    let store = format!(
        "[store]\nurl = \"sqlite://{}/e.db\"\n",
        folder.path().display()
    );
    std::fs::write(&config, store).unwrap();
    let (code, out, _) = evergrant(&["keys", "verify", "--config", config.to_str().unwrap()]);
    assert!(code == 0 && out.starts_with("no key file yet"), "{out}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn the_epoch_is_renewed_in_a_store_that_is_there_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("evergrant.toml");
    let database = folder.path().join("e.db");
    let store = format!("[store]\nurl = \"sqlite://{}\"\n", database.display());
    std::fs::write(&config, store).unwrap();
    let renew = || {
        evergrant(&[
            "events",
            "renew-epoch",
            "--config",
            config.to_str().unwrap(),
        ])
    };
    let (code, out, notes) = renew();
    assert_eq!((code, out.as_str()), (64, ""));
    let why = format!(
        "evergrant: store.url: the database file {} does not exist\n",
        database.display()
    );
    assert_eq!(notes, why);
    assert!(!database.exists());

    assert_eq!(
        evergrant(&["migrate", "--config", config.to_str().unwrap()]).0,
        0
    );
    let (code, _, notes) = renew();
    assert!(
        code == 1 && notes.contains("holds no event log yet"),
        "{notes}"
    );
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    struct Closed;
    impl io::Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut notes = Vec::new();
    let arguments = ["evergrant", "completions", "bash"].map(OsString::from);
    let exit = run_with(BUILD, arguments, &mut Closed, &mut notes);
    assert_eq!((exit, notes), (Exit::Success, Vec::new()));
}

#[test]
fn the_catalogue_is_listed_and_shown() {
    let (code, listed, _) = evergrant(&["provider", "list"]);
    assert_eq!(code, 0);
    assert!(listed.starts_with("PROVIDER "), "{listed}");
    let slack = listed
        .lines()
        .find(|line| line.starts_with("slack "))
        .unwrap();
    assert!(
        slack.contains("single_use") && slack.ends_with("https://slack.com/api/oauth.v2.access"),
        "{slack}"
    );

    let (code, shown, _) = evergrant(&["provider", "show", "airtable", "-o", "json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(code, 0);
    assert_eq!(shown["rotation"]["mode"], "single_use");
    assert_eq!(shown["lifetime"]["access_token"], "1h");

    let unknown = evergrant(&["provider", "show", "slak"]);
    let line = "evergrant: provider \"slak\" is not in the catalogue\n";
    assert_eq!(unknown, (1, String::new(), line.into()));
}

#[test]
fn every_mistake_of_an_entry_is_told_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("acme.toml");
    let file = path.to_str().unwrap();
    let sound = "name = \"acme\"\ntoken_url = \"https://acme.example/token\"\nsources = [\"https://acme.example\"]\n";
    std::fs::write(&path, sound).unwrap();
    assert_eq!(
        evergrant(&["provider", "check", file]),
        (0, "ok\n".into(), String::new())
    );

    std::fs::write(
        &path,
        format!("{sound}[request]\nbody = \"xml\"\nverb = \"PUT\"\n"),
    )
    .unwrap();
    let (code, out, notes) = evergrant(&["provider", "check", file]);
    assert_eq!((code, out.lines().count()), (1, 2), "{out}");
    assert!(
        out.starts_with(&format!("{file}: line 5: request.body: ")),
        "{out}"
    );
    assert_eq!(notes, format!("evergrant: {file} has 2 mistakes\n"));
}

#[test]
fn a_store_in_which_nothing_is_sealed_needs_no_key_yet() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("evergrant.toml");
    let database = folder.path().join("e.db");
    let store = format!("[store]\nurl = \"sqlite://{}\"\n", database.display());
    std::fs::write(&config, store).unwrap();
    let config = config.to_str().unwrap();
    let verify = || evergrant(&["keys", "verify", "--config", config]);

    let (code, out, _) = verify();
    assert_eq!(code, 0, "a new store has no key yet");
    let (code, _, notes) = evergrant(&["keys", "verify", "--config", config, "--key", "k1"]);
    assert_eq!(code, 64, "so there is no such key: {notes}");
    assert!(out.starts_with("no key file yet"), "{out}");
    assert_eq!(evergrant(&["migrate", "--config", config]).0, 0);
    let (code, out, _) = verify();
    assert_eq!(code, 0, "nothing is sealed in it");
    assert!(out.starts_with("no key file yet"), "{out}");
}

#[test]
fn a_key_is_replaced_by_the_verbs_for_keys_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("evergrant.toml");
    let configure = |keys: &str| {
        let database = folder.path().join("e.db");
        let store = format!("[store]\nurl = \"sqlite://{}\"\n", database.display());
        let [k1, k2, other] = ["AAEC", "BBEC", "CCEC"]
            .map(|head| format!("\"{head}AwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\""));
        let keys = keys
            .replace("@other", &other)
            .replace("@k1", &k1)
            .replace("@k2", &k2);
        std::fs::write(&file, format!("{store}[keys]\n{keys}")).unwrap();
    };
    let run = |words: &str| {
        let words = words.split(' ').chain(["--config", file.to_str().unwrap()]);
        evergrant(&words.collect::<Vec<_>>())
    };
    let fails = |words: &str, line: &str| {
        let (code, _, notes) = run(words);
        // After what is told of the progress.
        let last = notes.lines().last().unwrap();
        assert_eq!((code, last), (1, &*format!("evergrant: {line}")), "{words}");
    };
    configure("active = \"k1\"\nk1 = @k1");
    let runtime = runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let config = crate::config::Config::load(Some(&file), std::iter::empty(), Vec::new());
        let config = config.unwrap();
        let (active, keys) = config.sealing_keys().unwrap();
        let sealer = crate::seal::Sealer::new(&active, keys).unwrap();
        let options = crate::store::StoreOptions::default();
        let store = crate::store::SqlStore::connect(&config.store.url, sealer, options).await;
        store.unwrap().close().await;
    });

    // The keys of cursors and of the audit trail are sealed with k1.
    let needed =
        "k1  seals and opens  needed by 2 values: audit_log.chain_key 1, event_log.cursor_key 1\n";
    assert_eq!(run("keys verify"), (0, needed.into(), String::new()));
    configure("active = \"k2\"\nk2 = @k2");
    let line = "sealing key k1 is not configured, and is needed by 2 values";
    fails("keys verify", line);
    fails("keys verify --key k2", line);
    fails(
        "keys rotate",
        "these keys are not configured: k1 (2 values)",
    );
    configure("active = \"k2\"\nk2 = @k2\nlost = [\"k1\"]");
    assert_eq!((run("keys verify").0, run("keys rotate").0), (0, 0));
    configure("active = \"k2\"\nk2 = @k2\nk1 = @other");
    let other = "sealing key k1 does not open what was sealed under its name (event_log.cursor_key): \
                 it has other bytes, as from a wrong key file, or else the database is damaged";
    fails("keys verify", other);
    let broken = "these keys do not open all that was sealed under their names, \
                  since they have other bytes or values are damaged: k1 (2 values)";
    fails("keys rotate --pause 1ms", broken);
    // Of the active key replicas have other bytes, so that nothing may be sealed with these.
    configure("active = \"k1\"\nk1 = @other");
    let told = needed.replace(
        "seals and opens",
        "does not open what was sealed under its name",
    );
    assert_eq!(run("keys verify").1, told);
    fails("keys rotate", &format!("nothing was changed: {other}"));
    let (code, _, notes) = run("audit verify");
    assert_eq!((code, notes), (64, format!("evergrant: keys: {other}\n")));

    configure("active = \"k2\"\nk2 = @k2\nk1 = @k1");
    fails(
        "keys verify --key k1",
        "sealing key k1 is needed by 2 values",
    );
    let (code, planned, _) = run("keys rotate --dry-run -o json");
    let planned: serde_json::Value = serde_json::from_str(&planned).unwrap();
    assert_eq!(
        (code, &planned["resealed"], &planned["dry_run"]),
        (0, &2.into(), &true.into())
    );
    fails(
        "keys verify --key k1",
        "sealing key k1 is needed by 2 values",
    );
    let (code, summary, progress) = run("keys rotate");
    assert_eq!(
        (code, summary.as_str()),
        (0, "active key   k2\nsealed anew  2 values\n")
    );
    assert_eq!(
        progress,
        "event_log.cursor_key: 1 of 1 values of k1\naudit_log.chain_key: 1 of 1 values of k1\n"
    );
    assert_eq!(run("keys verify --key k1").0, 0);
    fails("keys verify --key k2", "sealing key k2 is the active one");
    let (code, _, notes) = run("keys verify --key nosuch");
    let unknown = "evergrant: --key nosuch: no key of that id is configured, and nothing was sealed with one\n";
    assert_eq!((code, notes.as_str()), (64, unknown));
    configure("active = \"k2\"\nk2 = @k2");
    assert_eq!(
        run("keys verify --key k1").0,
        64,
        "it is retired, and nothing knows of it"
    );
    configure("active = \"k2\"\nk2 = @k2\nk1 = @k1");
    let (_, report, _) = run("keys verify -o json");
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["keys"][0]["values"], 0);
    assert_eq!(report["keys"][1]["standing"], "active");
}
