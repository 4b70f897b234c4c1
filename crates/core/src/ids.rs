//! Names and numbers that identify things, parsed once at the edge and valid from then on.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

/// Longest name in characters.
pub const MAX_NAME_CHARS: usize = 128;

/// Why a text is no valid name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("must be 1 to 128 characters of a-z, A-Z, 0-9 and . _ : -")]
pub struct InvalidName;

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_NAME_CHARS
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-'))
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        ///
        /// 1 to 128 characters of `a-z A-Z 0-9 . _ : -`; cheap to clone.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Accepts `text` if it has the form of a name.
            pub fn parse(text: &str) -> Result<Self, InvalidName> {
                if is_name(text) { Ok(Self(text.into())) } else { Err(InvalidName) }
            }

            /// The name as it was given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

name! {
    /// A customer of the platform; credentials of different tenants never meet.
    TenantId
}
name! {
    /// A credential within its tenant, as its creator named it.
    CredentialId
}
name! {
    /// An integration within its tenant.
    IntegrationId
}
name! {
    /// A provider in the catalogue, e.g. `slack`.
    ProviderName
}
name! {
    /// An OAuth client in the configuration, e.g. `slack-main`.
    ClientName
}
name! {
    /// A receiver of what providers report by themselves, in the configuration.
    ReceiverName
}
name! {
    /// A grant: the token chain that one or more credentials use. Made by [`GrantId::random`].
    GrantId
}

name! {
    /// One process of the service among those that share a database, e.g. `evergrant-0:7070`.
    ReplicaName
}

name! {
    /// A kill, which an operator began. Made by [`KillId::random`].
    KillId
}

impl KillId {
    /// A new id, ascending in time (UUID version 7).
    pub fn random() -> Self {
        Self(uuid::Uuid::now_v7().to_string().into())
    }
}

impl GrantId {
    /// A new id, unique without coordination and ascending in time (UUID version 7).
    pub fn random() -> Self {
        Self(uuid::Uuid::now_v7().to_string().into())
    }
}

/// Names one credential in the whole store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CredentialKey {
    /// The tenant that owns it.
    pub tenant: TenantId,
    /// Its name there.
    pub id: CredentialId,
}

impl fmt::Display for CredentialKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.id)
    }
}

/// Names one integration in the whole store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IntegrationKey {
    /// The tenant that owns it.
    pub tenant: TenantId,
    /// Its name there.
    pub id: IntegrationId,
}

impl fmt::Display for IntegrationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.id)
    }
}

/// Names one OAuth client of one provider.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientKey {
    /// The provider that knows the client.
    pub provider: ProviderName,
    /// The client's name in the configuration.
    pub client: ClientName,
}

impl fmt::Display for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider, self.client)
    }
}

/// Counts the token sets of a grant: a newer set always has a higher generation. The first is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

impl Generation {
    /// The generation of a grant's first token set.
    pub const FIRST: Self = Self(1);

    /// The generation of no token set: what is kept under it was bought with none of a grant's tokens.
    pub const NONE: Self = Self(0);

    /// The generation of the token set after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Fencing token of a database lease: every claim of a grant raises it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// Random text that only the holder of a lock or lease knows; it releases and renews nothing but its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OwnerToken(Arc<str>);

impl OwnerToken {
    /// A fresh token of 122 random bits.
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().simple().to_string().into())
    }

    /// A fresh token that also tells whose it is.
    pub fn of(replica: &ReplicaName) -> Self {
        let random = uuid::Uuid::new_v4().simple();
        Self(format!("{replica}/{random}").into())
    }

    /// The replica that it was made for, if it tells.
    pub fn replica(&self) -> Option<&str> {
        let (replica, _) = self.0.rsplit_once('/')?;
        Some(replica)
    }

    /// The token read back from where it was stored.
    pub fn from_stored(text: &str) -> Self {
        Self(text.into())
    }

    /// The text that a lock service stores.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_1_to_128_characters_of_a_small_alphabet() {
        for good in ["a", "slack-7", "T0:U_1.x", &"x".repeat(128)] {
            assert_eq!(CredentialId::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "a b", "ä", "a/b", "a\n", &"x".repeat(129)] {
            assert_eq!(CredentialId::parse(bad), Err(InvalidName), "{bad:?}");
        }
    }

    #[test]
    fn random_ids_and_owner_tokens_differ() {
        assert_ne!(GrantId::random(), GrantId::random());
        assert_ne!(OwnerToken::random(), OwnerToken::random());
        let replica = ReplicaName::parse("evergrant-0:7070").unwrap();
        assert_ne!(OwnerToken::of(&replica), OwnerToken::of(&replica));
    }

    #[test]
    fn an_owner_token_tells_its_replica_if_it_was_made_for_one() {
        let replica = ReplicaName::parse("evergrant-0:7070").unwrap();
        let token = OwnerToken::from_stored(OwnerToken::of(&replica).as_str());
        assert_eq!(token.replica(), Some("evergrant-0:7070"));
        assert_eq!(OwnerToken::random().replica(), None);
    }
}
