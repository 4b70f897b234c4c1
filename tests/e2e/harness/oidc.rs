//! A certified OAuth server, npm's `oidc-provider`, as the provider of a test.
//!
//! It rotates refresh tokens at each use and revokes the whole family when one is used twice.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::http;
use super::process::Process;
use super::python;

const READY_WITHIN: Duration = Duration::from_secs(20);
const CLIENT_ID: &str = "evergrant";

/// How the server behaves.
#[derive(Debug, Clone)]
pub struct OidcOptions {
    /// Lifetime of access tokens, in whole seconds.
    pub access_token_ttl: Duration,
    /// Lifetime of each refresh token, in whole seconds.
    pub refresh_token_ttl: Duration,
    /// How long an exchange takes between reading the refresh token and using it up.
    pub exchange_time: Duration,
    /// Keeps tokens in the stock adapter, whose use of a refresh token is not atomic: of concurrent exchanges, all may
    /// succeed.
    pub racy: bool,
}

impl Default for OidcOptions {
    fn default() -> Self {
        Self {
            access_token_ttl: Duration::from_secs(60),
            refresh_token_ttl: Duration::from_secs(86_400),
            exchange_time: Duration::ZERO,
            racy: false,
        }
    }
}

/// Endpoints that stand in for the server's own.
#[derive(Debug, Clone)]
pub struct Elsewhere {
    pub token_url: String,
    pub jwks_url: String,
}

/// A running OAuth server with one confidential client. It ends when dropped.
pub struct OidcProvider {
    // Ends the server when dropped.
    _process: Process,
    http: reqwest::Client,
    base_url: String,
    client_secret: String,
}

/// A grant and its first tokens, as if a user had just consented.
#[derive(Debug, Clone, Deserialize)]
pub struct IssuedGrant {
    /// The server's name of the grant, as in the ledger.
    pub grant_id: String,
    pub access_token: String,
    pub refresh_token: String,
    /// Seconds until the access token expires.
    pub expires_in: u64,
}

/// The answer of the token endpoint.
#[derive(Debug, Clone, Deserialize)]
pub struct TokenAnswer {
    pub access_token: String,
    pub refresh_token: Option<String>,
}

/// An error answer of the token endpoint (RFC 6749 section 5.2).
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
pub struct TokenError {
    pub error: String,
}

/// What the server has seen.
#[derive(Debug, Clone, Deserialize)]
pub struct Ledger {
    /// How often each event came.
    pub counts: BTreeMap<String, u64>,
    /// All events in order.
    pub entries: Vec<LedgerEntry>,
}

/// One event: `grant.success`, `grant.error`, `grant.revoked`, `refresh_token.consumed` or `server_error`. Tokens are
/// given as SHA-256 in hex.
#[derive(Debug, Clone, Deserialize)]
pub struct LedgerEntry {
    pub event: String,
    pub grant_id: Option<String>,
    /// The refresh token that came.
    pub presented: Option<String>,
    /// The refresh token that was given for it.
    pub issued: Option<String>,
    /// The error code, of `grant.error`.
    pub error: Option<String>,
}

impl Ledger {
    /// How often `event` came.
    pub fn count(&self, event: &str) -> u64 {
        self.counts.get(event).copied().unwrap_or(0)
    }
}

