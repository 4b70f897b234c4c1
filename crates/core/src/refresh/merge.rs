//! The token set that a provider's answer makes of the stored one.

use super::attempt::Attempt;
use crate::ageing::EndOf;
use crate::clock::Timestamp;
use crate::grant::{Grant, TokenSet};
use crate::provider::{Issued, Renewal};

impl Attempt<'_> {
    /// The whole token set that an answer makes of the stored one at `now`: what the answer leaves out stays.
    pub(super) fn merge(&self, issued: Issued, now: Timestamp, renewal: &Renewal) -> TokenSet {
        let old = &self.grant.tokens;
        let refresh_expires_at = self.refresh_token_end(&issued, now, renewal);
        let mut metadata = old.metadata.clone();
        metadata.extend(issued.metadata);
        TokenSet {
            access_token: issued.access_token,
            token_type: issued.token_type,
            expires_at: issued.expires_at,
            refresh_token: issued.refresh_token.or_else(|| old.refresh_token.clone()),
            refresh_expires_at,
            scopes: issued.scopes.unwrap_or_else(|| self.scopes_as_asked()),
            metadata,
            means: old.means.clone(),
            minted_by: issued.minted_by,
        }
    }

    /// When the refresh token ends from now on. One that was kept keeps its end, and so does a successor of one whose end was
    /// fixed at the consent; but a refresh token that was used after its end had none.
    fn refresh_token_end(
        &self,
        issued: &Issued,
        now: Timestamp,
        renewal: &Renewal,
    ) -> Option<Timestamp> {
        let Grant { facts, tokens: old } = &self.grant;
        let brought = issued.refresh_token.as_ref();
        let is_new = brought.is_some_and(|token| Some(token) != old.refresh_token.as_ref());
        let old_end = old.refresh_expires_at.filter(|end| *end > now);
        match issued.refresh_expires_at {
            // It was used, which moves no end that was stated.
            Some(end) if !is_new && renewal.is_of_idleness(end, now) => {
                let was_stated = facts.dates.end.map(|end| end.of) == Some(EndOf::RefreshToken);
                old_end.filter(|_| was_stated).or(Some(end))
            }
            Some(end) => Some(end),
            None => old_end.filter(|_| brought.is_none() || !renewal.end_moves),
        }
    }

    /// The scopes of an answer that states none: those that were asked for (RFC 6749 section 5.1).
    fn scopes_as_asked(&self) -> Vec<String> {
        let facts = &self.grant.facts;
        if facts.grant_type.is_minted() {
            facts.requested_scopes.as_slice().to_vec()
        } else {
            facts.scopes.clone()
        }
    }
}
