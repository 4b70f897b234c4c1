//! What documents and lockfiles say.

use crate::repository::{assert_tidy, read};

#[test]
fn tests_that_stand_for_prior_art_are_there() {
    // The list is optional; what it says is not.
    let list = read("docs/prior-art.md").unwrap_or_default();
    assert_tidy(&missing_tests(&list, read));
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
fn a_download_host_is_found() {
    assert_eq!(download_hosts("\"resolved\": \"https://x\"").len(), 1);
    assert!(download_hosts("\"integrity\": \"sha512-x\"").is_empty());
}

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

fn download_hosts(lockfile: &str) -> Vec<String> {
    lockfile
        .contains("\"resolved\"")
        .then(|| "the lockfile of npm names where packages were downloaded from".to_owned())
        .into_iter()
        .collect()
}
