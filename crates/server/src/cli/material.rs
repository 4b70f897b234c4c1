//! Token material from a file or standard input: secrets are never arguments.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use evergrant_proto::v1::TokenMaterial;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::exit::Failure;
use super::wire::to_wire;

const LONGEST: u64 = 1024 * 1024;

/// Where the token material is.
#[derive(Debug, Args)]
pub struct MaterialFile {
    /// Token material as a JSON object, or - for standard input: access_token, refresh_token,
    /// token_type, expires_at (RFC 3339) or expires_in (seconds), refresh_expires_at or refresh_expires_in,
    /// scopes (list) or scope (text), metadata. A token endpoint's own answer fits
    #[arg(long, value_name = "FILE|-")]
    material: Option<PathBuf>,
}

impl MaterialFile {
    /// Reads the material, if any was named. Times in seconds count from `now`.
    pub fn read(&self, now: Timestamp) -> Result<Option<TokenMaterial>, Failure> {
        let Some(path) = &self.material else {
            return Ok(None);
        };
        let text = read_secret("--material", path)?;
        let material =
            parse(&text, now).map_err(|why| Failure::Usage(format!("--material: {why}")))?;
        Ok(Some(material))
    }
}

/// Reads the file that `argument` names, or standard input for `-`.
pub fn read_secret(argument: &str, path: &Path) -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    let read = if path == Path::new("-") {
        std::io::stdin()
            .lock()
            .take(LONGEST)
            .read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(LONGEST).read_to_string(&mut text))
    };
    match read {
        Ok(_) => Ok(text),
        Err(error) => Err(Failure::Usage(format!(
            "{argument} {} cannot be read: {error}",
            path.display()
        ))),
    }
}

/// What the file holds; no `Debug`, since it is all secret.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Material {
    access_token: String,
    refresh_token: String,
    token_type: String,
    expires_at: Option<String>,
    expires_in: Option<u32>,
    refresh_expires_at: Option<String>,
    refresh_expires_in: Option<u32>,
    scopes: Option<Vec<String>>,
    scope: Option<String>,
    metadata: HashMap<String, String>,
    signing_key: Option<serde_json::Value>,
    parameters: HashMap<String, String>,
}

fn parse(text: &str, now: Timestamp) -> Result<TokenMaterial, String> {
    // serde's message may quote what it did not expect, which may be a secret: only the place is told.
    let Material {
        access_token,
        refresh_token,
        token_type,
        expires_at,
        expires_in,
        refresh_expires_at,
        refresh_expires_in,
        scopes,
        scope,
        metadata,
        signing_key,
        parameters,
    } = serde_json::from_str(text).map_err(|error| match error.classify() {
        serde_json::error::Category::Data if error.to_string().starts_with("unknown field") => {
            error.to_string()
        }
        _ => format!(
            "no object of token material at line {} column {}",
            error.line(),
            error.column()
        ),
    })?;
    let scopes = match (scopes, scope) {
        (Some(_), Some(_)) => return Err("scopes and scope exclude each other".into()),
        (Some(scopes), None) => scopes,
        (None, scope) => {
            let scope = scope.unwrap_or_default();
            scope.split_whitespace().map(str::to_owned).collect()
        }
    };
    Ok(TokenMaterial {
        access_token,
        refresh_token,
        token_type,
        expires_at: time("expires", expires_at, expires_in, now)?,
        refresh_expires_at: time(
            "refresh_expires",
            refresh_expires_at,
            refresh_expires_in,
            now,
        )?,
        scopes,
        metadata,
        signing_key: match signing_key {
            None => String::new(),
            Some(serde_json::Value::String(key)) => key,
            // A service account's file, put in as it is.
            Some(file) => file.to_string(),
        },
        parameters,
    })
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
        parse(text, Timestamp::from_second(100).unwrap())
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
                "no object of token material at line 1 column 20",
            ),
        ] {
            assert_eq!(parse_at_100(text).unwrap_err(), why);
        }
        let unknown = parse_at_100(r#"{"acess_token":"hush"}"#).unwrap_err();
        assert!(
            unknown.starts_with("unknown field `acess_token`, expected one of `access_token`"),
            "{unknown}"
        );
    }
}
