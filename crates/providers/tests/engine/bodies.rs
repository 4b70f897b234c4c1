//! Whatever is wrong with an answer, its message begins with the entry and the key of the URL that was asked.

mod overheard;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use evergrant_core::grant::{Grant, GrantType};
use evergrant_core::ids::{ClientKey, ClientName, ProviderName};
use evergrant_core::provider::{CallError, Providers as _};
use evergrant_providers::engine::IdToken;
use evergrant_providers::jwks::KeySets;
use evergrant_providers::{Catalogue, CodeExchange, HttpProviders};
use tokio::task::JoinSet;

use self::overheard::Overheard;
use crate::support::{Endpoint, Fixed, acme, client, grant, reply};

/// A head that says ES256, no claims, and a signature that nobody looks at before there are keys.
const ID_TOKEN: &str = "eyJhbGciOiJFUzI1NiJ9.e30.AAAA";
const GOOD: &str = r#"{"access_token":"new-access"}"#;
/// Longer than any answer takes that ends.
const PATIENCE: Duration = Duration::from_secs(10);
/// What has no end ends with it, and so does trying again what follows the redemption of a code.
const SHORT: Duration = Duration::from_secs(2);

/// A key of a URL, the rest of an entry that has it (`BAD` and `GOOD` are the authorities of two endpoints), and what is
/// asked there.
type Door = (&'static str, &'static str, Asked);

#[derive(Debug, Clone, Copy)]
enum Asked {
    Refresh,
    Minted,
    Code,
    SecondOfCode,
    Account,
    Device,
    Poll,
    Revocation,
    Introspection,
    KeySet,
}

const DOORS: [Door; 13] = [
    ("token_url", "", Asked::Refresh),
    ("token_url", "", Asked::Code),
    (
        "refresh_url",
        "refresh_url = \"http://BAD/r\"",
        Asked::Refresh,
    ),
    (
        "grants.refresh_token.url",
        "[grants.refresh_token]\nurl = \"http://BAD/r\"",
        Asked::Refresh,
    ),
    (
        "grants.authorization_code.url",
        "[grants.authorization_code]\nurl = \"http://BAD/c\"",
        Asked::Code,
    ),
    (
        "grants.authorization_code.then.url",
        "[grants.authorization_code]\nurl = \"http://GOOD/c\"\n[grants.authorization_code.then]\n\
         url = \"http://BAD/then\"\nparameters = { t = \"{access_token}\" }",
        Asked::SecondOfCode,
    ),
    (
        "grants.client_credentials.url",
        "grant_types = [\"client_credentials\"]\n[grants.client_credentials]\nurl = \"http://BAD/m\"",
        Asked::Minted,
    ),
    (
        "device_url",
        "grant_types = [\"device_code\"]\ndevice_url = \"http://BAD/d\"",
        Asked::Device,
    ),
    (
        "grants.device_code.url",
        "grant_types = [\"device_code\"]\ndevice_url = \"http://BAD/d\"\n\
         [grants.device_code]\nurl = \"http://BAD/p\"",
        Asked::Poll,
    ),
    (
        "revoke_url",
        "revoke_url = \"http://BAD/v\"",
        Asked::Revocation,
    ),
    (
        "introspect_url",
        "introspect_url = \"http://BAD/i\"\n[grants.refresh_token]\nurl = \"http://GOOD/t\"",
        Asked::Introspection,
    ),
    (
        "userinfo_url",
        "userinfo_url = \"http://BAD/me\"\n[grants.authorization_code]\nurl = \"http://GOOD/c\"",
        Asked::Account,
    ),
    (
        "openid.jwks_url",
        "[openid]\nissuer = \"https://acme.example\"\njwks_url = \"http://BAD/keys\"",
        Asked::KeySet,
    ),
];

/// An answer as bytes, whether the connection ends with it, its status, and what is said of it.
struct Bad {
    bytes: &'static [u8],
    close: bool,
    status: u16,
    told: &'static str,
}

