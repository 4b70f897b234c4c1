//! The names under which the domain's few words are stored. They never change.

use evergrant_core::ageing::EndOf;
use evergrant_core::events::EventKind;
use evergrant_core::grant::GrantType;
use evergrant_core::integration::IntegrationStatus;
use evergrant_core::refresh::Cause;

/// A word with a stored name.
pub(super) trait Stored: Sized {
    fn name(self) -> &'static str;
    fn named(name: &str) -> Option<Self>;
}

macro_rules! stored {
    ($type:ty { $($word:ident = $name:literal,)* }) => {
        impl Stored for $type {
            fn name(self) -> &'static str {
                match self {
                    $(Self::$word => $name,)*
                }
            }

            fn named(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$word),)*
                    _ => None,
                }
            }
        }
    };
}

stored!(GrantType {
    AuthorizationCode = "AUTHORIZATION_CODE",
    ClientCredentials = "CLIENT_CREDENTIALS",
    JwtBearer = "JWT_BEARER",
    TokenExchange = "TOKEN_EXCHANGE",
    Static = "STATIC",
});

stored!(Cause {
    Expiry = "EXPIRY",
    Refusal = "REFUSAL",
    Renewal = "RENEWAL",
});

stored!(EndOf {
    AccessToken = "ACCESS_TOKEN",
    RefreshToken = "REFRESH_TOKEN",
    Grant = "GRANT",
});

stored!(IntegrationStatus {
    Enabled = "ENABLED",
    Disabled = "DISABLED",
    Error = "ERROR",
    Processing = "PROCESSING",
    NeedsConfig = "NEEDS_CONFIG",
});

stored!(EventKind {
    CredentialInvalidated = "CREDENTIAL_INVALIDATED",
    CredentialRestored = "CREDENTIAL_RESTORED",
    CredentialDeleted = "CREDENTIAL_DELETED",
    IntegrationStatusChanged = "INTEGRATION_STATUS_CHANGED",
    ReauthorizationDue = "REAUTHORIZATION_DUE",
    ClientRejected = "CLIENT_REJECTED",
    ClientRecovered = "CLIENT_RECOVERED",
    ClientBraked = "CLIENT_BRAKED",
    ClientReleased = "CLIENT_RELEASED",
});
