//! Makes the real HTTP client ask the stand-in what a row describes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{self, KeySize};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use evergrant_core::ageing::Dates;
use evergrant_core::clock::{Clock, Timestamp};
use evergrant_core::grant::{Attempts, Grant, GrantFacts, GrantState, GrantType, Means, TokenSet};
use evergrant_core::ids::{ClientKey, ClientName, Generation, GrantId, ProviderName, TenantId};
use evergrant_core::provider::{CallError, Issued, Providers};
use evergrant_core::secret::{AccessToken, Parameter, RefreshToken, SigningKey};
use evergrant_providers::catalogue::{Entry, GrantKind, SigningAlgorithm};
use evergrant_providers::engine::{TokenResponse, Unreadable};
use evergrant_providers::{
    Catalogue, CodeExchange, Consented, DevicePoll, HttpProviders, Network, OAuthClient,
};

use crate::facts::{Answer, Exchange};
use crate::provider::{Provider, Seen};

/// When the table is held against the program: the first second of 2026.
pub const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

const REDIRECT_URI: &str = "https://app.example/callback";
const PATIENCE: Duration = Duration::from_secs(10);
/// Where a request is repeated until its time is over.
const LITTLE_PATIENCE: Duration = Duration::from_secs(3);
/// Fields of the JSON file that a service account's key comes in.
const SERVICE_ACCOUNT_FIELDS: [&str; 2] = ["client_email", "private_key_id"];

/// The stand-in for all providers, and keys to sign with.
pub struct Bench {
    pub provider: Provider,
    catalogue: Arc<Catalogue>,
    rsa: String,
    elliptic: String,
}

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        NOW
    }
}

impl Bench {
    pub async fn start() -> Self {
        let rsa = rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
        let elliptic = rcgen::KeyPair::generate().unwrap();
        Self {
            provider: Provider::start().await,
            catalogue: Arc::new(Catalogue::builtin()),
            rsa: pem("PRIVATE KEY", rsa.as_der().unwrap().as_ref()),
            elliptic: elliptic.serialize_pem(),
        }
    }

    /// A client of `provider` that knows no other network than the stand-in's.
    pub fn asker(&self, provider: &str, row: &Exchange) -> Asker {
        let entry = self
            .catalogue
            .get(&ProviderName::parse(provider).unwrap())
            .unwrap_or_else(|| panic!("no entry {provider}"))
            .clone();
        let key = self.key(&entry, row);
        let config = OAuthClient {
            name: ClientName::parse("main").unwrap(),
            provider: entry.name.clone(),
            client_id: "id".to_owned(),
            client_secrets: vec!["secret".into()],
            private_key: Some(key.clone().into()),
            key_id: None,
            redirect_uris: vec![REDIRECT_URI.to_owned()],
            parameters: BTreeMap::new(),
            alternates: Vec::new(),
            limits: evergrant_core::provider::Limits::default(),
        };
        let client = ClientKey {
            provider: entry.name.clone(),
            client: config.name.clone(),
        };
        let network = Network {
            address: self.provider.address,
            authority: self.provider.authority.clone(),
        };
        let clock = Arc::new(Fixed);
        let providers = HttpProviders::new(Arc::clone(&self.catalogue), vec![config], clock);
        Asker {
            providers: providers.unwrap().through(&network).unwrap(),
            entry,
            client,
            key,
        }
    }

    /// The private key that suits the entry, in a service-account file where the row tells of one.
    fn key(&self, entry: &Entry, row: &Exchange) -> String {
        let facts = entry.assertion.as_ref().unwrap_or(&entry.client_assertion);
        let pem = match facts.algorithm {
            SigningAlgorithm::Rs256 | SigningAlgorithm::Ps256 => &self.rsa,
            SigningAlgorithm::Es256 | SigningAlgorithm::Es384 => &self.elliptic,
        };
        let mut file = serde_json::Map::new();
        for field in SERVICE_ACCOUNT_FIELDS {
            if let Some(value) = row.given.get(field) {
                file.insert(field.to_owned(), value.as_str().into());
            }
        }
        if file.is_empty() {
            return pem.clone();
        }
        file.insert("private_key".to_owned(), pem.as_str().into());
        serde_json::Value::Object(file).to_string()
    }
}

/// What an answer has brought.
pub struct Brought {
    pub issued: Issued,
    /// What names the account at the provider, if a consent was asked for.
    pub account: Option<String>,
}

/// The real client of one provider.
pub struct Asker {
    providers: HttpProviders,
    entry: Arc<Entry>,
    client: ClientKey,
    key: String,
}

