//! Values come from the file, the environment, the command line, other files and commands.

use super::*;

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
