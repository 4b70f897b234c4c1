//! The token set that a provider's answer makes of the stored one.

use super::attempt::Attempt;
use crate::clock::Timestamp;
use crate::grant::TokenSet;
use crate::provider::{Issued, Renewal};

impl Attempt<'_> {
    /// The whole token set that an answer makes of the stored one at `now`: what the answer leaves out stays.
    pub(super) fn merge(&self, issued: Issued, now: Timestamp, renewal: &Renewal) -> TokenSet {
        let old = &self.grant.tokens;
        let mut metadata = old.metadata.clone();
        metadata.extend(issued.metadata);
        // A refresh token that was kept keeps its end, and so does a successor of one whose end was fixed at the consent;
        // but a refresh token that was used after its end had none.
        let keeps_end = issued.refresh_token.is_none() || !renewal.end_moves;
        let old_end = old.refresh_expires_at;
        let refresh_expires_at = issued
            .refresh_expires_at
            .or(old_end.filter(|end| keeps_end && *end > now));
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
