use clap::Parser;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    file: MaterialFile,
}

fn line(arguments: &[&str]) -> Result<Line, clap::Error> {
    Line::try_parse_from([&["line"], arguments].concat())
}

fn read(arguments: &[&str]) -> Result<Option<TokenMaterial>, String> {
    let line = line(arguments).unwrap();
    let read = line.file.read(Timestamp::UNIX_EPOCH);
    read.map_err(|failure| failure.to_string())
}

fn parse_at_100(text: &str) -> Result<TokenMaterial, String> {
    parse(text, Timestamp::from_second(100).unwrap()).map(|(material, _)| material)
}

#[test]
fn tokens_are_named_as_the_standard_names_them() {
    let material = parse_at_100(
        r#"{"access_token":"a","refresh_token":"r","token_type":"Bearer","expires_in":3600,"scope":"x y"}"#,
    )
    .unwrap();
    assert_eq!(material.access_token, "a");
    assert_eq!(material.refresh_token, "r");
    assert_eq!(material.scopes, ["x", "y"]);
    assert_eq!(material.expires_at.unwrap().seconds, 3_700);
}

#[test]
fn times_lists_and_a_service_account_file_are_taken() {
    let material = parse_at_100(
        r#"{"expires_at":"1970-01-01T01:00:00+01:00","scopes":["x"],"metadata":{"team_id":"T"},
            "signing_key":{"type":"service_account"},"parameters":{"subject":"s"}}"#,
    )
    .unwrap();
    assert_eq!(material.expires_at.unwrap().seconds, 0);
    assert_eq!(material.signing_key, r#"{"type":"service_account"}"#);
    assert_eq!(material.metadata["team_id"], "T");
    assert_eq!(material.parameters["subject"], "s");
}

#[test]
fn a_mistake_is_told_without_the_secret() {
    for (text, why) in [
        (
            r#"{"access_token":"hush","expires_at":"x","expires_in":1}"#,
            "expires_at and expires_in exclude each other",
        ),
        (
            r#"{"scopes":[],"scope":""}"#,
            "scopes and scope exclude each other",
        ),
        (
            r#"{"expires_at":"hush"}"#,
            "expires_at must be a time in RFC 3339, such as 2030-01-31T12:00:00Z",
        ),
        (
            r#""hush""#,
            "no object of token material at line 1 column 6",
        ),
        (
            r#"{"expires_in":"hush"}"#,
            "expires_in must be a whole number of seconds",
        ),
        (
            r#"{"expires_in":-5}"#,
            "expires_in must be a whole number of seconds",
        ),
        (
            r#"{"access_token":["hush"]}"#,
            "access_token must be a text",
        ),
    ] {
        assert_eq!(parse_at_100(text).unwrap_err(), why);
    }
}

#[test]
fn a_file_of_more_than_a_mebibyte_is_told_as_such() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "x".repeat(1024 * 1024 + 1)).unwrap();
    let error = read_secret("--material", file.path()).unwrap_err();
    let expected = format!("--material {} is larger than 1 MiB", file.path().display());
    assert_eq!(error.to_string(), expected);
    std::fs::write(file.path(), "x".repeat(1024 * 1024)).unwrap();
    assert!(read_secret("--material", file.path()).is_ok());
}

#[test]
fn what_is_not_stored_is_named() {
    let text = r#"{"ok":true,"access_token":"a","id_token":"hush","team":{"id":"T"}}"#;
    let (material, others) = parse(text, Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(material.access_token, "a");
    assert_eq!(others, ["id_token", "ok", "team"]);
}

#[test]
fn what_a_provider_answered_goes_to_the_server_as_it_came() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = "{\"ok\":true, \"authed_user\":{\"access_token\":\"a\"}}\n";
    std::fs::write(file.path(), text).unwrap();
    let path = file.path().to_str().unwrap();
    let arguments = ["--token-response", path, "--placeholder", "shop=acme"];
    let material = read(&arguments).unwrap().unwrap();
    assert_eq!(material.token_response, text);
    assert_eq!(material.metadata["shop"], "acme");
    assert_eq!(material.access_token, "");

    std::fs::write(file.path(), " \n").unwrap();
    let why = read(&["--token-response", path]).unwrap_err();
    assert_eq!(why, format!("--token-response {path} is empty"));
    let both = line(&["--token-response", path, "--material", path]);
    assert!(both.is_err_and(|error| error.kind() == clap::error::ErrorKind::ArgumentConflict));
}

#[test]
fn a_placeholder_needs_no_file_and_is_named_once() {
    let material = read(&["--placeholder", "shop=acme"]).unwrap().unwrap();
    assert_eq!(material.metadata["shop"], "acme");
    let why = read(&["--placeholder", "shop=a", "--placeholder", "shop=b"]);
    assert_eq!(why.unwrap_err(), "--placeholder: shop is given twice");
    assert_eq!(read(&[]).unwrap(), None);
}
