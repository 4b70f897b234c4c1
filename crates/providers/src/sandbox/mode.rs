//! What a grant is made of: its rotation mode and the rest of its terms.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::client::DEFAULT_CLIENT_ID;

/// What becomes of a refresh token of a grant when it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum RotationMode {
    /// It stays, and no other is ever issued.
    None,
    /// A new one comes with each use, and every old one stays good.
    Rotates,
    /// It is spent at its first use; using it again is refused and has no further consequence.
    SingleUse,
    /// It is spent at its first use; using it again revokes the family, access tokens included
    /// (RFC 9700 section 4.14.2).
    #[default]
    Strict,
    /// It is spent at its first use; using it again within `seconds`, at most `max_uses` times and only until
    /// its successor is used, brings the same successor. Anything else is treated as in `Strict`.
    Grace {
        /// Length of the window, from the first use.
        seconds: u64,
        /// How often it may be used again.
        max_uses: u32,
    },
}

impl RotationMode {
    /// Whether a refresh token brings new tokens at most once.
    pub fn is_single_use(self) -> bool {
        !matches!(self, Self::None | Self::Rotates)
    }

    /// Whether using a spent refresh token revokes the family.
    pub(super) fn reuse_revokes(self) -> bool {
        matches!(self, Self::Strict | Self::Grace { .. })
    }

    /// The terms under which a spent refresh token may be used again.
    pub(super) fn grace(self) -> Option<(Duration, u32)> {
        match self {
            Self::Grace { seconds, max_uses } => Some((Duration::from_secs(seconds), max_uses)),
            _ => None,
        }
    }
}

/// The terms of a new grant. Every field has a default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GrantSpec {
    /// The client it is given to; [`DEFAULT_CLIENT_ID`] by default.
    pub client_id: String,
    /// What becomes of used refresh tokens; `strict` by default.
    pub mode: RotationMode,
    /// How long an access token is good, and `expires_in` of answers; 3600 by default.
    pub access_token_ttl_seconds: u64,
    /// How long an unused refresh token is good; for ever by default.
    pub refresh_token_ttl_seconds: Option<u64>,
    /// What the grant allows.
    pub scopes: Vec<String>,
    /// Whether a refresh ends the access token issued before it at once.
    pub previous_access_token_dies: bool,
    /// Whether answers hold no refresh token. Only in mode `none`: elsewhere it would lose the successor.
    pub omit_refresh_token: bool,
    /// Whether there is no refresh token, and the access token itself is what is redeemed. Not in mode `none`.
    pub self_renewing: bool,
}

impl Default for GrantSpec {
    fn default() -> Self {
        Self {
            client_id: DEFAULT_CLIENT_ID.to_owned(),
            mode: RotationMode::default(),
            access_token_ttl_seconds: 3600,
            refresh_token_ttl_seconds: None,
            scopes: vec!["read".to_owned(), "write".to_owned()],
            previous_access_token_dies: false,
            omit_refresh_token: false,
            self_renewing: false,
        }
    }
}

impl GrantSpec {
    /// The default terms with another rotation mode.
    pub fn with_mode(mode: RotationMode) -> Self {
        Self {
            mode,
            ..Self::default()
        }
    }
}
