//! Authorization codes of the sandbox (RFC 6749 section 4.1, RFC 7636): who consented to what, until the code is redeemed.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::time::Instant;

use super::kept::Kept;
use super::mode::GrantSpec;
use super::refusal::Refusal;
use super::token::{Digest, random, sha256};

/// RFC 6749 section 4.1.2 recommends ten minutes at most.
const LIFETIME: Duration = Duration::from_secs(60);
/// For how long it is known of a code that it has ended, or was redeemed.
const TOLD: Duration = Duration::from_secs(600);
const MOST: usize = 10_000;

/// What a user consented to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Consent {
    /// What is granted, and to which client.
    pub(super) spec: GrantSpec,
    /// What has to be said again when the code is redeemed; `None` if the provider does not ask for it.
    pub(super) redirect_uri: Option<String>,
    /// The S256 challenge that the consent began with, if any.
    pub(super) code_challenge: Option<String>,
    /// The state that the consent began with, if any.
    pub(super) state: Option<String>,
}

struct Issued {
    consent: Consent,
    ends_at: Instant,
    /// What the code was redeemed for.
    family: Option<String>,
}

/// The codes that were issued, but for those that ended long ago.
pub(super) struct Codes(Kept<Digest, Issued>);

impl Default for Codes {
    fn default() -> Self {
        Self(Kept::at_most(MOST))
    }
}

/// What a code is presented with.
pub(super) struct Presented<'a> {
    pub(super) code: &'a str,
    pub(super) client_id: &'a str,
    pub(super) redirect_uri: Option<&'a str>,
    pub(super) code_verifier: Option<&'a str>,
    /// No standard has it there, and some providers want it.
    pub(super) state: Option<&'a str>,
}

/// Why a code brings no tokens.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotRedeemed {
    Refused(Refusal),
    /// It was redeemed before: what it was redeemed for is to be revoked (RFC 6749 section 4.1.2).
    Again(String),
}

impl Codes {
    /// A code for what a user consented to.
    pub(super) fn issue(&mut self, consent: Consent, now: Instant) -> String {
        let code = random("sbx_code_");
        let issued = Issued {
            consent,
            ends_at: now + LIFETIME,
            family: None,
        };
        let until = issued.ends_at + TOLD;
        self.0.insert(sha256(&code), issued, Some(until), now);
        code
    }

    /// What a code stands for, if it is good and presented as RFC 6749 section 4.1.3 and RFC 7636 section 4.6 ask.
    pub(super) fn check(
        &self,
        presented: &Presented<'_>,
        now: Instant,
    ) -> Result<&Consent, NotRedeemed> {
        let issued = self.0.get(&sha256(presented.code));
        let issued = issued.ok_or(NotRedeemed::Refused(Refusal::UnknownCode))?;
        let consent = &issued.consent;
        let is_proven = match (&consent.code_challenge, presented.code_verifier) {
            (None, None) => true,
            (Some(challenge), Some(verifier)) => *challenge == challenge_of(verifier),
            _ => false,
        };
        if consent.spec.client_id != presented.client_id {
            Err(NotRedeemed::Refused(Refusal::TokenOfAnotherClient))
        } else if let Some(family) = &issued.family {
            Err(NotRedeemed::Again(family.clone()))
        } else if issued.ends_at <= now {
            Err(NotRedeemed::Refused(Refusal::ExpiredCode))
        } else if consent.redirect_uri.is_some()
            && presented.redirect_uri != consent.redirect_uri.as_deref()
        {
            Err(NotRedeemed::Refused(Refusal::OtherRedirectUri))
        } else if presented.state.is_some() && presented.state != consent.state.as_deref() {
            Err(NotRedeemed::Refused(Refusal::OtherState))
        } else if !is_proven {
            Err(NotRedeemed::Refused(Refusal::WrongVerifier))
        } else {
            Ok(consent)
        }
    }

    /// Notes that a code was redeemed for the grant `family`.
    pub(super) fn spend(&mut self, code: &str, family: &str) {
        if let Some(issued) = self.0.get_mut(&sha256(code)) {
            issued.family = Some(family.to_owned());
        }
    }
}

/// S256 of RFC 7636 section 4.2.
fn challenge_of(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(sha256(verifier))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_told_as_ended_or_redeemed_for_a_while_and_then_forgotten() {
        let (mut codes, start) = (Codes::default(), Instant::now());
        let consent = || Consent {
            spec: GrantSpec::default(),
            redirect_uri: None,
            code_challenge: None,
            state: None,
        };
        let at = |seconds| start + Duration::from_secs(seconds);
        let refused = |codes: &Codes, code: &str, now| {
            let presented = Presented {
                code,
                client_id: "sandbox",
                redirect_uri: None,
                code_verifier: None,
                state: None,
            };
            codes.check(&presented, now).map(|_| ()).unwrap_err()
        };
        let [unused, used] = [(); 2].map(|()| codes.issue(consent(), start));
        codes.spend(&used, "grant-1");
        let ended = NotRedeemed::Refused(Refusal::ExpiredCode);
        assert_eq!(refused(&codes, &unused, at(61)), ended);
        let again = NotRedeemed::Again("grant-1".to_owned());
        assert_eq!(refused(&codes, &used, at(61)), again);
        for second in 0..20_000 {
            codes.issue(consent(), at(second));
        }
        assert!(codes.0.values().count() <= 2_000);
        let forgotten = NotRedeemed::Refused(Refusal::UnknownCode);
        assert_eq!(refused(&codes, &used, at(20_000)), forgotten);
    }
}