impl Asker {
    /// Asks for what the row describes.
    pub async fn perform(&self, row: &Exchange) -> Result<Brought, CallError> {
        let Self {
            providers, client, ..
        } = self;
        match row.grant.as_str() {
            "authorization_code" => {
                let exchange = CodeExchange {
                    client,
                    code: "the-code",
                    redirect_uri: REDIRECT_URI,
                    code_verifier: Some("the-verifier"),
                    nonce: None,
                    placeholders: &row.given,
                };
                let patience = row.then.as_ref().map_or(PATIENCE, |_| LITTLE_PATIENCE);
                let consented = providers.exchange_code(&exchange, patience).await;
                consented.map(|consented| brought(consented, &row.given))
            }
            "device_code" => {
                let poll = providers
                    .poll_device(client, "the-device-code", &row.given, PATIENCE)
                    .await?;
                match poll {
                    DevicePoll::Consented(consented) => Ok(brought(*consented, &row.given)),
                    waiting => panic!("a row of {} describes {waiting:?}", self.entry.name),
                }
            }
            _ => {
                let grant = grant(client.clone(), row, self.key.clone());
                let issued = providers.refresh(&grant, PATIENCE).await?;
                Ok(Brought {
                    issued,
                    account: None,
                })
            }
        }
    }

    /// The tokens of an answer that somebody else got, and brings.
    pub fn bring(&self, row: &Exchange, answer: &Answer) -> Result<Brought, Unreadable> {
        let response = TokenResponse {
            provider: &self.entry.name,
            grant_type: GrantType::AuthorizationCode,
            text: answer.body().1,
            placeholders: &row.given,
        };
        let consented = self.providers.read_token_response(&response, NOW)?;
        Ok(brought(consented, &row.given))
    }

    /// What was sent to the token endpoint. Some providers are asked afterwards how long the token lives.
    pub fn sent(&self, provider: &Provider) -> Vec<Seen> {
        let mut seen = provider.seen();
        if self.entry.introspect_url.is_some() && seen.len() == 2 {
            seen.retain(|request| !request.url.ends_with("/introspect"));
        }
        seen
    }
}

/// The rows that an entry needs: one for each request that it can be asked for.
pub fn grants_that_call(entry: &Entry) -> Vec<&'static str> {
    let has = |kind| entry.grant_types.contains(&kind);
    let consent = has(GrantKind::AuthorizationCode) || has(GrantKind::DeviceCode);
    let wanted = [
        (consent && entry.renewable, "refresh_token"),
        (has(GrantKind::ClientCredentials), "client_credentials"),
        (has(GrantKind::JwtBearer), "jwt_bearer"),
    ];
    wanted
        .into_iter()
        .filter_map(|(wanted, grant)| wanted.then_some(grant))
        .collect()
}

fn grant(client: ClientKey, row: &Exchange, key: String) -> Grant {
    let (grant_type, metadata, means) = match row.grant.as_str() {
        "refresh_token" => (
            GrantType::AuthorizationCode,
            row.given.clone(),
            Means::default(),
        ),
        "client_credentials" => (
            GrantType::ClientCredentials,
            BTreeMap::new(),
            means(row, None),
        ),
        "jwt_bearer" => (GrantType::JwtBearer, BTreeMap::new(), means(row, Some(key))),
        other => panic!("no such grant: {other}"),
    };
    let scopes = row.scopes.iter().cloned();
    Grant {
        facts: GrantFacts {
            id: GrantId::random(),
            parent: None,
            tenant: TenantId::parse("t").unwrap(),
            client,
            account: None,
            grant_type,
            requested_scopes: scopes.collect(),
            generation: Generation::FIRST,
            version: 1,
            state: GrantState::Active,
            // Old enough to be renewed by providers that want a token to have lived a while.
            issued_at: NOW.minus(Duration::from_hours(48)),
            expires_at: None,
            refresh_expires_at: None,
            refreshable: true,
            consented_at: NOW.minus(Duration::from_hours(48)),
            dates: Dates::default(),
            announced: None,
            scopes: Vec::new(),
            attempts: Attempts::default(),
            lease: None,
            in_doubt: false,
            created_at: NOW,
        },
        tokens: TokenSet {
            // Where the access token itself is what is redeemed.
            access_token: AccessToken::new("old-refresh".to_owned()),
            token_type: "Bearer".to_owned(),
            expires_at: None,
            refresh_token: Some(RefreshToken::new("old-refresh".to_owned())),
            refresh_expires_at: None,
            scopes: row.scopes.clone(),
            metadata,
            means,
        },
    }
}

fn means(row: &Exchange, key: Option<String>) -> Means {
    let parameters = row
        .given
        .iter()
        .filter(|(name, _)| !SERVICE_ACCOUNT_FIELDS.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), Parameter::new(value.clone())));
    Means {
        parameters: parameters.collect(),
        signing_key: key.map(SigningKey::new),
        scopes: row.scopes.iter().cloned().collect(),
        subject_token: None,
    }
}

/// A consent keeps its placeholders; no answer states them.
fn brought(consented: Consented, given: &BTreeMap<String, String>) -> Brought {
    let mut issued = consented.issued;
    issued
        .metadata
        .retain(|name, value| given.get(name) != Some(value));
    Brought {
        issued,
        account: consented.account,
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}
