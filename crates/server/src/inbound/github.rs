//! GitHub's webhooks (docs.github.com/webhooks), signed with their secret in `X-Hub-Signature-256`.
//!
//! Accounts: a user or an organization is its id in digits or, less well, its login, which can be given to somebody
//! else; an installation of an app is `installation:…` with its id.

use evergrant_core::grant::InvalidationReason;
use evergrant_core::report::Subject;
use http::{HeaderMap, HeaderName};
use serde::{Deserialize, Deserializer};

use super::answer::Answer;
use super::receiver::{Death, Said};
use super::signature::{Signature, SigningKeys, header};

const SIGNATURE: HeaderName = HeaderName::from_static("x-hub-signature-256");
const DELIVERY: HeaderName = HeaderName::from_static("x-github-delivery");
const EVENT: HeaderName = HeaderName::from_static("x-github-event");

/// Reads what GitHub sends.
#[derive(Debug)]
pub(super) struct GitHub {
    keys: SigningKeys,
}

#[derive(Deserialize)]
struct Payload {
    action: Option<String>,
    sender: Option<Account>,
    installation: Option<Installation>,
}

#[derive(Deserialize)]
struct Account {
    id: u64,
    /// An enterprise has a slug in its place.
    login: Option<String>,
    r#type: Option<String>,
}

#[derive(Deserialize)]
struct Installation {
    id: u64,
    /// Only where the event is about the installation: others name it by its id alone. It may be `null` then.
    #[serde(default, deserialize_with = "named")]
    account: Option<Option<Account>>,
}

/// What is there, even if it is `null`.
fn named<'de, T: Deserialize<'de>, D: Deserializer<'de>>(input: D) -> Result<Option<T>, D::Error> {
    T::deserialize(input).map(Some)
}

impl GitHub {
    pub(super) fn new(secrets: &[&str]) -> Self {
        Self {
            keys: SigningKeys::new(secrets),
        }
    }

    pub(super) fn read(&self, headers: &HeaderMap, body: &[u8]) -> Result<Said, Answer> {
        let forged = |why| Answer::forged("authentication_failed", why);
        let signature = header(headers, &SIGNATURE)
            .and_then(|text| Signature::parse(text, "sha256="))
            .ok_or_else(|| forged("its signature is missing"))?;
        if !self.keys.signed(&[body], &signature) {
            return Err(forged("its signature is wrong"));
        }
        let event = header(headers, &EVENT).unwrap_or_default();
        let id = header(headers, &DELIVERY).filter(|id| !id.is_empty());
        let id = id.ok_or(Answer::Malformed("it has no X-GitHub-Delivery"))?;
        match event {
            "github_app_authorization" | "installation" => {}
            "ping" => return Ok(Said::Probe("ping")),
            _ => return Ok(Said::Nothing),
        }
        let payload: Payload = serde_json::from_slice(body)
            .map_err(|_| Answer::Malformed("it is no event of an app"))?;
        let died = match event {
            "installation" => payload.installation(),
            _ => payload.authorization(),
        };
        let Some((event, reason, subjects)) = died? else {
            return Ok(Said::Nothing);
        };
        Ok(Said::Died(Death {
            id: id.to_owned(),
            event,
            reason,
            subjects,
            happened_at: None,
        }))
    }
}

type Died = Option<(&'static str, InvalidationReason, Vec<Subject>)>;

impl Payload {
    /// A user withdrew their authorization of an app.
    fn authorization(self) -> Result<Died, Answer> {
        if self.action.as_deref() != Some("revoked") {
            return Ok(None);
        }
        let user = self.sender.ok_or(Answer::Malformed("it has no sender"))?;
        let event = "github_app_authorization.revoked";
        let reason = InvalidationReason::GrantRevoked;
        Ok(Some((event, reason, user.subjects())))
    }

    /// An app was uninstalled or suspended. What users of their own accounts authorized outlives that.
    fn installation(self) -> Result<Died, Answer> {
        let (event, reason) = match self.action.as_deref() {
            Some("deleted") => ("installation.deleted", InvalidationReason::GrantRevoked),
            Some("suspend") => ("installation.suspend", InvalidationReason::AccessDenied),
            _ => return Ok(None),
        };
        let malformed = Answer::Malformed("it has no installation with an account");
        let Some(Installation {
            id,
            account: Some(account),
        }) = self.installation
        else {
            return Err(malformed);
        };
        let mut subjects = vec![Subject::Account(format!("installation:{id}"))];
        let organization =
            account.filter(|account| account.r#type.as_deref() == Some("Organization"));
        subjects.extend(organization.into_iter().flat_map(Account::subjects));
        Ok(Some((event, reason, subjects)))
    }
}

impl Account {
    /// A login of digits alone could be somebody else's id.
    fn subjects(self) -> Vec<Subject> {
        let is_id = |login: &String| login.bytes().all(|byte| byte.is_ascii_digit());
        let login = self.login.filter(|login| !is_id(login));
        let names = [Some(self.id.to_string()), login];
        names.into_iter().flatten().map(Subject::Account).collect()
    }
}

#[cfg(test)]
mod tests;
