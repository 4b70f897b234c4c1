//! Whether the token that a caller saw refused is still the one at hand.

use super::Refused;
use crate::cache::LiveGrant;

/// How a refused token relates to the one at hand.
#[derive(PartialEq, Eq)]
pub(super) enum Refusal {
    /// None was refused, or an older one: the one at hand is not known to be bad.
    NotCurrent,
    /// It is the one at hand.
    Current,
    /// It is newer than the one at hand.
    Newer,
}

pub(super) fn judge(live: &LiveGrant, refused: Option<Refused>) -> Refusal {
    match refused {
        None => Refusal::NotCurrent,
        Some(Refused::Generation(refused)) => match refused.cmp(&live.grant.facts.generation) {
            std::cmp::Ordering::Less => Refusal::NotCurrent,
            std::cmp::Ordering::Equal => Refusal::Current,
            std::cmp::Ordering::Greater => Refusal::Newer,
        },
        Some(Refused::Sha256(refused)) if refused == *live.token_sha256() => Refusal::Current,
        Some(Refused::Sha256(_)) => Refusal::NotCurrent,
    }
}
