//! Tokens in types that cannot be printed and are wiped when dropped.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

macro_rules! secret {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        ///
        /// `Debug` shows nothing of it, there is no `Display` and no serialisation; [`expose`](Self::expose)
        /// is the one way to the text.
        #[derive(Clone)]
        pub struct $type(SecretString);

        impl $type {
            /// Takes ownership of the secret.
            pub fn new(text: String) -> Self {
                Self(text.into())
            }

            /// The secret itself, for the request, the seal or the answer that needs it.
            pub fn expose(&self) -> &str {
                self.0.expose_secret()
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($type), "([redacted])"))
            }
        }

        impl PartialEq for $type {
            fn eq(&self, other: &Self) -> bool {
                self.expose() == other.expose()
            }
        }

        impl Eq for $type {}
    };
}

secret! {
    /// An access token (RFC 6749 section 1.4).
    AccessToken
}
secret! {
    /// A refresh token (RFC 6749 section 1.5).
    RefreshToken
}

secret! {
    /// A private key that signs assertions: PEM, or a service-account file's JSON.
    SigningKey
}
secret! {
    /// The value of a parameter that a grant brings.
    Parameter
}

impl AccessToken {
    /// SHA-256 of the token's bytes, by which a caller can name it without sending it.
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(self.expose().as_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_of_a_secret() {
        let shown = format!(
            "{:?} {:?}",
            AccessToken::new("hush-a".into()),
            RefreshToken::new("hush-r".into())
        );
        assert_eq!(shown, "AccessToken([redacted]) RefreshToken([redacted])");
    }

    #[test]
    fn sha256_is_that_of_the_text() {
        let digest = AccessToken::new("abc".into()).sha256();
        assert_eq!(digest[..4], [0xba, 0x78, 0x16, 0xbf]);
    }
}
