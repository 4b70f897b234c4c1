//! What a provider reports by itself: that a grant died, before anybody tried to refresh it.

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::clock::Timestamp;
use crate::grant::{GrantFacts, InvalidationReason};
use crate::ids::{ClientName, ProviderName, ReceiverName};
use crate::secret::RefreshToken;

/// Tokens that a provider issued so long after what it reports outweigh the report: the user has connected again, or
/// the grant lives. It is far more than a refresh in flight and the difference of two clocks may take.
pub const OUTWEIGHED_AFTER: Duration = Duration::from_mins(2);

/// That grants of an account died, as their provider says, authenticated by whoever received it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// By what a second delivery of the same is known.
    pub delivery: DeliveryId,
    /// The provider.
    pub provider: ProviderName,
    /// Only grants that were given to this client of it; `None` means any.
    pub client: Option<ClientName>,
    /// Whose grants: any of these. Without any it concerns none, and its delivery is remembered all the same.
    pub subjects: Vec<Subject>,
    /// What it means for them.
    pub reason: InvalidationReason,
    /// The provider's own name of the event, e.g. `tokens_revoked`.
    pub event: String,
    /// For people; holds no secret.
    pub message: String,
    /// When it happened, by the provider's clock; `None` where it does not say.
    pub happened_at: Option<Timestamp>,
}

/// Whom a report concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Grants of this account, as their credentials name it.
    Account(String),
    /// Grants of every account whose name begins with this and a colon, e.g. all users of a workspace.
    AccountsWithin(String),
    /// The grant whose refresh token has this [`RefreshToken::sha512_twice`].
    RefreshTokenHash([u8; 64]),
    /// Grants whose refresh token has this [`RefreshToken::prefix_sha256`].
    RefreshTokenPrefix([u8; 32]),
}

impl Subject {
    /// Grants whose refresh token begins with these 16 characters.
    pub fn refresh_token_prefix(prefix: &str) -> Self {
        Self::RefreshTokenPrefix(Sha256::digest(prefix.as_bytes()).into())
    }
}

/// Names one delivery to one receiver.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId {
    /// The receiver; ids of different ones never meet.
    pub receiver: ReceiverName,
    /// SHA-256 of the id that the provider gave, which may be of any length and any characters.
    pub sha256: [u8; 32],
}

impl DeliveryId {
    /// The delivery that the provider calls `id`.
    pub fn new(receiver: ReceiverName, id: &str) -> Self {
        let sha256 = Sha256::digest(id.as_bytes()).into();
        Self { receiver, sha256 }
    }
}

impl Report {
    /// The latest time at which tokens were obtained that do not outweigh this report.
    pub fn issued_until(&self) -> Option<Timestamp> {
        self.happened_at.map(|at| at.plus(OUTWEIGHED_AFTER))
    }

    /// Whether it concerns a grant in whatever state, whose stored refresh token is `refresh_token`.
    pub fn concerns(&self, grant: &GrantFacts, refresh_token: Option<&RefreshToken>) -> bool {
        let is_of_client = self
            .client
            .as_ref()
            .is_none_or(|client| *client == grant.client.client);
        let is_older = self
            .issued_until()
            .is_none_or(|until| grant.issued_at <= until);
        let mut subjects = self.subjects.iter();
        grant.client.provider == self.provider
            && is_of_client
            && is_older
            && subjects.any(|subject| match subject {
                Subject::Account(account) => grant.account.as_ref() == Some(account),
                Subject::AccountsWithin(whole) => grant.account.as_ref().is_some_and(|account| {
                    let inner = account.strip_prefix(whole.as_str());
                    inner.is_some_and(|inner| inner.starts_with(':'))
                }),
                Subject::RefreshTokenHash(hash) => {
                    refresh_token.is_some_and(|token| token.sha512_twice() == *hash)
                }
                Subject::RefreshTokenPrefix(hash) => {
                    refresh_token.is_some_and(|token| token.prefix_sha256() == Some(*hash))
                }
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_is_known_by_its_receiver_and_its_id() {
        let name = |name| ReceiverName::parse(name).unwrap();
        let first = DeliveryId::new(name("a"), "1");
        assert_eq!(first, DeliveryId::new(name("a"), "1"));
        assert_ne!(first, DeliveryId::new(name("b"), "1"));
        assert_ne!(first, DeliveryId::new(name("a"), "2"));
        assert_ne!(first, DeliveryId::new(name("a"), &"1".repeat(10_000)));
    }
}