impl OidcProvider {
    /// Starts a server and waits until it serves.
    pub async fn start(options: OidcOptions) -> Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/node");
        ensure!(
            folder.join("node_modules").exists(),
            "the packages of tests/e2e/node are missing; scripts/test installs them"
        );
        let client_secret = "first-secret";
        let mut command = Command::new(python::program_or_system("node"));
        command
            .current_dir(folder)
            .arg("oidc-provider.mjs")
            .args(["--client-id", CLIENT_ID, "--client-secret", client_secret])
            .arg("--access-token-ttl")
            .arg(options.access_token_ttl.as_secs().to_string())
            .arg("--refresh-token-ttl")
            .arg(options.refresh_token_ttl.as_secs().to_string())
            .arg("--account-delay-ms")
            .arg(options.exchange_time.as_millis().to_string());
        if options.racy {
            command.arg("--racy");
        }
        let mut process = Process::spawn("oidc-provider", command)?;
        let base_url = process
            .line(READY_WITHIN, |line| {
                line.strip_prefix("oidc ready ").map(str::to_owned)
            })
            .await?;
        Ok(Self {
            _process: process,
            http: http::client(),
            base_url,
            client_secret: client_secret.to_owned(),
        })
    }

    /// A catalogue entry for this server, as TOML.
    pub fn catalogue_entry(&self, name: &str) -> String {
        let base_url = &self.base_url;
        format!(
            r#"name = "{name}"
token_url = "{base_url}/token"
revoke_url = "{base_url}/token/revocation"
sources = ["tests/e2e/node/oidc-provider.mjs"]

[rotation]
mode = "single_use"
"#
        )
    }

    /// A catalogue entry for this server with which users can consent, as TOML; the token endpoint and the keys are
    /// those of `elsewhere` if it is there.
    pub fn consent_entry(&self, name: &str, elsewhere: Option<Elsewhere>) -> String {
        let base_url = &self.base_url;
        let Elsewhere {
            token_url,
            jwks_url,
        } = elsewhere.unwrap_or_else(|| Elsewhere {
            token_url: self.token_url(),
            jwks_url: format!("{base_url}/jwks"),
        });
        format!(
            r#"name = "{name}"
token_url = "{token_url}"
authorize_url = "{base_url}/auth"
device_url = "{base_url}/device/auth"
sources = ["tests/e2e/node/oidc-provider.mjs"]
grant_types = ["authorization_code", "device_code", "static"]

[authorize.parameters]
prompt = "consent"

[openid]
issuer = "{base_url}"
jwks_url = "{jwks_url}"

[rotation]
mode = "single_use"
"#
        )
    }

    /// The token endpoint.
    pub fn token_url(&self) -> String {
        format!("{}/token", self.base_url)
    }

    /// The id of the OAuth client.
    pub fn client_id(&self) -> &str {
        CLIENT_ID
    }

    /// The secret of the OAuth client that the server accepts now.
    pub fn client_secret(&self) -> &str {
        &self.client_secret
    }

    /// Makes a grant with its first tokens, as if a user had consented.
    pub async fn issue_grant(&self) -> Result<IssuedGrant> {
        self.control("POST", "grants", json!({})).await
    }

    /// Makes an authorization code for `redirect_uri`, bound to the SHA-256 `code_challenge` if there is one.
    pub async fn issue_code(
        &self,
        redirect_uri: &str,
        code_challenge: Option<&str>,
    ) -> Result<String> {
        let wanted = json!({ "redirect_uri": redirect_uri, "code_challenge": code_challenge });
        let answer: Value = self.control("POST", "codes", wanted).await?;
        let code = answer["code"].as_str().context("there is no code")?;
        Ok(code.to_owned())
    }

    /// Withdraws a user's consent: all tokens of the grant are dead.
    pub async fn revoke_grant(&self, grant_id: &str) -> Result<()> {
        let path = format!("grants/{grant_id}/revoke");
        self.control("POST", &path, json!({}))
            .await
            .map(|_: Value| ())
    }

    /// Changes the secret of the OAuth client; the old one is refused from now on.
    pub async fn change_client_secret(&mut self, secret: &str) -> Result<()> {
        let path = format!("clients/{CLIENT_ID}");
        let _: Value = self
            .control("PUT", &path, json!({ "client_secret": secret }))
            .await?;
        secret.clone_into(&mut self.client_secret);
        Ok(())
    }

    /// What the server has seen so far.
    pub async fn ledger(&self) -> Result<Ledger> {
        self.control("GET", "ledger", Value::Null).await
    }

    /// Exchanges a refresh token, as a client of the server would.
    pub async fn refresh(&self, refresh_token: &str) -> Result<Result<TokenAnswer, TokenError>> {
        self.refresh_with_secret(refresh_token, &self.client_secret)
            .await
    }

    /// The same with a secret of the test's choice.
    pub async fn refresh_with_secret(
        &self,
        refresh_token: &str,
        secret: &str,
    ) -> Result<Result<TokenAnswer, TokenError>> {
        let parameters = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
        ];
        self.exchange(secret, &parameters).await
    }

    /// Exchanges an authorization code, as a client of the server would.
    pub async fn redeem_code(
        &self,
        code: &str,
        redirect_uri: &str,
    ) -> Result<Result<TokenAnswer, TokenError>> {
        let parameters = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect_uri),
        ];
        self.exchange(&self.client_secret, &parameters).await
    }

    /// Whether the server still accepts an access token (RFC 7662).
    pub async fn is_active(&self, access_token: &str) -> Result<bool> {
        let parameters = [("token", access_token)];
        let answer = self
            .post("/token/introspection", &self.client_secret, &parameters)
            .await?;
        let facts: Value = answer.error_for_status()?.json().await?;
        facts["active"].as_bool().context("introspection failed")
    }

    async fn exchange(
        &self,
        secret: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Result<TokenAnswer, TokenError>> {
        let answer = self.post("/token", secret, parameters).await?;
        if answer.status().is_success() {
            Ok(Ok(answer.json().await?))
        } else {
            Ok(Err(answer.json().await?))
        }
    }

    async fn post(
        &self,
        path: &str,
        secret: &str,
        parameters: &[(&str, &str)],
    ) -> Result<reqwest::Response> {
        let mut form = vec![("client_id", CLIENT_ID), ("client_secret", secret)];
        form.extend(parameters);
        let url = format!("{}{path}", self.base_url);
        Ok(self.http.post(url).form(&form).send().await?)
    }

    async fn control<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: Value,
    ) -> Result<T> {
        let url = format!("{}/control/{path}", self.base_url);
        let mut request = self.http.request(method.parse()?, url);
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "{method} {path}: {status}: {text}");
        serde_json::from_str(&text).with_context(|| format!("{method} {path} answered {text}"))
    }
}
