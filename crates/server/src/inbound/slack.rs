//! Slack's Events API (docs.slack.dev/apis/events-api), with requests signed by "v0" signatures
//! (docs.slack.dev/authentication/verifying-requests-from-slack).
//!
//! Accounts: a workspace is `T…`, a user's own token there `T…:U…`; of an app that is installed for a whole enterprise
//! they are `E…` and `E…:U…`.

use std::time::Duration;

use evergrant_core::clock::Timestamp;
use evergrant_core::grant::InvalidationReason;
use evergrant_core::report::Subject;
use http::{HeaderMap, HeaderName};
use serde::Deserialize;

use super::answer::Answer;
use super::receiver::{Death, Said};
use super::signature::{Signature, SigningKeys, header};

const TIMESTAMP: HeaderName = HeaderName::from_static("x-slack-request-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("x-slack-signature");
/// How far Slack's clock may be from ours.
const WINDOW: Duration = Duration::from_mins(5);

/// Reads what Slack sends.
#[derive(Debug)]
pub(super) struct Slack {
    keys: SigningKeys,
}

#[derive(Deserialize)]
struct Envelope {
    r#type: String,
    challenge: Option<String>,
    team_id: Option<String>,
    enterprise_id: Option<String>,
    event: Option<Event>,
    event_id: Option<String>,
    event_time: Option<i64>,
    #[serde(default)]
    authorizations: Vec<Authorization>,
}

#[derive(Deserialize)]
struct Event {
    r#type: String,
    tokens: Option<Tokens>,
}

/// The users whose tokens were revoked.
#[derive(Deserialize)]
struct Tokens {
    oauth: Option<Vec<String>>,
    bot: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Authorization {
    #[serde(default)]
    is_enterprise_install: bool,
}

impl Slack {
    pub(super) fn new(secrets: &[&str]) -> Self {
        Self {
            keys: SigningKeys::new(secrets),
        }
    }

    pub(super) fn read(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Said, Answer> {
        self.authenticate(headers, body, now)?;
        let envelope: Envelope = serde_json::from_slice(body)
            .map_err(|_| Answer::Malformed("it is no event of the Events API"))?;
        envelope.said()
    }

    fn authenticate(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<(), Answer> {
        let forged = |why| Answer::forged("authentication_failed", why);
        let sent_at = header(headers, &TIMESTAMP)
            .filter(|text| is_number(text))
            .ok_or_else(|| forged("its timestamp is missing"))?;
        let signature = header(headers, &SIGNATURE)
            .and_then(|text| Signature::parse(text, "v0="))
            .ok_or_else(|| forged("its signature is missing"))?;
        let sent = seconds(sent_at.parse().unwrap_or(i64::MAX));
        if now.since(sent) > WINDOW || sent.since(now) > WINDOW {
            return Err(forged("its timestamp is too far from now"));
        }
        let parts = [b"v0:", sent_at.as_bytes(), b":", body];
        if self.keys.signed(&parts, &signature) {
            Ok(())
        } else {
            Err(forged("its signature is wrong"))
        }
    }
}

impl Envelope {
    fn said(self) -> Result<Said, Answer> {
        match self.r#type.as_str() {
            "url_verification" => self
                .challenge
                .map(Said::Challenge)
                .ok_or(Answer::Malformed("it has no challenge")),
            "event_callback" => self.event(),
            _ => Ok(Said::Nothing),
        }
    }

    fn event(self) -> Result<Said, Answer> {
        let event = self.event.as_ref();
        let event = event.ok_or(Answer::Malformed("it has no event"))?;
        let installed_at = self.installed_at();
        let mut subjects = Vec::new();
        let name = match event.r#type.as_str() {
            "tokens_revoked" => {
                let tokens = event.tokens.as_ref();
                let tokens = tokens.ok_or(Answer::Malformed("it names no tokens"))?;
                for place in &installed_at {
                    let of = |user: &String| Subject::Account(format!("{place}:{user}"));
                    subjects.extend(tokens.oauth.iter().flatten().map(of));
                    if let Some([_, ..]) = tokens.bot.as_deref() {
                        subjects.push(Subject::Account(place.clone()));
                    }
                }
                "tokens_revoked"
            }
            "app_uninstalled" => {
                for place in &installed_at {
                    subjects.push(Subject::Account(place.clone()));
                    subjects.push(Subject::AccountsWithin(place.clone()));
                }
                "app_uninstalled"
            }
            _ => return Ok(Said::Nothing),
        };
        if installed_at.is_empty() {
            return Err(Answer::Malformed("it names no workspace"));
        }
        let id = self.event_id.filter(|id| !id.is_empty());
        Ok(Said::Died(Death {
            id: id.ok_or(Answer::Malformed("it has no event_id"))?,
            event: name,
            reason: InvalidationReason::GrantRevoked,
            subjects,
            happened_at: self.event_time.map(seconds),
        }))
    }

    /// The workspace, and the enterprise only if that is where the app is installed: the app of one of its workspaces
    /// says nothing of the others.
    fn installed_at(&self) -> Vec<String> {
        let mut authorizations = self.authorizations.iter();
        let is_enterprise_wide = self.team_id.is_none()
            || authorizations.any(|authorization| authorization.is_enterprise_install);
        let enterprise = self.enterprise_id.as_ref().filter(|_| is_enterprise_wide);
        let places = self.team_id.iter().chain(enterprise);
        places.filter(|id| !id.is_empty()).cloned().collect()
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn seconds(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds.saturating_mul(1_000))
}

#[cfg(test)]
mod tests;
