//! The rows of the table: what a provider's documents say of a request and of its answers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// All rows of one provider: the file `facts/NAME.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    #[serde(default)]
    pub authorize: Vec<Authorize>,
    #[serde(default)]
    pub exchange: Vec<Exchange>,
}

/// The authorization request: where a user is sent to (RFC 6749 section 4.1.1).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authorize {
    /// Behaviours of prior systems that the row shows.
    #[serde(default)]
    pub ids: Vec<String>,
    /// What is known of the account before: a tenant, a host.
    #[serde(default)]
    pub given: BTreeMap<String, String>,
    /// The scopes that are asked for, in this order.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Without its query.
    pub url: String,
    /// All of it.
    pub query: BTreeMap<String, String>,
}

/// One kind of request, and what the provider may answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// The OAuth grant type, or `device_authorization`, `revoke`, `introspect`, `userinfo`; nothing in `then`.
    #[serde(default)]
    pub grant: String,
    /// Behaviours of prior systems that the row shows.
    #[serde(default)]
    pub ids: Vec<String>,
    /// What the grant brings: metadata of a consent, parameters of a minted grant.
    #[serde(default)]
    pub given: BTreeMap<String, String>,
    /// The scopes that are asked for.
    #[serde(default)]
    pub scopes: Vec<String>,
    pub method: String,
    /// Without its query.
    pub url: String,
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Headers that must not be there.
    #[serde(default)]
    pub absent: Vec<String>,
    pub content_type: Option<String>,
    #[serde(default)]
    pub body: BTreeMap<String, String>,
    /// What the signed assertion holds.
    pub assertion: Option<Assertion>,
    pub answer: Vec<Answer>,
    /// The request that follows an answer which is neither `issued` nor a `verdict`.
    pub then: Option<Box<Exchange>>,
}

/// The header and the claims of an assertion, but for its times and its id.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assertion {
    pub header: BTreeMap<String, String>,
    pub claims: BTreeMap<String, serde_json::Value>,
}

/// One answer, and what it is taken for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    pub status: u16,
    pub json: Option<String>,
    pub form: Option<String>,
    pub html: Option<String>,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Of an answer to `introspect` or `userinfo`: what is then known of the token that was asked about, `asked`.
    pub issued: Option<Issued>,
    /// The codes of an answer to `device_authorization`.
    pub device: Option<Device>,
    /// What a user has decided who was asked on another device, if nothing yet: `pending` or `slow_down`.
    pub waiting: Option<String>,
    /// Whether a token is revoked after an answer to `revoke`.
    #[serde(default)]
    pub revoked: bool,
    pub verdict: Option<String>,
    pub code: Option<String>,
    /// Seconds that the provider asks to wait.
    pub retry_after: Option<u64>,
}

/// The tokens in an answer. What is left out must not be there.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Issued {
    pub access_token: String,
    pub refresh_token: Option<String>,
    /// Seconds from now.
    pub expires_in: Option<u64>,
    /// Seconds from now.
    pub refresh_expires_in: Option<u64>,
    pub token_type: Option<String>,
    pub scopes: Option<Vec<String>>,
    /// What names the account; looked at only where the row says so.
    pub account: Option<String>,
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

/// What a device is told (RFC 8628 section 3.2).
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Device {
    pub device_code: String,
    pub user_code: String,
    pub verification_uri: String,
    pub verification_uri_complete: Option<String>,
    /// Seconds from now.
    pub expires_in: u64,
    /// Seconds between two polls.
    pub interval: u64,
}

impl Answer {
    /// Whether it is a means and no end, which another request is made with.
    pub fn is_passed_over(&self) -> bool {
        !self.is_success() && self.waiting.is_none() && self.verdict.is_none()
    }

    /// Whether it brings what was asked for.
    pub fn is_success(&self) -> bool {
        self.issued.is_some() || self.device.is_some() || self.revoked
    }

    /// Its content type and its body.
    pub fn body(&self) -> (&'static str, &str) {
        match (&self.json, &self.form, &self.html) {
            (Some(json), None, None) => ("application/json", json),
            (None, Some(form), None) => ("application/x-www-form-urlencoded", form),
            (None, None, Some(html)) => ("text/html", html),
            (None, None, None) => ("text/plain", ""),
            _ => panic!("an answer has one body"),
        }
    }
}

impl Exchange {
    /// Its answers and those of the request that follows.
    pub fn answers(&self) -> impl Iterator<Item = &Answer> {
        let then = self.then.iter().flat_map(|then| &then.answer);
        self.answer.iter().chain(then)
    }
}

impl Facts {
    /// The first answer that says whose a token is, if the provider is asked.
    pub fn named(&self) -> Option<&Answer> {
        let row = self.exchange.iter().find(|row| row.grant == "userinfo")?;
        row.answer.iter().find(|answer| answer.is_success())
    }
}

/// All rows by provider.
pub fn all() -> BTreeMap<String, Facts> {
    let mut facts = BTreeMap::new();
    for file in folder().read_dir().expect("the rows lie beside this file") {
        let path = file.expect("the folder can be read").path();
        let name = path.file_stem().expect("a file has a name");
        let text = std::fs::read_to_string(&path).expect("a row can be read");
        let rows =
            toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        facts.insert(name.to_string_lossy().into_owned(), rows);
    }
    facts
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/facts")
}
