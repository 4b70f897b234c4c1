use std::time::Duration;

use evergrant_core::provider::Rotation;

use super::*;

mod base;
mod clear;
mod coherence;
mod mistakes;
mod sound;
mod tables;
mod values;

const MINIMAL: &str = "name = \"acme\"\ntoken_url = \"https://acme.example/token\"\n\
     sources = [\"https://acme.example/docs\"]\n";

fn one(text: &str) -> Arc<Entry> {
    let mut catalogue = Catalogue::empty();
    let name = catalogue.add(text, "test").unwrap();
    catalogue.get(&name).unwrap().clone()
}

/// The mistakes of a sound entry of three lines with `rest` added.
fn told(rest: &str) -> Vec<String> {
    let problems = Catalogue::check(&format!("{MINIMAL}{rest}"));
    problems.iter().map(Problem::to_string).collect()
}

/// Each text, and the one mistake in it.
fn each(cases: &[(&str, &str)]) {
    for (rest, mistake) in cases {
        assert_eq!(told(rest), [*mistake], "{rest}");
    }
}

fn sound(rest: &str) {
    assert_eq!(told(rest), [""; 0], "{rest}");
}

fn builtin(name: &str) -> Arc<Entry> {
    let name = ProviderName::parse(name).unwrap();
    Catalogue::builtin().get(&name).unwrap().clone()
}

#[test]
fn every_built_in_entry_is_listed_sound_and_says_where_its_facts_are_from() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("catalogue");
    let mut files: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let listed: Vec<&str> = BUILTIN.iter().map(|(file, _)| *file).collect();
    assert_eq!(listed, files);

    for (file, text) in BUILTIN {
        assert_eq!(Catalogue::check(text), [], "{file}");
        let entry = one(text);
        assert_eq!(format!("{}.toml", entry.name), *file);
        assert!(!entry.sources.is_empty(), "{file}");
        let consents = entry.grant_types.contains(&GrantKind::AuthorizationCode);
        assert_eq!(entry.authorize_url.is_some(), consents, "{file}");
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
    let both = [GrantKind::AuthorizationCode, GrantKind::Static];
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
    // A token whose end is not stated may never end: those of Slack apps without rotation, and of OAuth apps of GitHub.
    for name in ["github", "salesforce", "slack"] {
        assert_eq!(builtin(name).lifetime.access_token, None, "{name}");
    }
    assert!(!builtin("attio").renewable);
}

#[test]
fn an_own_entry_replaces_a_built_in_one_of_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let slack =
        "name = \"slack\"\ntoken_url = \"https://slack.example/token\"\nsources = [\"a test\"]\n";
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
