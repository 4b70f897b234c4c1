//! OAuth clients of the sandbox, and how a request proves to come from one (RFC 6749 section 2.3).

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::refusal::Refusal;
use super::token::{Digest, sha256};

/// The client that every sandbox knows from its start.
pub const DEFAULT_CLIENT_ID: &str = "sandbox";

/// Secret of [`DEFAULT_CLIENT_ID`]; it protects nothing.
pub const DEFAULT_CLIENT_SECRET: &str = "sandbox-secret";

/// The registered clients and the digests of the secrets that each may use.
pub(super) struct Clients(BTreeMap<String, Vec<Digest>>);

impl Default for Clients {
    fn default() -> Self {
        let mut clients = Self(BTreeMap::new());
        clients.set(DEFAULT_CLIENT_ID, &[DEFAULT_CLIENT_SECRET.to_owned()]);
        clients
    }
}

impl Clients {
    /// Registers a client or replaces its secrets. Without secrets it is a public client.
    pub(super) fn set(&mut self, id: &str, secrets: &[String]) {
        let digests = secrets.iter().map(|secret| sha256(secret)).collect();
        self.0.insert(id.to_owned(), digests);
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.0.contains_key(id)
    }

    /// The id of the client that `presented` belongs to.
    pub(super) fn authenticate(&self, presented: &Presented) -> Result<String, Refusal> {
        match presented {
            Presented::Nothing => Err(Refusal::UnknownClient),
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
        let secrets = self.0.get(id).ok_or(Refusal::UnknownClient)?;
        let proven = match secret {
            None | Some("") => secrets.is_empty(),
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
    Body { id: String, secret: Option<String> },
    Basic { id: String, secret: String },
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

fn form_decoded(text: &str) -> Option<String> {
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
