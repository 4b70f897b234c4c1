//! When tokens end by what is known of their provider, and of themselves.

use evergrant_core::clock::Timestamp;

use super::jwt;
use super::tokens::earlier;
use crate::catalogue::{Entry, ResponseFacts};

/// When an access token ends that the provider issued `at`, if nobody says otherwise.
pub(crate) fn usual_end(entry: &Entry, facts: &ResponseFacts, at: Timestamp) -> Option<Timestamp> {
    let of_grant_type = facts.access_token_lifetime;
    let lifetime = of_grant_type.or(entry.lifetime.access_token)?;
    Some(at.plus(lifetime))
}

/// When a refresh token ends that was issued or used `at`, if the answer does not say. A new one has its lifetime before
/// it; an old one does not grow younger by being used, unless it is idleness that ends it.
pub(crate) fn usual_refresh_end(entry: &Entry, is_new: bool, at: Timestamp) -> Option<Timestamp> {
    let lifetime = entry.lifetime;
    let of_age = lifetime.refresh_token.filter(|_| is_new);
    earlier(
        of_age.map(|lifetime| at.plus(lifetime)),
        lifetime.refresh_token_idle.map(|idle| at.plus(idle)),
    )
}

/// When an access token says itself that it ends, past or to come, in a text whose age nobody knows.
pub(crate) fn own_end(access_token: &str, now: Timestamp) -> Option<Timestamp> {
    jwt::expiry_ever(access_token, now)
}
