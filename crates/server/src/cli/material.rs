//! Token material from a file or standard input: secrets are never arguments.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use evergrant_proto::v1::TokenMaterial;
use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::exit::Failure;
use super::wire::to_wire;

const LONGEST: u64 = 1024 * 1024;

/// Where the token material is.
#[derive(Debug, Args)]
pub struct MaterialFile {
    /// Token material as a JSON object, or - for standard input: access_token, refresh_token,
    /// token_type, expires_at (RFC 3339) or expires_in (seconds), refresh_expires_at or refresh_expires_in,
    /// scopes (list) or scope (text), metadata. A token endpoint's own answer fits. For grants that are minted:
    /// signing_key, parameters (an object of texts), scopes
    #[arg(long, value_name = "FILE|-")]
    material: Option<PathBuf>,
}

impl MaterialFile {
    /// The file that was named.
    pub fn path(&self) -> Option<&Path> {
        self.material.as_deref()
    }

    /// Reads the material, if any was named. Times in seconds count from `now`.
    pub fn read(&self, now: Timestamp) -> Result<Option<TokenMaterial>, Failure> {
        let Some(path) = &self.material else {
            return Ok(None);
        };
        let text = read_secret("--material", path)?;
        let (material, others) =
            parse(&text, now).map_err(|why| Failure::Usage(format!("--material: {why}")))?;
        if !others.is_empty() {
            eprintln!("evergrant: --material: not stored: {}", others.join(", "));
        }
        Ok(Some(material))
    }
}

/// Reads the file that `argument` names, or standard input for `-`.
pub fn read_secret(argument: &str, path: &Path) -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    let read = if path == Path::new("-") {
        std::io::stdin()
            .lock()
            .take(LONGEST + 1)
            .read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_string(&mut text))
    };
    match read {
        Ok(_) if text.len() as u64 > LONGEST => Err(Failure::Usage(format!(
            "{argument} {} is larger than 1 MiB",
            path.display()
        ))),
        Ok(_) => Ok(text),
        Err(error) => Err(Failure::Usage(format!(
            "{argument} {} cannot be read: {error}",
            path.display()
        ))),
    }
}

/// The material, and the fields that are none: a token endpoint's answer has more than is stored.
///
/// No message quotes a value, which may be a secret.
fn parse(text: &str, now: Timestamp) -> Result<(TokenMaterial, Vec<String>), String> {
    let mut object: Map<String, Value> = serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        format!("no object of token material at line {line} column {column}")
    })?;
    let fields = &mut object;
    let scopes: Option<Vec<String>> = take(fields, "scopes", "a list of texts")?;
    let scope: Option<String> = take(fields, "scope", "a text")?;
    let scopes = match (scopes, scope) {
        (Some(_), Some(_)) => return Err("scopes and scope exclude each other".into()),
        (Some(scopes), None) => scopes,
        (None, scope) => {
            let scope = scope.unwrap_or_default();
            scope.split_whitespace().map(str::to_owned).collect()
        }
    };
    let material = TokenMaterial {
        access_token: take(fields, "access_token", "a text")?.unwrap_or_default(),
        refresh_token: take(fields, "refresh_token", "a text")?.unwrap_or_default(),
        token_type: take(fields, "token_type", "a text")?.unwrap_or_default(),
        expires_at: take_time(fields, "expires", now)?,
        refresh_expires_at: take_time(fields, "refresh_expires", now)?,
        scopes,
        metadata: take(fields, "metadata", "an object of texts")?.unwrap_or_default(),
        signing_key: match fields.remove("signing_key") {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(key)) => key,
            // A service account's file, put in as it is.
            Some(file) => file.to_string(),
        },
        parameters: take(fields, "parameters", "an object of texts")?.unwrap_or_default(),
    };
    Ok((material, object.into_iter().map(|(name, _)| name).collect()))
}

fn take<T: DeserializeOwned>(
    fields: &mut Map<String, Value>,
    name: &str,
    form: &str,
) -> Result<Option<T>, String> {
    let value = fields.remove(name).unwrap_or(Value::Null);
    serde_json::from_value(value).map_err(|_| format!("{name} must be {form}"))
}

/// The time of `<name>_at`, or so many seconds from now as `<name>_in` says.
fn take_time(
    fields: &mut Map<String, Value>,
    name: &str,
    now: Timestamp,
) -> Result<Option<prost_types::Timestamp>, String> {
    let at: Option<String> = take(fields, &format!("{name}_at"), "a time in RFC 3339")?;
    let form = "a whole number of seconds";
    let seconds: Option<u32> = take(fields, &format!("{name}_in"), form)?;
    time(name, at, seconds, now)
}

fn time(
    name: &str,
    at: Option<String>,
    in_seconds: Option<u32>,
    now: Timestamp,
) -> Result<Option<prost_types::Timestamp>, String> {
    let time = match (at, in_seconds) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return Err(format!("{name}_at and {name}_in exclude each other")),
        (Some(at), None) => at.parse().map_err(|_| {
            format!("{name}_at must be a time in RFC 3339, such as 2030-01-31T12:00:00Z")
        })?,
        (None, Some(seconds)) => now
            .checked_add(SignedDuration::from_secs(seconds.into()))
            .map_err(|_| format!("{name}_in is too long"))?,
    };
    Ok(Some(to_wire(time)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_at_100(text: &str) -> Result<TokenMaterial, String> {
        parse(text, Timestamp::from_second(100).unwrap()).map(|(material, _)| material)
    }

    #[test]
    fn an_answer_of_a_token_endpoint_is_material() {
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
}
