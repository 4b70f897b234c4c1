//! Who may know whom.

use toml::{Table, Value};

use crate::repository::{assert_tidy, read};

/// What the manifest of one package may name.
struct Rule {
    manifest: &'static str,
    /// Packages of this workspace that it may depend on.
    ours: &'static [&'static str],
    /// Packages of this workspace that its tests may use besides.
    ours_in_tests: &'static [&'static str],
    /// Packages that neither it nor its tests may name. `x*` is `x` and all that begin with `x-`.
    never: &'static [&'static str],
    /// If given, the only packages that it may depend on.
    only: Option<&'static [&'static str]>,
}

const RULES: [Rule; 5] = [
    Rule {
        manifest: "crates/core/Cargo.toml",
        ours: &[],
        ours_in_tests: &["evergrant-core"],
        never: &[
            "axum*", "fred*", "http*", "hyper*", "prost*", "reqwest*", "sea-orm*", "serde*",
            "sqlx*", "toml*", "tonic*",
        ],
        only: None,
    },
    Rule {
        manifest: "crates/providers/Cargo.toml",
        ours: &["evergrant-core"],
        ours_in_tests: &["evergrant-core", "evergrant-providers"],
        never: &["fred*", "prost*", "sea-orm*", "sqlx*", "tonic*"],
        only: None,
    },
    Rule {
        manifest: "crates/proto/Cargo.toml",
        ours: &[],
        ours_in_tests: &[],
        never: &["fred*", "reqwest*", "sea-orm*", "sqlx*"],
        only: None,
    },
    Rule {
        manifest: "crates/server/Cargo.toml",
        ours: &["evergrant-core", "evergrant-proto", "evergrant-providers"],
        ours_in_tests: &["evergrant-core", "evergrant-proto", "evergrant-providers"],
        never: &[],
        only: None,
    },
    Rule {
        manifest: "Cargo.toml",
        ours: &["evergrant-server"],
        ours_in_tests: &["evergrant-proto", "evergrant-providers"],
        never: &[],
        only: Some(&["evergrant-server", "mimalloc"]),
    },
];

#[test]
fn knowledge_flows_in_one_direction() {
    for rule in &RULES {
        let manifest = read(rule.manifest).expect("each package has a manifest");
        assert_tidy(&breaches(rule, &manifest));
    }
}

#[test]
fn versions_are_named_in_the_workspace_alone() {
    for rule in &RULES {
        let manifest = read(rule.manifest).expect("each package has a manifest");
        assert_tidy(&own_versions(rule.manifest, &manifest));
    }
}

#[test]
fn a_core_that_knows_the_wire_is_found() {
    let core = &RULES[0];
    for section in [
        "dependencies",
        "dev-dependencies",
        "build-dependencies",
        "target.'cfg(unix)'.dependencies",
    ] {
        for package in ["tonic", "tonic-types", "serde_json", "evergrant-proto"] {
            let manifest = format!("[{section}]\n{package} = {{ workspace = true }}\n");
            assert_eq!(breaches(core, &manifest).len(), 1, "{manifest}");
        }
    }
    let renamed = "[dependencies]\nwire = { package = \"tonic\", version = \"1\" }\n";
    assert_eq!(breaches(core, renamed).len(), 1);
    assert!(breaches(core, "[dependencies]\ntokio = { workspace = true }\n").is_empty());
}

#[test]
fn a_program_with_logic_of_its_own_is_found() {
    let program = &RULES[4];
    let clever = "[dependencies]\nanyhow = { workspace = true }\n";
    assert_eq!(breaches(program, clever).len(), 1);
    let tested = "[dev-dependencies]\nanyhow = { workspace = true }\n";
    assert!(breaches(program, tested).is_empty());
    let inside = "[dev-dependencies]\nevergrant-core = { workspace = true }\n";
    assert_eq!(breaches(program, inside).len(), 1);
}

#[test]
fn a_version_outside_of_the_workspace_is_found() {
    for manifest in [
        "[dependencies]\nbytes = \"1\"\n",
        "[dev-dependencies]\nbytes = { version = \"1\", features = [\"std\"] }\n",
    ] {
        assert_eq!(own_versions("Cargo.toml", manifest).len(), 1, "{manifest}");
    }
    let sound = "[dependencies]\nbytes = { workspace = true }\nme = { path = \".\" }\n";
    assert!(own_versions("Cargo.toml", sound).is_empty());
}

fn breaches(rule: &Rule, manifest: &str) -> Vec<String> {
    let mut breaches = Vec::new();
    for Dependency { package, tests, .. } in dependencies(manifest) {
        let path = rule.manifest;
        let ours = if tests { rule.ours_in_tests } else { rule.ours };
        if package.starts_with("evergrant-") {
            if !ours.contains(&&*package) {
                breaches.push(format!("{path} must not know {package}"));
            }
        } else if rule.never.iter().any(|pattern| matches(pattern, &package)) {
            breaches.push(format!("{path} must not know {package}"));
        } else if !tests && rule.only.is_some_and(|only| !only.contains(&&*package)) {
            breaches.push(format!("{path} needs no {package}"));
        }
    }
    breaches
}

fn own_versions(path: &str, manifest: &str) -> Vec<String> {
    let mut breaches = Vec::new();
    for dependency in dependencies(manifest) {
        let package = &dependency.package;
        let shared = dependency.value.get("workspace").is_some();
        if !shared && dependency.value.get("path").is_none() {
            breaches.push(format!(
                "{path} names a version of {package}; it belongs in [workspace.dependencies]"
            ));
        }
    }
    breaches
}

fn matches(pattern: &str, package: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(stem) => package
            .strip_prefix(stem)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_'])),
        None => pattern == package,
    }
}

struct Dependency {
    package: String,
    tests: bool,
    value: Value,
}

/// The dependencies of a manifest, those for some targets alone included.
fn dependencies(manifest: &str) -> Vec<Dependency> {
    let manifest: Table = toml::from_str(manifest).expect("a manifest is TOML");
    let targets = manifest.get("target").and_then(Value::as_table);
    let targets = targets.into_iter().flat_map(Table::values);
    let tables = targets.filter_map(Value::as_table).chain([&manifest]);

    let mut found = Vec::new();
    for table in tables {
        for (section, tests) in [
            ("dependencies", false),
            ("build-dependencies", false),
            ("dev-dependencies", true),
        ] {
            let section = table.get(section).and_then(Value::as_table);
            for (name, value) in section.into_iter().flatten() {
                let package = value.get("package").and_then(Value::as_str);
                found.push(Dependency {
                    package: package.unwrap_or(name).to_owned(),
                    tests,
                    value: value.clone(),
                });
            }
        }
    }
    found
}
