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
use super::wire::{parse_pair, to_wire};

const LONGEST: u64 = 1024 * 1024;

/// Where the token material is.
#[derive(Debug, Args)]
pub struct MaterialFile {
    /// Tokens by name, a JSON object in a file, or - for standard input: access_token, refresh_token, token_type,
    /// expires_at (RFC 3339) or expires_in (seconds), refresh_expires_at or refresh_expires_in, scopes (list) or scope
    /// (text), metadata. For grants that are minted: signing_key, parameters (an object of texts), scopes. What a
    /// provider answered is for --token-response
    #[arg(long, value_name = "FILE|-")]
    material: Option<PathBuf>,
    /// What the provider's token endpoint answered when the user consented, as it came, in a file, or - for standard
    /// input. The server reads it with the provider's catalogue entry, as the answer of this moment
    #[arg(long, value_name = "FILE|-", conflicts_with = "material")]
    token_response: Option<PathBuf>,
    /// A value that the provider's URLs need, e.g. shop, kept with the tokens as metadata; may be given several times. A
    /// grant that is minted takes it as --parameter
    #[arg(long = "placeholder", value_parser = parse_pair, value_name = "KEY=VALUE")]
    placeholders: Vec<(String, String)>,
}

impl MaterialFile {
    /// The file that was named.
    pub fn path(&self) -> Option<&Path> {
        let path = self.material.as_deref();
        path.or(self.token_response.as_deref())
    }

    /// Reads the material, if any was named. Times in seconds count from `now`.
    pub fn read(&self, now: Timestamp) -> Result<Option<TokenMaterial>, Failure> {
        let mut material = match (&self.material, &self.token_response) {
            (None, None) if self.placeholders.is_empty() => return Ok(None),
            (None, None) => TokenMaterial::default(),
            (Some(path), _) => read_named(path, now)?,
            (None, Some(path)) => read_answer(path)?,
        };
        for (name, value) in &self.placeholders {
            let before = material.metadata.insert(name.clone(), value.clone());
            if before.is_some() {
                let why = format!("--placeholder: {name} is given twice");
                return Err(Failure::Usage(why));
            }
        }
        Ok(Some(material))
    }
}

fn read_named(path: &Path, now: Timestamp) -> Result<TokenMaterial, Failure> {
    let text = read_secret("--material", path)?;
    let (material, others) =
        parse(&text, now).map_err(|why| Failure::Usage(format!("--material: {why}")))?;
    if !others.is_empty() {
        eprintln!(
            "evergrant: --material: not stored: {}; --token-response takes what a provider answered as it came",
            others.join(", ")
        );
    }
    Ok(material)
}

/// What it means is for the server to say, which knows the provider.
fn read_answer(path: &Path) -> Result<TokenMaterial, Failure> {
    let text = read_secret("--token-response", path)?;
    if text.trim().is_empty() {
        let why = format!("--token-response {} is empty", path.display());
        return Err(Failure::Usage(why));
    }
    Ok(TokenMaterial {
        token_response: text.to_string(),
        ..TokenMaterial::default()
    })
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

/// The material, and the fields that are none.
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
        token_response: String::new(),
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
mod tests;
