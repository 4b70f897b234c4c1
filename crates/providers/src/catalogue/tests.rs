use std::collections::BTreeSet;
use std::time::Duration;

use evergrant_core::grant::{GrantType, InvalidationReason};
use evergrant_core::provider::{Rotation, Verdict};

use super::*;

const MINIMAL: &str = "name = \"acme\"\ntoken_url = \"https://acme.example/token\"\n";

fn one(text: &str) -> Arc<Entry> {
    let mut catalogue = Catalogue::empty();
    let name = catalogue.add(text, "test").unwrap();
    catalogue.get(&name).unwrap().clone()
}

fn builtin(name: &str) -> Arc<Entry> {
    let name = ProviderName::parse(name).unwrap();
    Catalogue::builtin().get(&name).unwrap().clone()
}

/// The mistakes of a sound entry with `rest` added, without those of its first two lines.
fn mistakes(rest: &str) -> Vec<String> {
    let problems = Catalogue::check(&format!("{MINIMAL}{rest}"));
    problems.iter().map(Problem::to_string).collect()
}

#[test]
fn every_built_in_entry_is_listed_sound_and_says_where_its_facts_are_from() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("catalogue");
    let files: BTreeSet<String> = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    let listed: BTreeSet<String> = BUILTIN.iter().map(|(file, _)| (*file).to_owned()).collect();
    assert_eq!(files, listed);

    for (file, text) in BUILTIN {
        assert_eq!(Catalogue::check(text), [], "{file}");
        let entry = one(text);
        assert_eq!(format!("{}.toml", entry.name), file);
        assert!(!entry.sources.is_empty(), "{file}");
        assert!(entry.authorize_url.is_some(), "{file}");
    }
    assert_eq!(Catalogue::builtin().iter().count(), BUILTIN.len());
}

#[test]
fn what_an_entry_leaves_out_is_as_the_rfc_has_it_and_careful_about_rotation() {
    let entry = one(MINIMAL);
    assert_eq!(entry.request.method, Method::Post);
    assert_eq!(entry.request.body, BodyFormat::Form);
    assert_eq!(entry.request.client_auth, ClientAuth::Body);
    assert_eq!(entry.rotation, Rotation::SingleUse);
    assert_eq!(entry.lifetime, Lifetime::default());
    assert_eq!(entry.token.header, "Authorization");
    assert_eq!(entry.token.scheme, "Bearer");
    assert!(entry.renewable && !entry.flaky_refusals);
    let both = [GrantType::AuthorizationCode, GrantType::Static];
    assert_eq!(entry.grant_types, both);
}

#[test]
fn facts_of_built_in_entries_that_the_refresh_protocol_depends_on() {
    let rotations = [
        ("attio", Rotation::None),
        ("github", Rotation::SingleUse),
        ("google", Rotation::None),
        ("hubspot", Rotation::Rotates),
        ("microsoft", Rotation::Rotates),
        ("notion", Rotation::SingleUse),
        ("salesforce", Rotation::SingleUse),
        ("slack", Rotation::SingleUse),
    ];
    for (name, rotation) in rotations {
        assert_eq!(builtin(name).rotation, rotation, "{name}");
    }
    let day = 86_400;
    let microsoft = builtin("microsoft").lifetime.refresh_token;
    assert_eq!(microsoft, Some(Duration::from_secs(90 * day)));
    let slack = builtin("slack").lifetime.access_token;
    assert_eq!(slack, Some(Duration::from_secs(day / 2)));
    assert_eq!(builtin("salesforce").lifetime.access_token, None);
    assert!(!builtin("attio").renewable);
}

#[test]
fn every_mistake_is_listed_with_line_and_field() {
    let text = r#"
name = "a b"
token_url = "http://acme.example/token"
refresh_url = "https://{shop}.example/t"
allowed_hosts = ["*.com"]
colour = "red"
sources = [1]
[request]
method = "PUT"
client_auth = "private_key_jwt"
names = { secret = "x" }
omit = ["state"]
[request.headers]
"a b" = "x"
[response]
access_token = ["access_token"]
expires = "/expires"
failure = { equals = false }
[errors]
gone = "fatal"
late = { verdict = "transient", reason = "access_denied" }
[uncoded]
500 = "grant"
[rotation]
mode = "grace"
[lifetime]
access_token = "12 hours"
"#;
    let found: Vec<(usize, String)> = Catalogue::check(text)
        .into_iter()
        .map(|problem| (problem.line, problem.field))
        .collect();
    let expected = [
        (2, "name"),
        (3, "token_url"),
        (4, "refresh_url"),
        (5, "allowed_hosts"),
        (6, "colour"),
        (7, "sources"),
        (9, "request.method"),
        (10, "request.client_auth"),
        (11, "request.names.secret"),
        (12, "request.omit"),
        (14, "request.headers.a b"),
        (16, "response.access_token"),
        (17, "response.expires"),
        (18, "response.failure.pointer"),
        (20, "errors.gone"),
        (21, "errors.late"),
        (22, "uncoded"),
        (24, "rotation"),
        (27, "lifetime.access_token"),
    ];
    let expected: Vec<(usize, String)> = expected
        .map(|(line, field)| (line, field.to_owned()))
        .to_vec();
    assert_eq!(found, expected);
}

#[test]
fn a_problem_reads_as_one_line() {
    assert_eq!(
        mistakes("[request]\nbody = \"xml\""),
        ["line 4: request.body: must be one of form, json, query, not \"xml\""]
    );
    assert_eq!(mistakes("x = 1"), ["line 3: x: is no known key"]);
    assert_eq!(
        mistakes("renewable = \"no\""),
        ["line 3: renewable: must be true or false, not a string"]
    );
}