static BAD: LazyLock<[Bad; 9]> = LazyLock::new(|| {
    let bad = |status, head: &str, body: &[u8], close, told| {
        let head = format!("HTTP/1.1 {status} X\r\n{head}\r\n");
        let bytes = [head.as_bytes(), body].concat().leak();
        Bad {
            bytes,
            close,
            status,
            told,
        }
    };
    let page = b"<html>error=invalid_grant</html>";
    let packed = "content-encoding: gzip\r\n";
    let chunked = "transfer-encoding: chunked\r\n";
    let large = "content-length: 10485760\r\n";
    let elsewhere = "location: https://elsewhere.example/?x=hush\r\n";
    [
        bad(200, "", page, true, " with a page of HTML in place of "),
        bad(503, "", page, true, " with a page of HTML in place of "),
        bad(
            400,
            "",
            b"Bad Request",
            true,
            " with a body that is no JSON",
        ),
        bad(
            200,
            packed,
            b"\x1f\x8b\x08\0",
            true,
            " with a compressed body, which it was asked not to",
        ),
        bad(
            400,
            packed,
            b"\x1f\x8b\x08\0",
            true,
            " with a compressed body, which it was asked not to",
        ),
        bad(200, large, b"{", true, " with more than 1 MiB"),
        bad(
            200,
            "content-length: 9\r\n",
            b"{",
            true,
            " with a broken body: ",
        ),
        bad(
            200,
            chunked,
            b"1\r\n{\r\n",
            false,
            " with a broken body: the answer did not end in time",
        ),
        bad(
            302,
            elsewhere,
            b"",
            true,
            ", a redirect to elsewhere.example, which is not followed",
        ),
    ]
});

/// The entry of the door of that number.
fn name(door: usize) -> String {
    format!("acme-{door}")
}

fn key(door: usize) -> ClientKey {
    ClientKey {
        provider: ProviderName::parse(&name(door)).unwrap(),
        client: ClientName::parse(&name(door)).unwrap(),
    }
}

/// One engine for all doors, since making one takes time.
fn engine(bad: &Endpoint, good: &Endpoint) -> HttpProviders {
    let mut catalogue = Catalogue::empty();
    let mut clients = Vec::new();
    for (door, (_, rest, _)) in DOORS.iter().enumerate() {
        let rest = rest
            .replace("BAD", &bad.authority)
            .replace("GOOD", &good.authority);
        let (name, entry) = (name(door), acme(&bad.authority, &rest));
        let entry = entry.replace("name = \"acme\"", &format!("name = \"{name}\""));
        catalogue.add(&entry, "test").unwrap();
        clients.push(client(&name, &name, &["the-secret"]));
    }
    HttpProviders::new(Arc::new(catalogue), clients, Arc::new(Fixed)).unwrap()
}

/// What is done at the doors, and what is heard of it.
#[derive(Clone)]
struct Visitor {
    providers: Arc<HttpProviders>,
    key_sets: Arc<KeySets>,
    overheard: Overheard,
}

impl Visitor {
    /// What is told of a failure at a door, in the error or in the log.
    async fn told(&self, door: usize, asked: Asked, patience: Duration) -> String {
        match asked {
            Asked::KeySet => self.told_of_keys(door).await,
            Asked::Introspection => {
                let issued = self.providers.refresh(&grant_of(door), patience).await;
                assert_eq!(issued.unwrap().access_token.expose(), "new-access");
                let lines = self.overheard.all();
                let own = |line: &&String| line.starts_with(&name(door));
                lines.iter().rfind(own).unwrap().clone()
            }
            asked => self.ask(door, asked, patience).await.unwrap_err().message,
        }
    }

