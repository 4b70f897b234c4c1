//! What documents and data files say is true.

use toml::{Table, Value};

use crate::repository::{assert_tidy, read};

#[test]
fn tests_that_stand_for_prior_art_are_there() {
    // The list is optional; what it says is not.
    let list = read("docs/prior-art.md").unwrap_or_default();
    assert_tidy(&missing_tests(&list, read));
}

#[test]
fn the_example_configuration_has_every_section() {
    let example = read("evergrant.example.toml").expect("there is an example");
    assert_tidy(&missing_sections(&example));
}

#[test]
fn lockfiles_name_no_download_host() {
    let lockfile = read("tests/e2e/node/package-lock.json").expect("it is committed");
    assert_tidy(&download_hosts(&lockfile));
}

#[test]
fn a_test_that_is_not_there_is_found() {
    let tree = |path: &str| {
        (path == "crates/core/src/cache.rs")
            .then(|| "async fn a_cached_token_is_served() {}\nfn a_test<T>() {}".to_owned())
    };
    let line = |named: &str| format!("| A1 | a claim | `{named}` |\n");

    let there = line("crates/core/src/cache.rs::a_cached_token_is_served")
        + &line("crates/core/src/cache.rs::tests::a_test")
        + "`std::fs::read` is no test, nor is `cache.rs`.\n";
    assert!(missing_tests(&there, tree).is_empty());

    for gone in [
        "crates/core/src/cache.rs::a_cached_token_is",
        "crates/core/src/cash.rs::a_cached_token_is_served",
    ] {
        assert_eq!(missing_tests(&line(gone), tree).len(), 1, "{gone}");
    }
}

#[test]
fn a_missing_section_and_a_download_host_are_found() {
    let breaches = missing_sections("[server]\nlisten = \"127.0.0.1:7070\"\n");
    assert_eq!(breaches.len(), SECTIONS.len() - 1);
    assert_eq!(download_hosts("\"resolved\": \"https://x\"").len(), 1);
    assert!(download_hosts("\"integrity\": \"sha512-x\"").is_empty());
}

const SECTIONS: [&str; 9] = [
    "server",
    "store",
    "redis",
    "keys",
    "providers",
    "clients",
    "refresh",
    "events",
    "telemetry",
];

/// Each `path.rs::test_name` between backticks must be a function of that file.
fn missing_tests(list: &str, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let between_backticks = list.split('`').skip(1).step_by(2);
    let named = between_backticks.filter_map(|text| {
        let (path, test) = text.split_once(".rs::")?;
        Some((format!("{path}.rs"), test.rsplit("::").next()?))
    });
    named
        .filter(|(path, test)| {
            let text = read(path).unwrap_or_default();
            !["(", "<"]
                .iter()
                .any(|end| text.contains(&format!("fn {test}{end}")))
        })
        .map(|(path, test)| format!("docs/prior-art.md names {test}, which is not in {path}"))
        .collect()
}

/// What is commented out in the example still counts: it shows a section that has no default.
fn missing_sections(example: &str) -> Vec<String> {
    let sections: Table = toml::from_str(example).expect("the example is TOML");
    SECTIONS
        .into_iter()
        .filter(|name| {
            let commented = format!("# [{name}.");
            !sections.get(*name).is_some_and(Value::is_table) && !example.contains(&commented)
        })
        .map(|name| format!("evergrant.example.toml lacks [{name}]"))
        .collect()
}

fn download_hosts(lockfile: &str) -> Vec<String> {
    lockfile
        .contains("\"resolved\"")
        .then(|| "the lockfile of npm names where packages were downloaded from".to_owned())
        .into_iter()
        .collect()
}
