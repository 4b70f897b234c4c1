//! OAuth clients of the sandbox, and how a request proves to come from one (RFC 6749 section 2.3).

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::proof::PublicKey;
use super::refusal::Refusal;
use super::token::{Digest, sha256};

/// The client that every sandbox knows from its start.
pub const DEFAULT_CLIENT_ID: &str = "sandbox";

/// Secret of [`DEFAULT_CLIENT_ID`]; it protects nothing.
pub const DEFAULT_CLIENT_SECRET: &str = "sandbox-secret";

/// The registered clients, and what each may prove itself with.
pub(super) struct Clients(BTreeMap<String, Registered>);

#[derive(Default)]
struct Registered {
    /// Digests of its secrets.
    secrets: Vec<Digest>,
    key: Option<PublicKey>,
}

impl Default for Clients {
    fn default() -> Self {
        let mut clients = Self(BTreeMap::new());
        clients.set(DEFAULT_CLIENT_ID, &[DEFAULT_CLIENT_SECRET.to_owned()]);
        clients
    }
}

impl Clients {
    /// Registers a client or replaces its secrets. Without secrets it is a public client, unless it has a key.
    pub(super) fn set(&mut self, id: &str, secrets: &[String]) {
        let digests = secrets.iter().map(|secret| sha256(secret)).collect();
        self.0.entry(id.to_owned()).or_default().secrets = digests;
    }

    /// Registers the key that a client signs with.
    pub(super) fn set_key(&mut self, id: &str, key: PublicKey) {
        self.0.entry(id.to_owned()).or_default().key = Some(key);
    }

    /// The key that a client signs with.
    pub(super) fn key(&self, id: &str) -> Option<&PublicKey> {
        self.0.get(id)?.key.as_ref()
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.0.contains_key(id)
    }

    /// Whether a client has nothing to prove itself with.
    pub(super) fn is_public(&self, id: &str) -> bool {
        let client = self.0.get(id);
        client.is_some_and(|client| client.secrets.is_empty() && client.key.is_none())
    }

    /// The id of the client that `presented` belongs to.
    pub(super) fn authenticate(&self, presented: &Presented) -> Result<String, Refusal> {
        match presented {
            Presented::Nothing => Err(Refusal::UnknownClient),
            Presented::Anyone => Ok(DEFAULT_CLIENT_ID.to_owned()),
            Presented::Named { id } if self.contains(id) => Ok(id.clone()),
            Presented::Named { .. } => Err(Refusal::UnknownClient),
            Presented::SecretAlone { secret } => {
                let digest = sha256(secret);
                let mut clients = self.0.iter();
                let found = clients.find(|(_, client)| client.secrets.contains(&digest));
                found.map(|(id, _)| id.clone()).ok_or(Refusal::WrongSecret)
            }
            // Whoever keeps the keys' replays looks at it.
            Presented::Assertion { .. } => Err(Refusal::BadClientAssertion),
            Presented::Body { id, secret } => self.check(id, secret.as_deref()),
            // RFC 6749 asks for form encoding inside Basic, and most clients do without: both are taken.
            Presented::Basic { id, secret } => {
                self.check(id, Some(secret)).or_else(|refusal| {
                    match (form_decoded(id), form_decoded(secret)) {
                        (Some(id), Some(secret)) => self.check(&id, Some(&secret)),
                        _ => Err(refusal),
                    }
                })
            }
        }
    }

    fn check(&self, id: &str, secret: Option<&str>) -> Result<String, Refusal> {
        let client = self.0.get(id).ok_or(Refusal::UnknownClient)?;
        let secrets = &client.secrets;
        let proven = match secret {
            None | Some("") => secrets.is_empty() && client.key.is_none(),
            Some(secret) => secrets.contains(&sha256(secret)),
        };
        if proven {
            Ok(id.to_owned())
        } else {
            Err(Refusal::WrongSecret)
        }
    }
}

/// What a request brought to prove its client.
pub(super) enum Presented {
    Nothing,
    /// Nothing, where the provider takes requests of anyone.
    Anyone,
    /// A secret, where the provider asks for no name.
    SecretAlone {
        secret: String,
    },
    /// Its name, where the provider asks for no more.
    Named {
        id: String,
    },
    Body {
        id: String,
        secret: Option<String>,
    },
    Basic {
        id: String,
        secret: String,
    },
    /// What it signed (RFC 7523 section 2.2), and its name, if it said that too.
    Assertion {
        token: String,
        id: Option<String>,
    },
}

impl Presented {
    /// Reads what follows the scheme in a Basic `Authorization` header; `None` if it is not sound.
    pub(super) fn from_basic(credentials: &str) -> Option<Self> {
        let text = String::from_utf8(STANDARD.decode(credentials).ok()?).ok()?;
        let (id, secret) = text.split_once(':')?;
        Some(Self::Basic {
            id: id.to_owned(),
            secret: secret.to_owned(),
        })
    }
}

pub(super) fn form_decoded(text: &str) -> Option<String> {
    if text.contains(['&', '=']) {
        return None;
    }
    url::form_urlencoded::parse(text.as_bytes())
        .next()
        .map(|(decoded, _)| decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients() -> Clients {
        let mut clients = Clients::default();
        clients.set("acme", &["old".into(), "n:e w".into()]);
        clients.set("public", &[]);
        clients
    }

    fn basic(pair: &str) -> Presented {
        Presented::from_basic(&STANDARD.encode(pair)).unwrap()
    }

    fn body(id: &str, secret: Option<&str>) -> Presented {
        Presented::Body {
            id: id.into(),
            secret: secret.map(str::to_owned),
        }
    }

    #[test]
    fn each_of_several_secrets_is_good_raw_or_form_encoded() {
        for good in [
            body("acme", Some("old")),
            body("public", None),
            basic("acme:old"),
            basic("acme:n:e w"),
            basic("acme:n%3Ae+w"),
        ] {
            assert!(clients().authenticate(&good).is_ok());
        }
    }

    #[test]
    fn a_wrong_secret_and_an_unknown_client_are_told_apart() {
        for wrong in [
            body("acme", Some("x")),
            body("acme", None),
            basic("acme:"),
            body("public", Some("x")),
        ] {
            assert_eq!(clients().authenticate(&wrong), Err(Refusal::WrongSecret));
        }
        for unknown in [body("nobody", Some("x")), Presented::Nothing] {
            assert_eq!(
                clients().authenticate(&unknown),
                Err(Refusal::UnknownClient)
            );
        }
    }
}
