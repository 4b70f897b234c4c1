//! Makes the real HTTP client ask the stand-in what a row describes.

mod grant;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{self, KeySize};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use evergrant_core::clock::{Clock, Timestamp};
use evergrant_core::grant::GrantType;
use evergrant_core::ids::{ClientKey, ClientName, ProviderName};
use evergrant_core::provider::{CallError, Issued, Providers, Revocation};
use evergrant_providers::catalogue::{Entry, SigningAlgorithm};
use evergrant_providers::engine::{TokenResponse, Unreadable};
use evergrant_providers::{
    Catalogue, CodeExchange, Consent, ConsentError, Consented, DeviceAuthorization, DevicePoll,
    HttpProviders, Network, OAuthClient,
};
use url::Url;

use self::grant::grant;
use crate::facts::{Answer, Authorize, Exchange};
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
    pub fn asker(&self, provider: &str, given: &BTreeMap<String, String>) -> Asker {
        let entry = self
            .catalogue
            .get(&ProviderName::parse(provider).unwrap())
            .unwrap_or_else(|| panic!("no entry {provider}"))
            .clone();
        let key = self.key(&entry, given);
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
    fn key(&self, entry: &Entry, given: &BTreeMap<String, String>) -> String {
        let facts = entry.assertion.as_ref().unwrap_or(&entry.client_assertion);
        let pem = match facts.algorithm {
            SigningAlgorithm::Rs256 | SigningAlgorithm::Ps256 => &self.rsa,
            SigningAlgorithm::Es256 | SigningAlgorithm::Es384 => &self.elliptic,
        };
        let mut file = serde_json::Map::new();
        for field in SERVICE_ACCOUNT_FIELDS {
            if let Some(value) = given.get(field) {
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
pub enum Brought {
    Tokens {
        issued: Issued,
        /// What names the account at the provider, if a consent was asked for.
        account: Option<String>,
    },
    /// Codes to show to a user.
    Codes(DeviceAuthorization),
    /// No decision of the user yet.
    Waiting(&'static str),
    Revocation(Revocation),
}

/// The real client of one provider.
pub struct Asker {
    providers: HttpProviders,
    entry: Arc<Entry>,
    client: ClientKey,
    key: String,
}

impl Asker {
    /// Where the user is sent to whom the row describes.
    pub fn authorization_url(&self, row: &Authorize) -> Result<Url, ConsentError> {
        self.providers.authorization_url(&Consent {
            client: &self.client,
            redirect_uri: REDIRECT_URI,
            state: "the-state",
            code_challenge: Some("the-challenge"),
            nonce: self.entry.openid.as_ref().map(|_| "the-nonce"),
            scopes: &row.scopes,
            parameters: &BTreeMap::new(),
            placeholders: &row.given,
        })
    }

    /// Asks for what the row describes.
    pub async fn perform(&self, row: &Exchange) -> Result<Brought, CallError> {
        let Self {
            providers, client, ..
        } = self;
        let given = &row.given;
        match row.grant.as_str() {
            "authorization_code" | "userinfo" => {
                let exchange = CodeExchange {
                    client,
                    code: "the-code",
                    redirect_uri: REDIRECT_URI,
                    code_verifier: Some("the-verifier"),
                    state: "the-state",
                    nonce: None,
                    placeholders: given,
                };
                let repeats = row.then.is_some() || row.grant == "userinfo";
                let patience = if repeats { LITTLE_PATIENCE } else { PATIENCE };
                let consented = providers.exchange_code(&exchange, patience).await;
                consented.map(|consented| tokens(consented, given))
            }
            "device_authorization" => {
                let begun = providers.begin_device(client, &row.scopes, given, PATIENCE);
                begun.await.map(Brought::Codes)
            }
            "device_code" => {
                let poll = providers
                    .poll_device(client, "the-device-code", given, PATIENCE)
                    .await?;
                Ok(match poll {
                    DevicePoll::Consented(consented) => tokens(*consented, given),
                    DevicePoll::Pending => Brought::Waiting("pending"),
                    DevicePoll::SlowDown => Brought::Waiting("slow_down"),
                    DevicePoll::Lost(error) => return Err(*error),
                })
            }
            "revoke" => {
                let grant = grant(client.clone(), row, self.key.clone());
                let revocation = providers.revoke(&grant, PATIENCE).await;
                revocation.map(Brought::Revocation)
            }
            _ => {
                let grant = grant(client.clone(), row, self.key.clone());
                let issued = providers.refresh(&grant, PATIENCE).await?;
                Ok(Brought::Tokens {
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
        Ok(tokens(consented, &row.given))
    }

    /// What was sent for the row. Some providers are asked after each new token how long it lives, or whose it is.
    pub fn sent(&self, row: &Exchange, provider: &Provider) -> Vec<Seen> {
        let mut seen = provider.seen();
        if ["introspect", "userinfo"].contains(&row.grant.as_str()) {
            seen.drain(..seen.len().min(1));
        } else if self.entry.introspect_url.is_some() && seen.len() == 2 {
            seen.retain(|request| !request.url.ends_with("/introspect"));
        } else if let Some(url) = &self.entry.userinfo_url
            && seen.len() == 2
        {
            let url = url.to_string();
            seen.retain(|request| request.url != url);
        }
        seen
    }
}

/// What comes before an answer to `introspect` or `userinfo`: a token of which nothing is known.
pub fn token_to_ask_about() -> Answer {
    let json = r#"{"access_token":"asked","token_type":"Bearer"}"#;
    toml::from_str(&format!("status = 200\njson = '{json}'")).unwrap()
}

/// A consent keeps its placeholders; no answer states them.
fn tokens(consented: Consented, given: &BTreeMap<String, String>) -> Brought {
    let mut issued = consented.issued;
    issued
        .metadata
        .retain(|name, value| given.get(name) != Some(value));
    Brought::Tokens {
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
