//! Whatever is wrong with an answer, its message begins with the entry and the key of the URL that was asked.

mod overheard;

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use evergrant_core::grant::GrantType;
use evergrant_core::provider::{CallError, Providers as _};
use evergrant_providers::engine::IdToken;
use evergrant_providers::jwks::KeySets;
use evergrant_providers::{CodeExchange, HttpProviders};
use tokio::task::JoinSet;

use self::overheard::Overheard;
use crate::support::{Endpoint, Fixed, acme, client, grant, providers, reply};

const GOOD: &str = r#"{"access_token":"new-access"}"#;
/// Longer than any answer takes that ends.
const PATIENCE: Duration = Duration::from_secs(10);
/// What has no end ends with it, and so does trying the second request of a code again.
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
    Device,
    Poll,
    Revocation,
}

const DOORS: [Door; 10] = [
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

impl Bad {
    /// How the message begins.
    fn beginning(&self, key: &str) -> String {
        let Self { status, told, .. } = self;
        format!("acme answered HTTP {status} at its {key}{told}")
    }
}

fn engine(rest: &str, bad: &Endpoint, good: &Endpoint) -> HttpProviders {
    let rest = rest
        .replace("BAD", &bad.authority)
        .replace("GOOD", &good.authority);
    let entry = acme(&bad.authority, &rest);
    providers(&entry, vec![client("acme", "main", &["the-secret"])]).unwrap()
}

impl Asked {
    async fn at(self, providers: &HttpProviders, patience: Duration) -> Result<(), CallError> {
        let mut grant = grant("acme");
        let nothing = BTreeMap::new();
        let key = grant.facts.client.clone();
        match self {
            Self::Refresh => providers.refresh(&grant, patience).await.map(drop),
            Self::Minted => {
                grant.facts.grant_type = GrantType::ClientCredentials;
                providers.refresh(&grant, patience).await.map(drop)
            }
            Self::Code | Self::SecondOfCode => {
                let code = CodeExchange {
                    client: &key,
                    code: "the-code",
                    redirect_uri: "https://us.example/back",
                    code_verifier: None,
                    nonce: None,
                    placeholders: &nothing,
                };
                providers.exchange_code(&code, patience).await.map(drop)
            }
            Self::Device => {
                let begun = providers.begin_device(&key, &[], &nothing, patience);
                begun.await.map(drop)
            }
            Self::Poll => {
                let polled = providers.poll_device(&key, "the-code", &nothing, patience);
                polled.await.map(drop)
            }
            Self::Revocation => providers.revoke(&grant, patience).await.map(drop),
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::SecondOfCode => "in the second of two requests ",
            _ => "",
        }
    }
}

#[tokio::test]
async fn every_bad_answer_is_told_with_the_entry_and_the_key_at_every_door() {
    let mut all = JoinSet::new();
    for (key, rest, asked) in DOORS {
        for bad in BAD.iter() {
            all.spawn(async move {
                let endpoint = Endpoint::raw(bad.bytes, bad.close).await;
                let good = Endpoint::answering([reply(200, GOOD)]).await;
                let providers = engine(rest, &endpoint, &good);
                let patience = match (bad.close, asked) {
                    (true, Asked::SecondOfCode) | (false, _) => SHORT,
                    (true, _) => PATIENCE,
                };
                let error = asked.at(&providers, patience).await.unwrap_err();
                let beginning = format!("{}{}", asked.prefix(), bad.beginning(key));
                assert!(
                    error.message.starts_with(&beginning),
                    "{asked:?} {key}: {beginning:?} is not how it begins: {:?}",
                    error.message
                );
                assert!(!error.message.contains("hush"), "{}", error.message);
            });
        }
    }
    all.join_all().await;
}

#[tokio::test]
async fn a_bad_answer_of_an_introspection_is_told_in_the_log_and_costs_no_token() {
    let (overheard, _heard) = Overheard::here();
    let url = "introspect_url = \"http://BAD/i\"\n[grants.refresh_token]\nurl = \"http://GOOD/t\"";
    for bad in BAD.iter() {
        let endpoint = Endpoint::raw(bad.bytes, bad.close).await;
        let good = Endpoint::answering([reply(200, GOOD)]).await;
        let providers = engine(url, &endpoint, &good);
        let issued = providers.refresh(&grant("acme"), PATIENCE).await.unwrap();
        assert_eq!(issued.access_token.expose(), "new-access");
        let beginning = bad.beginning("introspect_url");
        let lines = overheard.taken();
        assert!(
            lines.iter().any(|line| line.starts_with(&beginning)),
            "{beginning:?} is nowhere in {lines:?}"
        );
    }
}

#[tokio::test]
async fn a_bad_answer_in_place_of_a_key_set_is_told_with_the_entry_and_the_key() {
    // A head that says ES256, no claims, and a signature that nobody looks at before there are keys.
    let token = "eyJhbGciOiJFUzI1NiJ9.e30.AAAA".into();
    let openid = "[openid]\nissuer = \"https://acme.example\"\njwks_url = \"http://BAD/keys\"";
    for bad in BAD.iter().filter(|bad| bad.close) {
        let endpoint = Endpoint::raw(bad.bytes, true).await;
        let providers = engine(openid, &endpoint, &endpoint);
        let id_token = IdToken {
            token: &token,
            client: &grant("acme").facts.client,
            nonce: None,
            placeholders: &BTreeMap::new(),
        };
        let key_sets = KeySets::new(std::sync::Arc::new(Fixed)).unwrap();
        let refused = providers.verify_id_token(&key_sets, id_token).await;
        let message = refused.unwrap_err().to_string();
        let Bad { status, told, .. } = bad;
        let told = match (*status, *told) {
            (200, page) if page.contains("HTML") => "answered no key set",
            (200, told) => told.trim_start_matches(" with"),
            _ => &format!("answered HTTP {status}"),
        };
        let entry = "the id_token of acme cannot be believed: openid.jwks_url: ";
        assert!(message.starts_with(entry), "{message}");
        assert!(message.contains(&endpoint.authority), "{message}");
        assert!(message.contains(told), "{told:?} is not in {message:?}");
    }
}
