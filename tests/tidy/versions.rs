//! What is linked: one copy of what must be shared, and one provider of cryptography.

use std::process::Command;

use toml::{Table, Value};

use crate::repository::{assert_tidy, read, top};

/// Of these, two copies would not understand each other's types, or not compile.
const ONE_COPY: [&str; 9] = [
    "axum", "h2", "hyper", "prost", "reqwest", "rustls", "sqlx", "tonic", "tower",
];

/// rustls cannot choose between two providers, and nothing here may link OpenSSL.
const BANNED: [&str; 2] = ["openssl-sys", "ring"];

#[test]
fn what_must_be_shared_is_there_once() {
    let lockfile = read("Cargo.lock").expect("the lockfile is committed");
    assert_tidy(&copies(&lockfile));
}

/// The lockfile also lists what no feature turns on, so this asks for the graph that is built.
#[test]
fn cryptography_has_one_provider() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--workspace", "--locked", "--offline"])
        .args([
            "--prefix",
            "none",
            "--format",
            "{p}",
            "--edges",
            "normal,build,dev",
        ])
        .current_dir(top())
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let graph = String::from_utf8(output.stdout).expect("cargo prints UTF-8");
    assert!(graph.contains("aws-lc-rs v"), "the graph is not complete");
    assert_tidy(&banned(&graph));
}

#[test]
fn a_second_copy_is_found() {
    let lockfile =
        ONE_COPY.map(|name| format!("[[package]]\nname = \"{name}\"\nversion = \"1.0.0\"\n"));
    let once = lockfile.concat();
    assert!(copies(&once).is_empty());
    let twice = format!("{once}[[package]]\nname = \"tonic\"\nversion = \"2.0.0\"\n");
    assert_eq!(copies(&twice), ["tonic is there 2 times: 1.0.0, 2.0.0"]);
    let gone = once.replace("\"tonic\"", "\"tonic2\"");
    assert_eq!(copies(&gone).len(), 1);
}

#[test]
fn a_banned_package_is_found() {
    let graph = "evergrant v0.1.0 (/src)\nring v0.17.14\nstring v1.0.0\nopenssl-sys v0.9.0\n";
    assert_eq!(banned(graph).len(), 2);
    assert!(banned("evergrant v0.1.0 (/src)\nopenssl-probe v0.2.2\n").is_empty());
}

fn copies(lockfile: &str) -> Vec<String> {
    let lockfile: Table = toml::from_str(lockfile).expect("the lockfile is TOML");
    let packages = lockfile["package"].as_array().expect("it lists packages");
    let versions_of = |wanted: &str| -> Vec<&str> {
        packages
            .iter()
            .filter(|package| package["name"].as_str() == Some(wanted))
            .filter_map(|package| package.get("version").and_then(Value::as_str))
            .collect()
    };
    ONE_COPY
        .into_iter()
        .map(|name| (name, versions_of(name)))
        .filter(|(_, versions)| versions.len() != 1)
        .map(|(name, versions)| {
            let count = versions.len();
            format!("{name} is there {count} times: {}", versions.join(", "))
        })
        .collect()
}

fn banned(graph: &str) -> Vec<String> {
    let named = |line: &&str| BANNED.contains(&line.split(' ').next().unwrap_or_default());
    let found = graph.lines().filter(named);
    found.map(|line| format!("{line} is banned")).collect()
}
