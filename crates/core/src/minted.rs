//! With what a token was minted, so that a change of the configuration is noticed.

use std::fmt;

use crate::clock::Timestamp;

/// A digest of what the operator configures to mint with: whoever has it cannot tell the secrets in it, but try guesses.
/// So it is kept where tokens are, and sealed at rest like them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of these bytes, which are a digest.
    pub fn new(sha256: [u8; 32]) -> Self {
        Self(sha256)
    }

    /// Its bytes, to be sealed.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint([redacted])")
    }
}

/// With what a token was minted, besides the means of its grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MintedBy {
    /// The client, the one of its secrets that was accepted, its parameters and the endpoint.
    pub fingerprint: Fingerprint,
    /// Since when the replica that minted it has had its configuration.
    pub since: Timestamp,
}

impl MintedBy {
    /// Whether a replica that has had its configuration since `since`, and mints with one of `own`, has to mint anew.
    ///
    /// Only a newer configuration replaces what an older one minted: of two replicas that differ, one leaves the other's
    /// tokens alone, so they cannot mint by turns.
    pub fn is_outdated(
        &self,
        since: Timestamp,
        own: impl IntoIterator<Item = Fingerprint>,
    ) -> bool {
        self.since < since && own.into_iter().all(|own| own != self.fingerprint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minted(fingerprint: u8, since: i64) -> MintedBy {
        MintedBy {
            fingerprint: Fingerprint::new([fingerprint; 32]),
            since: Timestamp::from_millis(since),
        }
    }

    fn is_outdated(token: MintedBy, since: i64, own: &[u8]) -> bool {
        let own = own.iter().map(|byte| Fingerprint::new([*byte; 32]));
        token.is_outdated(Timestamp::from_millis(since), own)
    }

    #[test]
    fn a_newer_configuration_replaces_what_none_of_its_secrets_minted() {
        assert!(is_outdated(minted(1, 10), 20, &[2]));
        assert!(is_outdated(minted(1, 10), 20, &[2, 3]));
        for own in [&[1][..], &[2, 1], &[1, 2]] {
            assert!(!is_outdated(minted(1, 10), 20, own), "{own:?}");
        }
    }

    #[test]
    fn of_two_configurations_at_most_one_replaces_what_the_other_minted() {
        for (one, other) in [(10, 20), (20, 10), (10, 10)] {
            let replaces = is_outdated(minted(1, one), other, &[2]);
            let is_replaced = is_outdated(minted(2, other), one, &[1]);
            assert!(!(replaces && is_replaced), "{one} {other}");
        }
    }

    #[test]
    fn a_fingerprint_is_not_shown() {
        assert!(!format!("{:?}", minted(7, 10)).contains('7'));
    }
}
