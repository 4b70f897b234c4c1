//! What documents and lockfiles say.

use crate::repository::{assert_tidy, files, read, top};

#[test]
fn tests_that_stand_for_prior_art_are_there() {
    // The list is optional; what it says is not.
    let list = read("docs/prior-art.md").unwrap_or_default();
    assert_tidy(&missing_tests(&list, read));
}

#[test]
fn files_that_documents_name_are_there() {
    let is_there = |path: &str| top().join(path).is_file();
    let documents = files(&["md"]);
    let missing = documents
        .iter()
        .flat_map(|document| missing_files(&document.path, &document.text, is_there));
    assert_tidy(&missing.collect::<Vec<_>>());
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
fn a_file_that_is_not_there_is_found() {
    let is_there = |path: &str| path == "crates/core/src/cache.rs";
    let good = "`crates/core/src/cache.rs` and `crates/core/src/cache.rs::tests::a_test`, as `crates/providers/catalogue/NAME.toml`; \
                `a.rs` is no path, nor is `tests/e2e`.";
    assert_eq!(missing_files("a.md", good, is_there), Vec::<String>::new());
    let gone = "It is in `crates/core/src/cash.rs`.";
    assert_eq!(missing_files("a.md", gone, is_there).len(), 1);
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

/// Each path between backticks that leads to a file from the top of the repository must be there. A word in capitals
/// stands for a name.
fn missing_files(document: &str, text: &str, is_there: impl Fn(&str) -> bool) -> Vec<String> {
    const FOLDERS: [&str; 6] = [
        "crates/", "deploy/", "docs/", "proto/", "scripts/", "tests/",
    ];
    let between_backticks = text.split('`').skip(1).step_by(2);
    let paths = between_backticks.map(|quoted| quoted.split("::").next().unwrap_or(quoted));
    paths
        .filter(|path| FOLDERS.iter().any(|folder| path.starts_with(folder)))
        .filter(|path| {
            path.rsplit('/')
                .next()
                .is_some_and(|name| name.contains('.'))
        })
        .filter(|path| {
            let is_plain =
                |byte: u8| byte.is_ascii_lowercase() || b"0123456789_-./".contains(&byte);
            path.bytes().all(is_plain)
        })
        .filter(|path| !is_there(path))
        .map(|path| format!("{document} names {path}, which is not there"))
        .collect()
}

fn download_hosts(lockfile: &str) -> Vec<String> {
    lockfile
        .contains("\"resolved\"")
        .then(|| "the lockfile of npm names where packages were downloaded from".to_owned())
        .into_iter()
        .collect()
}
