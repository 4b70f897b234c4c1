//! The sandbox, and clients of every provider that it plays.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use evergrant_core::clock::{Clock, Timestamp};
use evergrant_core::ids::{ClientKey, ClientName};
use evergrant_core::provider::{CallError, Limits, Verdict};
use evergrant_providers::catalogue::Entry;
use evergrant_providers::sandbox::{Control, GrantSpec, Sandbox, SandboxOptions};
use evergrant_providers::{Catalogue, HttpProviders, OAuthClient};
use tokio_util::sync::CancellationToken;

use super::Played;

pub const PATIENCE: Duration = Duration::from_secs(10);
pub const CLIENT_ID: &str = "sandbox";
/// What reads otherwise when it is form-encoded once too often or too seldom.
const SECRET: &str = "s+c r%65t:&=";

/// Stands at when the sandbox began, since assertions are held against the sandbox's own clock.
#[derive(Clone, Copy)]
pub struct Start(Timestamp);

impl Clock for Start {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// When the sandbox has its first entry in its ledger.
fn start(sandbox: &Sandbox) -> Start {
    let control = sandbox.control();
    control.create_grant(GrantSpec::default()).unwrap();
    Start(Timestamp::from_millis(control.ledger().entries[0].wall_ms))
}

/// Private keys in PEM.
pub struct Keys {
    /// Registered with the sandbox.
    pub known: String,
    pub unknown: String,
}

pub struct Stage {
    pub providers: HttpProviders,
    pub clock: Start,
    sandbox: Sandbox,
    pub keys: Keys,
    pub http: reqwest::Client,
    stop: CancellationToken,
}

impl Stage {
    #[expect(
        clippy::disallowed_methods,
        reason = "the user's browser is not the product's client"
    )]
    pub async fn start() -> Self {
        let stop = CancellationToken::new();
        let sandbox = Sandbox::start(SandboxOptions::default(), stop.clone()).await;
        let sandbox = sandbox.unwrap();
        let clock = start(&sandbox);
        let (known, public) = key();
        let stage = Self {
            providers: engine(&sandbox, clock),
            clock,
            sandbox,
            keys: Keys {
                known,
                unknown: key().0,
            },
            http: reqwest::Client::builder()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .timeout(PATIENCE)
                .build()
                .unwrap(),
            stop,
        };
        stage.restore_secret();
        for issuer in [CLIENT_ID, "robot@sandbox.example"] {
            stage.control().set_client_key(issuer, &public).unwrap();
        }
        stage
    }

    pub fn control(&self) -> Control {
        self.sandbox.control()
    }

    pub fn change_secret(&self) {
        self.control()
            .set_client(CLIENT_ID, &["another".to_owned()]);
    }

    pub fn restore_secret(&self) {
        self.control().set_client(CLIENT_ID, &[SECRET.to_owned()]);
    }

    /// Whether an access token opens the sandbox's resource.
    pub async fn is_good(&self, access_token: &str) -> bool {
        let url = format!("{}/resource", self.sandbox.base_url());
        let answer = self.http.get(url).bearer_auth(access_token).send().await;
        answer.unwrap().status().is_success()
    }

    /// The provider, and the client of it that the sandbox knows.
    pub fn play<'s>(&'s self, entry: &'s Entry) -> Played<'s> {
        Played {
            stage: self,
            entry,
            client: ClientKey {
                provider: entry.name.clone(),
                client: ClientName::parse(entry.name.as_str()).unwrap(),
            },
        }
    }
}

/// The real client, with the entries that the sandbox gives out.
fn engine(sandbox: &Sandbox, clock: Start) -> HttpProviders {
    let mut catalogue = Catalogue::empty();
    let mut clients = Vec::new();
    for entry in Catalogue::builtin().iter() {
        let name = entry.name.as_str();
        let text = sandbox.control().catalogue_entry_as(name, name).unwrap();
        catalogue
            .add(&text, name)
            .unwrap_or_else(|error| panic!("{error}\n{text}"));
        clients.push(OAuthClient {
            name: ClientName::parse(name).unwrap(),
            provider: entry.name.clone(),
            client_id: CLIENT_ID.to_owned(),
            client_secrets: vec![SECRET.into()],
            private_key: None,
            key_id: None,
            redirect_uris: vec!["http://127.0.0.1:9/callback".to_owned()],
            parameters: BTreeMap::new(),
            alternates: Vec::new(),
            limits: Limits::default(),
        });
    }
    HttpProviders::new(Arc::new(catalogue), clients, Arc::new(clock)).unwrap()
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A private key and its public half, in PEM.
fn key() -> (String, String) {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let private: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    let pem = |label: &str, der: &[u8]| {
        let text = STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
    };
    (
        pem("PRIVATE KEY", private.as_ref()),
        pem("PUBLIC KEY", public.as_ref()),
    )
}

/// Puts what went wrong behind what was tried.
pub fn fails<E: Debug>(what: &'static str) -> impl FnOnce(E) -> String {
    move |error| format!("{what}: {error:?}")
}

/// Whether a refusal is in the provider's own words, if its entry has any for what happened.
pub fn in_own_words(entry: &Entry, error: &CallError) -> Result<(), String> {
    let mut own = entry.errors.values();
    if own.any(|it| it.verdict == error.verdict) && !entry.errors.contains_key(&error.code) {
        return Err(format!("the provider does not say {}", error.code));
    }
    Ok(())
}

/// Whether a call failed, and with this verdict.
pub fn verdict<T: Debug>(
    what: &str,
    outcome: Result<T, CallError>,
    wanted: Verdict,
) -> Result<(), String> {
    match outcome {
        Err(error) if error.verdict == wanted => Ok(()),
        other => Err(format!("{what}: {other:?}")),
    }
}