    async fn ask(&self, door: usize, asked: Asked, patience: Duration) -> Result<(), CallError> {
        let (providers, nothing) = (&self.providers, BTreeMap::new());
        let mut grant = grant_of(door);
        let key = key(door);
        match asked {
            Asked::Revocation => providers.revoke(&grant, patience).await.map(drop),
            Asked::Minted => {
                grant.facts.grant_type = GrantType::ClientCredentials;
                providers.refresh(&grant, patience).await.map(drop)
            }
            Asked::Code | Asked::SecondOfCode | Asked::Account => {
                let code = CodeExchange {
                    client: &key,
                    code: "the-code",
                    redirect_uri: "https://us.example/back",
                    code_verifier: None,
                    state: "the-state",
                    nonce: None,
                    placeholders: &nothing,
                };
                providers.exchange_code(&code, patience).await.map(drop)
            }
            Asked::Device => {
                let begun = providers.begin_device(&key, &[], &nothing, patience);
                begun.await.map(drop)
            }
            Asked::Poll => {
                let polled = providers.poll_device(&key, "the-code", &nothing, patience);
                polled.await.map(drop)
            }
            Asked::Refresh | Asked::Introspection | Asked::KeySet => {
                providers.refresh(&grant, patience).await.map(drop)
            }
        }
    }

    async fn told_of_keys(&self, door: usize) -> String {
        let id_token = IdToken {
            token: &ID_TOKEN.into(),
            client: &key(door),
            nonce: None,
            placeholders: &BTreeMap::new(),
        };
        let verified = self.providers.verify_id_token(&self.key_sets, id_token);
        verified.await.unwrap_err().to_string()
    }
}

fn grant_of(door: usize) -> Grant {
    let mut grant = grant("acme");
    grant.facts.client = key(door);
    grant
}

impl Bad {
    /// How the message begins at a door.
    fn beginning(&self, door: usize, key: &str, asked: Asked) -> String {
        let Self { status, told, .. } = self;
        let name = name(door);
        let prefix = match asked {
            Asked::KeySet => {
                return format!(
                    "the id_token of {name} cannot be believed: {key}: the issuer's key set cannot be fetched: 127.0.0.1:"
                );
            }
            Asked::SecondOfCode => "in the second of two requests ",
            Asked::Account => "there are tokens, but not whose: ",
            _ => "",
        };
        format!("{prefix}{name} answered HTTP {status} at its {key}{told}")
    }

    /// How the message ends where keys are fetched.
    fn of_keys(&self) -> String {
        match (self.status, self.told) {
            (200, page) if page.contains("HTML") => "answered no key set".to_owned(),
            (200, told) => told.replace(" with", "answered"),
            (302, redirect) => format!("answered HTTP 302{redirect}"),
            (status, _) => format!("answered HTTP {status}"),
        }
    }
}

#[tokio::test]
async fn every_bad_answer_is_told_with_the_entry_and_the_key_at_every_door() {
    let (overheard, _heard) = Overheard::here();
    let key_sets = Arc::new(KeySets::new(Arc::new(Fixed)).unwrap());
    let good = Endpoint::answering(std::iter::repeat_n(reply(200, GOOD), 100)).await;
    for bad in BAD.iter() {
        let endpoint = Endpoint::raw(bad.bytes, bad.close).await;
        let visitor = Visitor {
            providers: Arc::new(engine(&endpoint, &good)),
            key_sets: Arc::clone(&key_sets),
            overheard: overheard.clone(),
        };
        let mut all = JoinSet::new();
        for (door, (key, _, asked)) in DOORS.into_iter().enumerate() {
            let visitor = visitor.clone();
            let patience = match (bad.close, asked) {
                (true, Asked::SecondOfCode | Asked::Account) | (false, _) => SHORT,
                (true, _) => PATIENCE,
            };
            all.spawn(async move {
                let message = visitor.told(door, asked, patience).await;
                let beginning = bad.beginning(door, key, asked);
                assert!(
                    message.starts_with(&beginning),
                    "{asked:?}: {beginning:?} is not how it begins: {message:?}"
                );
                if matches!(asked, Asked::KeySet) {
                    let end = bad.of_keys();
                    assert!(message.contains(&end), "{end:?} is not in {message:?}");
                }
                assert!(!message.contains("hush"), "{message}");
            });
        }
        all.join_all().await;
    }
}
