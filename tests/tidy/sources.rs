//! What may stand in which file.

use crate::repository::{TextFile, assert_tidy, files};

const LINES_AT_MOST: usize = 600;

/// Files that are one long table and are read as such.
const TABLES: [&str; 0] = [];

/// Where gRPC calls are answered, and where the command line makes them.
const GRPC: [&str; 4] = [
    "crates/server/src/grpc.rs",
    "crates/server/src/grpc/",
    "crates/server/src/cli/",
    "crates/proto/src/encoded.rs",
];

/// Where the time of day comes from: the clock port's implementation, and a provider that stands for another party.
const CLOCKS: [&str; 2] = [
    "crates/server/src/clock.rs",
    "crates/providers/src/sandbox/ledger.rs",
];

/// Ways to take the time of day instead of asking the clock port for it.
const WALL_CLOCKS: [&str; 5] = [
    "SystemTime::now",
    "jiff::Timestamp::now",
    "Zoned::now",
    "OffsetDateTime::now_utc",
    "Utc::now",
];

#[test]
fn sources_are_tidy() {
    let sources = files(&[".rs", ".mjs", ".py"]);
    let rules = [status_outside_grpc, wall_clock, too_long, module_file];
    let breaches = rules.map(|rule| sources.iter().filter_map(rule).collect::<Vec<_>>());
    assert_tidy(&breaches.concat());
}

#[test]
fn text_has_no_carriage_returns() {
    let texts = files(&[
        ".proto", ".rs", ".toml", ".md", ".yaml", ".mjs", ".py", ".json",
    ]);
    let breaches: Vec<_> = texts.iter().filter_map(carriage_return).collect();
    assert_tidy(&breaches);
}

#[test]
fn a_status_outside_of_grpc_is_found() {
    for code in [
        "fn f() -> Result<(), tonic::Status> {}",
        "use tonic::Status;",
        "use tonic::{Code, Status};",
        "use tonic::{\n    Code,\n    Status as S,\n};",
    ] {
        assert!(status_outside_grpc(&file("crates/server/src/app.rs", code)).is_some());
        assert!(status_outside_grpc(&file("crates/server/src/grpc/token.rs", code)).is_none());
    }
    for code in [
        "use tonic::{Code, Response};",
        "use tonic::service::{StatusLayer};",
        "// Never a tonic::Status here.",
        "use http::Status;",
    ] {
        assert!(status_outside_grpc(&file("crates/server/src/app.rs", code)).is_none());
    }
}

#[test]
fn a_wall_clock_is_found() {
    let code = "let now = std::time::SystemTime::now();";
    assert!(wall_clock(&file("crates/core/src/cache.rs", code)).is_some());
    assert!(wall_clock(&file("crates/server/src/clock.rs", code)).is_none());
    let comment = "/// Never `SystemTime::now`.";
    assert!(wall_clock(&file("crates/core/src/cache.rs", comment)).is_none());
}

#[test]
fn a_long_file_a_mod_file_and_a_carriage_return_are_found() {
    assert!(too_long(&file("crates/core/src/a.rs", &"\n".repeat(601))).is_some());
    assert!(too_long(&file("crates/core/src/a.rs", &"\n".repeat(600))).is_none());
    assert!(module_file(&file("crates/core/src/a/mod.rs", "")).is_some());
    assert!(module_file(&file("crates/core/src/amod.rs", "")).is_none());
    assert!(carriage_return(&file("proto/a.proto", "syntax\r\n")).is_some());
    assert!(carriage_return(&file("proto/a.proto", "syntax\n")).is_none());
}

/// A gRPC status stays where the wire is; the rest of the product has errors of its own.
fn status_outside_grpc(file: &TextFile) -> Option<String> {
    let concerned = of_the_product(file) && !GRPC.iter().any(|home| file.path.starts_with(home));
    (concerned && names_status(&code(file))).then(|| {
        let path = &file.path;
        format!("{path} names tonic::Status, which belongs to crates/server/src/grpc")
    })
}

fn names_status(code: &str) -> bool {
    code.split("tonic::").skip(1).any(|named| {
        let named = match named.strip_prefix('{') {
            Some(group) => group.split('}').next().unwrap_or_default(),
            None => named
                .split(|c: char| !c.is_alphanumeric() && c != '_')
                .next()
                .unwrap_or_default(),
        };
        named
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .any(|word| word == "Status")
    })
}

/// The time of day is asked of the clock port, so that tests can set it.
fn wall_clock(file: &TextFile) -> Option<String> {
    let concerned = of_the_product(file) && !CLOCKS.contains(&file.path.as_str());
    let code = code(file);
    let taken = WALL_CLOCKS.iter().find(|clock| code.contains(**clock));
    taken.filter(|_| concerned).map(|clock| {
        let path = &file.path;
        format!("{path} takes the time with {clock}; ask the Clock")
    })
}

fn too_long(file: &TextFile) -> Option<String> {
    let lines = file.text.lines().count();
    let path = &file.path;
    (lines > LINES_AT_MOST && !TABLES.contains(&path.as_str()))
        .then(|| format!("{path} has {lines} lines; {LINES_AT_MOST} are enough"))
}

fn module_file(file: &TextFile) -> Option<String> {
    let path = &file.path;
    path.ends_with("/mod.rs")
        .then(|| format!("{path} has the name of all modules; call it after what it holds"))
}

fn carriage_return(file: &TextFile) -> Option<String> {
    let path = &file.path;
    file.text
        .contains('\r')
        .then(|| format!("{path} has carriage returns"))
}

fn of_the_product(file: &TextFile) -> bool {
    file.path.starts_with("src/") || file.path.starts_with("crates/")
}

/// The text without the lines that are comments.
fn code(file: &TextFile) -> String {
    let lines = file.text.lines();
    let code = lines.filter(|line| !line.trim_start().starts_with("//"));
    code.collect::<Vec<_>>().join("\n")
}

fn file(path: &str, text: &str) -> TextFile {
    TextFile {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}