#[test]
fn missing_keys_are_named() {
    let problems: Vec<String> = Catalogue::check("")
        .iter()
        .map(|problem| problem.field.clone())
        .collect();
    assert_eq!(problems, ["name", "token_url"]);
}

#[test]
fn text_that_is_no_toml_is_told_with_its_line() {
    let problems = Catalogue::check("name = \"acme\"\ntoken_url = = 1\n");
    assert!(!problems.is_empty());
    assert!(problems.iter().all(|problem| problem.line == 2));
}

#[test]
fn what_comes_later_is_refused_as_not_yet_there() {
    assert_eq!(
        mistakes("grant_types = [\"authorization_code\", \"jwt_bearer\"]"),
        ["line 3: grant_types: jwt_bearer is not available yet"]
    );
    assert_eq!(
        mistakes("[request]\nclient_auth = \"private_key_jwt\""),
        ["line 4: request.client_auth: private_key_jwt is not available yet"]
    );
}

#[test]
fn contradictions_are_mistakes() {
    for rest in [
        "[request]\nmethod = \"GET\"\nbody = \"json\"",
        "[rotation]\nmode = \"none\"\ngrace = \"5s\"",
        "[rotation]\nmode = \"grace\"\ngrace = \"0s\"",
        "[rotation]\ngrace = \"5s\"",
        "[lifetime]\naccess_token = \"0s\"",
        "[errors]\nx = { verdict = \"grant\", try_next_secret = true }",
        "[errors]\nx = { reason = \"access_denied\" }",
        "[response]\nfailure = { pointer = \"/ok\", equals = 1, present = true }",
        "[placeholders]\nunused = \"x\"",
        "revoke_url = \"https://{host}/revoke\"",
        "[request.headers]\nX = \"{\"",
    ] {
        assert_eq!(mistakes(rest).len(), 1, "{rest}: {:?}", mistakes(rest));
    }
}

#[test]
fn a_code_may_have_a_reason_and_a_verdict_may_stand_alone() {
    let entry = one(&format!(
        r#"{MINIMAL}
        [errors]
        190 = "grant"
        denied = {{ verdict = "grant", reason = "access_denied" }}
        reused = {{ verdict = "grant", reason = "rotation_lost" }}
        secret = {{ verdict = "client", try_next_secret = true }}
        busy = "rate_limit"
        [uncoded]
        401 = "grant"
        [rotation]
        mode = "grace"
        grace = "10m"
        "#
    ));
    let verdict = |code: &str| entry.errors[code].verdict;
    assert_eq!(
        verdict("190"),
        Verdict::Grant(InvalidationReason::GrantRevoked)
    );
    assert_eq!(
        verdict("denied"),
        Verdict::Grant(InvalidationReason::AccessDenied)
    );
    assert_eq!(
        verdict("reused"),
        Verdict::Grant(InvalidationReason::RotationLost)
    );
    assert_eq!(verdict("busy"), Verdict::RateLimit);
    assert!(entry.errors["secret"].try_next_secret);
    assert_eq!(entry.uncoded.len(), 1);
    assert_eq!(entry.rotation, Rotation::Grace(Duration::from_secs(600)));
}

#[test]
fn an_own_entry_replaces_a_built_in_one_of_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let slack = "name = \"slack\"\ntoken_url = \"https://slack.example/token\"\n";
    fs::write(dir.path().join("mine.toml"), slack).unwrap();
    fs::write(dir.path().join("acme.toml"), MINIMAL).unwrap();
    fs::write(dir.path().join("README.md"), "no entry").unwrap();

    let mut catalogue = Catalogue::builtin();
    catalogue.add_dir(dir.path()).unwrap();
    assert_eq!(catalogue.iter().count(), BUILTIN.len() + 1);
    let slack = catalogue
        .get(&ProviderName::parse("slack").unwrap())
        .unwrap();
    assert_eq!(slack.token_url.to_string(), "https://slack.example/token");
}

#[test]
fn a_folder_with_a_mistake_adds_nothing_and_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.toml"), MINIMAL).unwrap();
    fs::write(dir.path().join("b.toml"), "name = \"b\"\ntokens = 1\n").unwrap();
    let mut catalogue = Catalogue::empty();
    let error = catalogue.add_dir(dir.path()).unwrap_err().to_string();
    assert!(error.contains("b.toml"), "{error}");
    assert!(error.contains("token_url: is missing"), "{error}");
    assert!(error.contains("line 2: tokens: is no known key"), "{error}");
    assert_eq!(catalogue.iter().count(), 0);
}

#[test]
fn two_files_for_one_provider_are_a_mistake() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.toml"), MINIMAL).unwrap();
    fs::write(dir.path().join("b.toml"), MINIMAL).unwrap();
    let error = Catalogue::empty().add_dir(dir.path()).unwrap_err();
    assert!(matches!(error, CatalogueError::Twice { .. }), "{error}");
}

#[test]
fn a_missing_folder_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let error = Catalogue::empty()
        .add_dir(&dir.path().join("none"))
        .unwrap_err();
    assert!(matches!(error, CatalogueError::Unreadable { .. }));
}

// A132
#[test]
fn only_names_in_the_catalogue_are_found() {
    let catalogue = Catalogue::builtin();
    for name in ["constructor", "toString", "__proto__", "Slack", "slac"] {
        assert!(catalogue.get(&ProviderName::parse(name).unwrap()).is_none());
    }
}
