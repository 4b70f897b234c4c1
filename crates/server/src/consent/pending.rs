//! A consent between its beginning and its end.

use std::borrow::Cow;
use std::collections::BTreeMap;

use evergrant_core::ids::{
    ClientKey, ClientName, CredentialId, CredentialKey, ProviderName, TenantId,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;
use zeroize::Zeroizing;

use crate::callback;

/// All that is needed to complete a consent, on whichever replica.
#[derive(Debug, Clone)]
pub struct Pending {
    /// The credential to create or to reconnect.
    pub key: CredentialKey,
    /// The client that asks.
    pub client: ClientKey,
    /// The tenant's own notes for a new credential.
    pub labels: BTreeMap<String, String>,
    /// Scopes as they were asked for.
    pub scopes: Vec<String>,
    /// Where the user comes back to.
    pub redirect_uri: String,
    /// Proves that who redeems the code is who asked for it (RFC 7636). `None` where the provider knows no PKCE.
    pub code_verifier: Option<SecretString>,
    /// What a device asks with (RFC 8628). `None` for a consent in a browser.
    pub device_code: Option<SecretString>,
    /// What the id_token must repeat.
    pub nonce: Option<String>,
    /// Values for placeholders of the catalogue entry; they become facts of the grant.
    pub placeholders: BTreeMap<String, String>,
    /// Whether another account than before may be connected.
    pub allow_account_change: bool,
    /// Where the server's own callback sends the browser in the end.
    pub return_url: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Written<'a> {
    tenant: &'a str,
    credential: &'a str,
    provider: &'a str,
    client: &'a str,
    #[serde(flatten)]
    rest: Rest,
    #[serde(borrow)]
    code_verifier: Option<&'a str>,
    device_code: Option<Cow<'a, str>>,
}

#[derive(Serialize, Deserialize)]
struct Rest {
    labels: BTreeMap<String, String>,
    scopes: Vec<String>,
    redirect_uri: String,
    nonce: Option<String>,
    placeholders: BTreeMap<String, String>,
    allow_account_change: bool,
    return_url: Option<String>,
}

impl Pending {
    /// Whether it is to end at the server's own callback: its redirect URI leads there, whatever host and folder a proxy
    /// gives it, or it was begun with an address that only that callback sends a browser to.
    pub(super) fn ends_at_callback(&self) -> bool {
        let path = Url::parse(&self.redirect_uri).map(|uri| uri.path().ends_with(callback::PATH));
        self.return_url.is_some() || path.unwrap_or(false)
    }

    /// Whether a device asks with it, and no browser brings it back.
    pub(super) fn is_of_device(&self) -> bool {
        self.device_code.is_some()
    }

    /// As bytes, to be sealed.
    pub(super) fn write(&self) -> Zeroizing<Vec<u8>> {
        let written = Written {
            tenant: self.key.tenant.as_str(),
            credential: self.key.id.as_str(),
            provider: self.client.provider.as_str(),
            client: self.client.client.as_str(),
            rest: Rest {
                labels: self.labels.clone(),
                scopes: self.scopes.clone(),
                redirect_uri: self.redirect_uri.clone(),
                nonce: self.nonce.clone(),
                placeholders: self.placeholders.clone(),
                allow_account_change: self.allow_account_change,
                return_url: self.return_url.clone(),
            },
            code_verifier: self.code_verifier.as_ref().map(ExposeSecret::expose_secret),
            device_code: self
                .device_code
                .as_ref()
                .map(|code| Cow::Borrowed(code.expose_secret())),
        };
        // With room, so that it rarely grows: what it grows out of is not wiped.
        let mut plain = Zeroizing::new(Vec::with_capacity(4096));
        serde_json::to_writer(&mut *plain, &written).expect("texts and maps of texts are JSON");
        plain
    }

    /// What [`write`](Self::write) wrote; `None` if it is anything else.
    pub(super) fn read(plain: &[u8]) -> Option<Self> {
        let Written {
            tenant,
            credential,
            provider,
            client,
            rest,
            code_verifier,
            device_code,
        } = serde_json::from_slice(plain).ok()?;
        Some(Self {
            key: CredentialKey {
                tenant: TenantId::parse(tenant).ok()?,
                id: CredentialId::parse(credential).ok()?,
            },
            client: ClientKey {
                provider: ProviderName::parse(provider).ok()?,
                client: ClientName::parse(client).ok()?,
            },
            labels: rest.labels,
            scopes: rest.scopes,
            redirect_uri: rest.redirect_uri,
            code_verifier: code_verifier.map(SecretString::from),
            device_code: device_code.map(|code| SecretString::from(code.into_owned())),
            nonce: rest.nonce,
            placeholders: rest.placeholders,
            allow_account_change: rest.allow_account_change,
            return_url: rest.return_url,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending() -> Pending {
        Pending {
            key: CredentialKey {
                tenant: TenantId::parse("t1").unwrap(),
                id: CredentialId::parse("c1").unwrap(),
            },
            client: ClientKey {
                provider: ProviderName::parse("acme").unwrap(),
                client: ClientName::parse("acme-main").unwrap(),
            },
            labels: BTreeMap::from([("team".into(), "é \"x\"".into())]),
            scopes: vec!["a".into(), "b".into()],
            redirect_uri: "https://app.example/callback".into(),
            code_verifier: Some("hush".into()),
            device_code: Some("hush \"d\"".into()),
            nonce: Some("n".into()),
            placeholders: BTreeMap::from([("shop".into(), "one".into())]),
            allow_account_change: true,
            return_url: Some("https://app.example/done".into()),
        }
    }

    #[test]
    fn what_is_written_is_read_and_does_not_print_its_secret() {
        for code_verifier in [None, Some("hush".into())] {
            let before = Pending {
                code_verifier,
                ..pending()
            };
            let after = Pending::read(&before.write()).unwrap();
            assert_eq!(format!("{after:?}"), format!("{before:?}"));
            let secret = |pending: &Pending| {
                let secrets = [&pending.code_verifier, &pending.device_code];
                secrets.map(|secret| secret.as_ref().map(|text| text.expose_secret().to_owned()))
            };
            assert_eq!(secret(&after), secret(&before));
        }
        assert!(!format!("{:?}", pending()).contains("hush"));
    }

    #[test]
    fn the_callback_is_known_by_its_path_and_by_an_address_to_go_on_to() {
        let ends = |uri: &str, return_url: Option<&str>| {
            let pending = Pending {
                redirect_uri: uri.to_owned(),
                return_url: return_url.map(str::to_owned),
                ..pending()
            };
            pending.ends_at_callback()
        };
        assert!(ends("https://evergrant.example/oauth/callback", None));
        assert!(ends("http://127.0.0.1:7074/oauth/callback", None));
        assert!(ends(
            "https://app.example/evergrant/oauth/callback?x=1",
            None
        ));
        for elsewhere in [
            "http://127.0.0.1:5555/callback",
            "https://app.example/oauth/callback/",
            "https://app.example/callback?at=/oauth/callback",
            "com.example.app:/oauth",
            "",
        ] {
            assert!(!ends(elsewhere, None), "{elsewhere}");
            assert!(ends(elsewhere, Some("https://app.example/done")));
        }
    }

    #[test]
    fn anything_else_is_nothing() {
        for plain in [&b""[..], b"{}", b"null", b"{\"tenant\":\"a b\"}"] {
            assert!(Pending::read(plain).is_none());
        }
    }
}
